"""What notebooks are made of: a case opened and concluded, progress, static views, and the desk."""

from __future__ import annotations

from recovery_nb.widgets import numbers, verdicts, views
from recovery_nb.widgets.desk import Desk
from recovery_nb.widgets.progress import progress
from recovery_nb.widgets.session import begin, conclude, differences, is_interactive, one_of, words
from recovery_nb.widgets.sources import SourcePicker

__all__ = [
    "Desk",
    "SourcePicker",
    "begin",
    "conclude",
    "differences",
    "is_interactive",
    "numbers",
    "one_of",
    "progress",
    "verdicts",
    "views",
    "words",
]
