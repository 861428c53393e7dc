"""What notebooks are made of: a case opened and concluded, progress, static views, and the desk."""

from __future__ import annotations

from recovery_nb.widgets import verdicts, views
from recovery_nb.widgets.desk import Desk
from recovery_nb.widgets.progress import progress
from recovery_nb.widgets.session import begin, conclude, differences, is_interactive, one_of, words

__all__ = [
    "Desk",
    "begin",
    "conclude",
    "differences",
    "is_interactive",
    "one_of",
    "progress",
    "verdicts",
    "views",
    "words",
]
