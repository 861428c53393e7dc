"""What analysts look at: dataframes, Arrow and SQL over a comparison's Parquet files; never the source of a write."""
