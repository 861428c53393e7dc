"""The audit log: who did what when, hash-chained, and kept free of secrets."""

from __future__ import annotations

from recovery_nb.audit.log import AuditCheck, AuditLog, Entry, Problem
from recovery_nb.audit.redact import MASK, redact, redact_text, redact_uri

__all__ = [
    "MASK",
    "AuditCheck",
    "AuditLog",
    "Entry",
    "Problem",
    "redact",
    "redact_text",
    "redact_uri",
]
