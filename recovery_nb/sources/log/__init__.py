"""Logs of applications and of MongoDB: the records that are embedded in their lines."""
