"""Foreseeing what an exchange will come to: the same changes, in the same order of work, on what is noted of them.

Nothing is written to the database. What the plan will have written by then counts as the database's own: its records
hold keys, and keys of records that it replaces or removes are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from recovery_nb.records.parts import in_parts
from recovery_nb.restore.exchange import Change, Outcome, Verdict
from recovery_nb.restore.forecast.facts import Facts, Gatherer
from recovery_nb.restore.forecast.rules import RuleBook, Rules
from recovery_nb.restore.forecast.shard import shard_refusal
from recovery_nb.restore.forecast.state import Now, State
from recovery_nb.restore.shape import fingerprint, hard, has_empty_timestamp
from recovery_nb.restore.target import Target

__all__ = ["Forecast", "Transaction"]

Transaction = Literal["", "batch", "plan"]

_PART, _PART_BYTES = 1_000, 2 * 1024 * 1024
_DONE = Verdict(Outcome.DONE)
_CHANGED = Verdict(Outcome.SKIPPED, "changed while restoring")
_TAKEN = Verdict(Outcome.SKIPPED, "another record took its _id while restoring")
_THERE = Verdict(Outcome.SKIPPED, "already there")
_INVALID = Verdict(Outcome.FAILED, "the collection's validator refuses it")
_UNSAFE = Verdict(
    Outcome.FAILED, "its field names can replace another record only in a transaction, and there is none here"
)


class Forecast:
    """Tells what `exchange` would make of changes, batch by batch in the order of a plan.

    Args:
        target: The database, as it is before the plan is applied.
        structures: Of collections that are missing there: what they are made with before their records come, by
            the name that users know, as `Target.create` takes it.
        folder: Where the temporary file is made that holds what the plan will have written.
        transaction: "batch": each batch is written as `exchange_whole` does; "plan": all is, as `exchange_all` does.

    Attributes:
        notes: What cannot be foreseen, each said once: "COLLECTION: what the index NAME refuses (why)".
        refused: With a transaction over the whole plan: why nothing of it will be written; "" so far. The record
            that is refused first has failed; all the others, those before it too, are skipped.

    Raises:
        PyMongoError: The server does not answer.
        RecoveryError: The temporary file cannot be written.
    """

    def __init__(
        self, target: Target, structures: Mapping[str, str], *, folder: Path, transaction: Transaction = ""
    ) -> None:
        self.notes: list[str] = []
        self.refused = ""
        self._target = target
        self._transaction = transaction
        self._book = RuleBook(target, structures, self._note)
        self._gatherer = Gatherer(target, self._note)
        self._rules: dict[str, Rules] = {}
        self._planned: dict[str, tuple[int, int]] = {}
        self._version: Sequence[int] = target.client.server_info()["versionArray"]
        self._state = State(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the temporary file."""
        self._state.close()

    def send(self, collection: str, changes: Sequence[Change], currents: Sequence[bytes | None]) -> list[Verdict]:
        """Return what an exchange of these changes will come to, after all that was sent before.

        Args:
            collection: The collection of all the changes.
            changes: What is to be exchanged; no two of them for one `_id`.
            currents: What the database has for each of them; None for nothing.

        Raises:
            BadInputError: The plan's structure of the collection cannot be read.
            PyMongoError: The server does not answer.
            RecoveryError: The temporary file cannot be written.
        """
        if self.refused:  # an exchange of the whole plan ends at the first refusal
            return [Verdict(Outcome.SKIPPED, f"the whole plan was taken back: {self.refused}")] * len(changes)
        if collection not in self._rules:
            self._rules[collection] = self._book.read(collection)
        rules = self._rules[collection]
        verdicts: dict[int, Verdict] = {}
        with self._state.batch():
            if rules.capped and (reason := self._crowded(collection, rules, changes, currents)):
                verdicts = {
                    place: Verdict(Outcome.FAILED, reason)
                    for place, change in enumerate(changes)
                    if change.expected is None
                }
            order = [place for place in self._order(rules, changes) if place not in verdicts]
            for part in _parts(order, changes):
                self._try(collection, rules, changes, currents, part, verdicts)
                failed = next((place for place in part if verdicts[place].outcome is Outcome.FAILED), None)
                if self._transaction and failed is not None:
                    return self._taken_back(len(changes), failed, verdicts[failed])
        return [verdicts[place] for place in range(len(changes))]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _order(self, rules: Rules, changes: Sequence[Change]) -> list[int]:
        """Return the changes in the order in which they are written."""
        places = range(len(changes))
        if self._transaction:
            return list(places)
        inserts = [place for place in places if changes[place].expected is None]
        if not rules.capped:
            # The driver sends the updates that insert empty timestamps after the plain inserts.
            inserts.sort(key=lambda place: has_empty_timestamp(changes[place].wanted or b""))
        return [*inserts, *(place for place in places if changes[place].expected is not None)]

    def _taken_back(self, count: int, failed: int, verdict: Verdict) -> list[Verdict]:
        what = "its batch" if self._transaction == "batch" else "the whole plan"
        if self._transaction == "plan":
            self.refused = verdict.reason
        self._state.take_back()
        others = Verdict(Outcome.SKIPPED, f"{what} was taken back: {verdict.reason}")
        return [verdict if place == failed else others for place in range(count)]

    def _crowded(
        self, collection: str, rules: Rules, changes: Sequence[Change], currents: Sequence[bytes | None]
    ) -> str:
        """Return why the inserts of a batch have no room in a capped collection; else count them in."""
        if not rules.exists:
            return ""
        if any(change.expected is not None for change in changes):
            self._note(f"{collection}: whether records that grow have room in this capped collection")
        sizes = [len(change.wanted or b"") for change in changes if change.expected is None]
        count, size = self._planned.get(collection, (0, 0))
        count, size = count + len(sizes), size + sum(sizes)
        if sizes and (reason := self._target.crowded(collection, count, size)):
            return reason
        self._planned[collection] = (count, size)
        return ""

    def _try(
        self,
        collection: str,
        rules: Rules,
        changes: Sequence[Change],
        currents: Sequence[bytes | None],
        part: Sequence[int],
        verdicts: dict[int, Verdict],
    ) -> None:
        """Give the changes of a part their verdicts, up to the first failure where that ends a transaction."""
        wanted = [place for place in part if changes[place].wanted is not None]
        records = [changes[place].wanted or b"" for place in wanted]
        facts = dict(zip(wanted, self._gatherer.gather(collection, rules, records), strict=True))
        spared = self._spared(rules, changes, currents, facts)
        for place in part:
            change, current = changes[place], currents[place]
            now = self._state.now(rules.number, change.place)
            there = now.fingerprint if now else None if current is None else fingerprint(current)
            known = facts.get(place)
            if change.expected is None:
                verdict = self._insert(rules, change, there, known or Facts(""))
            else:
                exempt = place in spared if now is None else not now.valid
                verdict = self._swap(rules, change, there, known, current, exempt=exempt)
            verdicts[place] = verdict
            if verdict is _DONE:
                keys = {
                    number: own for number, own in (known.keys if known else {}).items() if not isinstance(own, str)
                }
                after = None if change.wanted is None else fingerprint(change.wanted)
                self._state.put(rules.number, change.place, Now(after, known is None or known.valid), keys)
            if self._transaction and verdict.outcome is Outcome.FAILED:
                return

    def _spared(
        self,
        rules: Rules,
        changes: Sequence[Change],
        currents: Sequence[bytes | None],
        facts: Mapping[int, Facts],
    ) -> set[int]:
        """Return the replacements that a moderate validator does not check: what is there is invalid already."""
        if rules.validator is None or not rules.validator.moderate:
            return set()
        asked = {
            place: current
            for place, one in facts.items()
            if not one.valid and changes[place].expected is not None and (current := currents[place]) is not None
        }
        accepted = rules.validator.accepts(list(asked.values()), self._target.database) if asked else []
        return {place for place, valid in zip(asked, accepted, strict=True) if not valid}

    def _insert(self, rules: Rules, change: Change, there: bytes | None, facts: Facts) -> Verdict:
        if self._transaction and there is not None:
            return _CHANGED
        if refused := self._refused_by_limits(rules, change, None, facts):
            return refused
        if not facts.valid:
            return _INVALID
        if there is not None:
            return _THERE if there == fingerprint(change.wanted or b"") else _TAKEN
        return self._refused_by_index(rules, change.place, facts) or _DONE

    def _swap(
        self,
        rules: Rules,
        change: Change,
        there: bytes | None,
        facts: Facts | None,
        current: bytes | None,
        *,
        exempt: bool,
    ) -> Verdict:
        if there != change.expected:
            return _CHANGED
        if facts is None or change.wanted is None:
            return _DONE
        anew = not facts.refusal and hard(change.wanted)  # such a one is removed and inserted
        if anew and not rules.in_transactions:
            return _UNSAFE
        if there == fingerprint(change.wanted) and not anew:
            return _DONE
        if refused := self._refused_by_limits(rules, change, current, facts):
            return refused
        if not facts.valid and (anew or not exempt):
            return _INVALID
        return self._refused_by_index(rules, change.place, facts) or _DONE

    def _refused_by_limits(self, rules: Rules, change: Change, current: bytes | None, facts: Facts) -> Verdict | None:
        reason = facts.refusal
        if not reason and rules.shard_key:
            reason = shard_refusal(change.wanted or b"", current, rules.shard_key, version=self._version)
        return Verdict(Outcome.FAILED, f"the server refuses it: {reason}") if reason else None

    def _refused_by_index(self, rules: Rules, place: bytes, facts: Facts) -> Verdict | None:
        for entry in rules.entries:
            keys = facts.keys.get(entry.number)
            if isinstance(keys, str):
                return Verdict(Outcome.FAILED, f"the server refuses it: {keys}")
            if keys and self._is_taken(rules, entry.number, keys, place, facts.held.get(entry.number, set())):
                if entry.is_id and not self._transaction:
                    return _TAKEN
                return Verdict(Outcome.FAILED, f"another record has its key in the unique index {entry.index.name}")
        return None

    def _is_taken(
        self, rules: Rules, number: int, keys: Mapping[bytes, object], place: bytes, held: set[bytes]
    ) -> bool:
        if self._state.takes(number, keys.keys(), place):
            return True
        # A record that the plan has written has the keys that are noted, and no longer those it has now.
        return any(owner != place and self._state.now(rules.number, owner) is None for owner in held)


def _parts(places: Sequence[int], changes: Sequence[Change]) -> Iterator[list[int]]:
    """Cut a batch so that the keys of its records can be held in memory."""
    return in_parts(places, lambda place: len(changes[place].wanted or b""), most=_PART, most_bytes=_PART_BYTES)
