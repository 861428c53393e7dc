"""Everything records can be read from: one module a format, detected by content, opened read-only."""
