"""CSV and TSV: rows, dialects, and what their cells were."""
