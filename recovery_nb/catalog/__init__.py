"""What the case knows of its sources: one folder of immutable Parquet and facts for each source's digest."""
