"""Comparing a database with sources: screen by fingerprint, recheck, then explain what differs."""
