"""Backups: written whole or not at all, read back before they get their name, verified byte for byte."""

from __future__ import annotations

from recovery_nb.backups.compression import Compression
from recovery_nb.backups.doubt import doubted
from recovery_nb.backups.encryption import Recipient, recipients
from recovery_nb.backups.verify import verify_backup
from recovery_nb.backups.write import BackupResult, Layout, write_backup

__all__ = [
    "BackupResult",
    "Compression",
    "Layout",
    "Recipient",
    "doubted",
    "recipients",
    "verify_backup",
    "write_backup",
]
