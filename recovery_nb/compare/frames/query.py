"""SQL over a comparison's Parquet files: which differences are meant, and a connection for the analyst's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from recovery_nb.compare.model import Status
from recovery_nb.errors import BadInputError

__all__ = ["Filter", "asked", "opened", "selected"]

_CHANGE = """'[{"path": "VARCHAR", "kind": "VARCHAR", "database": "VARCHAR", "source": "VARCHAR"}]'"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which differences are meant.

    Attributes:
        statuses: Of these statuses; of any if there are none.
        collections: Of these collections; of any if there are none.
        where: A condition in SQL over the columns of `compare.model.DIFFERENCES`; "" for none.
    """

    statuses: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    where: str = ""

    @classmethod
    def of(
        cls,
        status: str | Collection[str] | None,
        collection: str | Collection[str],
        where: str,
        *,
        known: Collection[str],
    ) -> Filter:
        """Return the filter that an analyst's arguments mean.

        Args:
            status: A status or several; None for all.
            collection: A collection or several; "" for all.
            where: A condition in SQL.
            known: The collections that were compared.

        Raises:
            BadInputError: There is no such status, or no such collection was compared.
        """
        statuses, collections = _several(status or ()), _several(collection or ())
        _refuse(statuses, tuple(Status), what="status")
        _refuse(collections, known, what="collection of this comparison")
        return cls(statuses, collections, where)


def _several(names: str | Collection[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in ([names] if isinstance(names, str) else names))


def _refuse(names: Collection[str], known: Collection[str], *, what: str) -> None:
    if unknown := [name for name in names if name not in known]:
        raise BadInputError(f"{unknown[0]!r} is no {what}", hint=f"choose of {', '.join(known) or 'none'}")


def opened(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a connection that has the views `differences`, `candidates` and `fields` of a comparison.

    It lives in memory and spills to a folder of its own, which goes away with it. `fields` has a row for each field of
    a changed or equivalent record; dataframes and Arrow tables of the caller can be named in its SQL.

    Args:
        folder: The comparison's.

    Raises:
        BadInputError: The comparison's files cannot be read.
    """
    spill = Path(tempfile.gettempdir()) / f"recovery_nb-{uuid4().hex}"
    db = duckdb.connect(
        config={"memory_limit": "1GB", "temp_directory": str(spill), "autoinstall_known_extensions": "false"}
    )
    with asked():
        db.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'; SET python_scan_all_frames = true")
        db.execute(_views(str(folder).replace("'", "''")))
    return db


def _views(folder: str) -> str:
    return f"""
        CREATE VIEW differences AS SELECT * FROM read_parquet('{folder}/differences.parquet');
        CREATE VIEW candidates AS SELECT * FROM read_parquet('{folder}/candidates.parquet');
        CREATE VIEW fields AS SELECT collection, key, status, c.path, c.kind, c.database, c.source FROM (
            SELECT collection, key, status, unnest(from_json(changes, {_CHANGE})) AS c FROM differences
            WHERE status IN ('changed', 'equivalent')
        );
    """


@contextmanager
def asked() -> Iterator[None]:
    """Tell what is wrong with a query in one line.

    Raises:
        BadInputError: What DuckDB refused.
    """
    try:
        yield
    except duckdb.IOException as error:
        raise BadInputError(_first_line(error), hint="compare again") from None
    except (duckdb.Error, RuntimeError, UnicodeError) as error:
        raise BadInputError(_first_line(error), hint='the columns are those of sql("DESCRIBE differences")') from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def selected(folder: Path, wanted: Filter, read: Callable[[Any], Any]) -> Any:
    """Return what `read` makes of the relation of those differences that are meant, in the comparison's order.

    A connection serves one reading: what an analyst's SQL does to another one cannot change what a dataframe holds.

    Args:
        folder: The comparison's.
        wanted: Which differences.
        read: Is given a DuckDB relation with the columns of `compare.model.DIFFERENCES`.

    Raises:
        BadInputError: The condition is no SQL, or the comparison's files cannot be read.
    """
    with opened(folder) as db, asked():
        relation = db.sql(
            "SELECT * FROM differences WHERE (len($statuses) = 0 OR status IN $statuses)"
            " AND (len($collections) = 0 OR collection IN $collections)",
            params={"statuses": list(wanted.statuses), "collections": list(wanted.collections)},
        )
        return read(relation.filter(wanted.where) if wanted.where.strip() else relation)
