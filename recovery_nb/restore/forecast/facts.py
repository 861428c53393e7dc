"""What is known of records before they are tried one after the other: limits, validator, keys and who has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from recovery_nb.errors import BadInputError
from recovery_nb.restore.forecast.indexes import Index, Keys, UnforeseenError, keys_in
from recovery_nb.restore.forecast.live import owners
from recovery_nb.restore.forecast.rules import Entry, Rules
from recovery_nb.restore.shape import refusal
from recovery_nb.restore.target import Target
from recovery_nb.sources.oracle import matching

__all__ = ["Facts", "Gatherer"]


@dataclass(slots=True)
class Facts:
    """What is known of one record.

    Attributes:
        refusal: Why no server takes it; "" if one may.
        valid: Whether the validator accepts it.
        keys: Its keys in each unique index that it would be in, by the index's number; why there are none, where
            the server refuses to make them.
        held: By the index's number, the live records that have one of these keys.
    """

    refusal: str
    valid: bool = True
    keys: dict[int, Keys | str] = field(default_factory=dict)
    held: dict[int, set[bytes]] = field(default_factory=dict)


class Gatherer:
    """Gathers facts, for many records with few questions to the server.

    Args:
        target: The database.
        note: Is told what cannot be foreseen.
    """

    def __init__(self, target: Target, note: Callable[[str], None]) -> None:
        self._target = target
        self._note = note

    def gather(self, collection: str, rules: Rules, records: Sequence[bytes]) -> list[Facts]:
        """Return the facts of records that may come into a collection.

        Raises:
            PyMongoError: The server does not answer.
        """
        facts = [Facts(refusal(record)) for record in records]
        tried = [place for place, one in enumerate(facts) if not one.refusal]
        if rules.validator and tried:
            asked = [records[place] for place in tried]
            for place, valid in zip(tried, rules.validator.accepts(asked, self._target.database), strict=True):
                facts[place].valid = valid
        for entry in rules.entries:
            try:
                within = self._within(entry.index, records, tried)
                self._add_keys(collection, rules, entry, records, within, facts)
            except (UnforeseenError, BadInputError) as error:  # the latter of a partial filter that is no query
                self._note(f"{collection}: what the index {entry.index.name} refuses ({error})")
        return facts

    def _within(self, index: Index, records: Sequence[bytes], tried: Sequence[int]) -> Sequence[int]:
        """Return which of the records an index would hold."""
        if index.partial is None or not tried:
            return tried
        asked = [records[place] for place in tried]
        # The server reads the filter with the index's collation, not with the collection's.
        matched = matching(self._target.database, asked, index.partial, collation=index.collation)
        return [place for place, one in zip(tried, matched, strict=True) if one]

    def _add_keys(
        self,
        collection: str,
        rules: Rules,
        entry: Entry,
        records: Sequence[bytes],
        places: Iterable[int],
        facts: Sequence[Facts],
    ) -> None:
        chosen = list(places)
        made = keys_in(entry.index, [records[place] for place in chosen], self._target.database)
        for place, keys in zip(chosen, made, strict=True):
            facts[place].keys[entry.number] = keys
        if not (rules.exists and entry.index.unique):
            return
        wanted: dict[bytes, tuple[tuple[int, bytes], ...]] = {}
        for keys in made:
            if not isinstance(keys, str):
                wanted.update(keys)
        have: Mapping[bytes, bytes] = owners(self._target, collection, entry.index, wanted)
        for place, keys in zip(chosen, made, strict=True):
            if have and not isinstance(keys, str):
                facts[place].held[entry.number] = {have[key] for key in keys.keys() & have.keys()}
