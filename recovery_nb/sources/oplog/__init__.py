"""The oplog as a source: every version of every record that it tells of, and the state at any time within it."""
