"""What the verbs of a case do, each over the `Context` that the case lends it. The case remembers what came of them."""

from __future__ import annotations

from recovery_nb.verbs.asked import place, text
from recovery_nb.verbs.backup import take_backup
from recovery_nb.verbs.compare import compare_with, newest_comparison
from recovery_nb.verbs.context import Context
from recovery_nb.verbs.record import leave_record
from recovery_nb.verbs.report import count_records, tell
from recovery_nb.verbs.restore import apply_plan, finish_restore, lost_structures, plan_restore, undo_restore
from recovery_nb.verbs.scan import nothing_readable, scan_facts, scan_sources
from recovery_nb.verbs.servers import Servers
from recovery_nb.verbs.verify import check

__all__ = [
    "Context",
    "Servers",
    "apply_plan",
    "check",
    "compare_with",
    "count_records",
    "finish_restore",
    "leave_record",
    "lost_structures",
    "newest_comparison",
    "nothing_readable",
    "place",
    "plan_restore",
    "scan_facts",
    "scan_sources",
    "take_backup",
    "tell",
    "text",
    "undo_restore",
]
