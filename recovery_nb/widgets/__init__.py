"""Thin panels for notebooks: state in, selection out; what they call, the command line calls too."""
