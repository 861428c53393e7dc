"""A loss to recover from: sample data, backups of three kinds, and the truth to check the result by."""
