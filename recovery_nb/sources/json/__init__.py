"""JSON in every shape: backups, exports, JSON Lines, Extended JSON."""
