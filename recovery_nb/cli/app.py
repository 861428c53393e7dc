"""The commands, put together. Each imports what it needs when it runs: `--help` must answer at once."""

from __future__ import annotations

import typer

from recovery_nb.cli.backup import backup
from recovery_nb.cli.given import Command, Group
from recovery_nb.cli.more import demo, notebooks, run
from recovery_nb.cli.options import global_options
from recovery_nb.cli.restore import restore, rollback
from recovery_nb.cli.scan import compare, recover, scan
from recovery_nb.cli.verify import audit_show, audit_verify, verify

__all__ = ["app"]

app = typer.Typer(
    cls=Group, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Find every copy of every lost MongoDB record, put it back without harm, and prove that it was done.",
    epilog="Exit codes: 0 done, nothing lost; 1 done, and loss or problems were found; 2 could not be done; "
    "3 done in part; 130 interrupted.",
)  # fmt: skip
app.callback()(global_options)
for _command in (scan, backup, compare, restore, rollback, verify, recover, run, demo, notebooks):
    app.command(cls=Command)(_command)

_audit = typer.Typer(cls=Group, help="The audit log of the case.")
_audit.command("verify", cls=Command)(audit_verify)
_audit.command("show", cls=Command)(audit_show)
app.add_typer(_audit, name="audit")
