"""Compression, encryption and archives: what is within them is content like any other."""
