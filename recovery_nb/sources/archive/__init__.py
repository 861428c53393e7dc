"""The stream that `mongodump --archive` writes."""
