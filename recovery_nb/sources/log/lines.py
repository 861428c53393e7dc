"""What lines of logs look like, and when they were written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

from recovery_nb.records.batch import moment
from recovery_nb.sources.log.hexed import Hexed
from recovery_nb.sources.log.objects import shallow
from recovery_nb.sources.log.records import BEGINS_AS_RECORD, lead_of

__all__ = [
    "Clock",
    "entry_time",
    "is_entry",
    "line_time",
    "looks_like_json_log",
    "looks_like_log",
    "lost_its_head",
    "quotes_records",
    "time_before",
]

_REACH = 160
"""A line's time stands within this many bytes of its beginning."""

_LOOK_BACK_LINES = 1000
_LOOK_BACK_BYTES = 64 * 1024
_SET_BACK = 3600.0
"""A clock is set back by at most this many seconds when summer time ends."""

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH = b"(" + b"|".join(_MONTHS) + b")"
_CLOCK = rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)"
_ISO = re.compile(
    rb"(?<!\d)(\d{4}([-/])\d\d\2\d\d)[T ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:[.,](\d{1,9}))?"
    rb"(?: ?(Z|[-+]\d\d:?\d\d)(?!\d))?"
)
_ACCESS = re.compile(rb"(?<!\d)(\d\d)/" + _MONTH + rb"/(\d{4}):" + _CLOCK + rb" ([-+]\d{4})")
_CTIME = re.compile(_MONTH + rb" {1,2}(\d{1,2}) " + _CLOCK + rb"(?:\.(\d{1,9}))? (\d{4})(?!\d)")
_EPOCH = re.compile(rb"\[?(1\d{9})(?:(\d{3})(?=[\s\]|:])|[.,](\d{1,9})(?=[\s\]|:])|(?=[\s\]|]))")
_SYSLOG = re.compile(rb"(?:<\d{1,3}>)?" + _MONTH + rb" {1,2}\d{1,2} " + _CLOCK + rb" ")
_BEGINS_STAMPED = re.compile(
    rb"[\[(\"<|\w ]{0,24}?(?:" + _ISO.pattern.replace(rb"\2", rb"[-/]") + rb")|" + _SYSLOG.pattern
)

_TIME_NAMES = rb"@?timestamp|time|ts|@?t|datetime|date|asctime|eventTime|time_iso8601"
_ENTRY_TIME = re.compile(rb'"(?:' + _TIME_NAMES + rb')"\s*+:\s*+(?:"([^"\\]{8,40})"|(\d[\d.]*+(?:[eE]\+?\d+)?))')
_SERVER_ENTRY = re.compile(rb'\{"t":\{"\$date":"([^"\\]{8,40})"\},"s":"')
_LEVELS = frozenset(
    b"trace debug debug1 debug2 debug3 verbose silly info information informational notice warn warning error err "
    b"fatal critical crit alert emerg emergency panic severe fine finer finest f e w i d1 d2 d3 d4 d5".split()
)
_LEVEL_NUMBERS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 10, 20, 30, 40, 50, 60})
_LEVEL_NAMES = ("level", "severity", "lvl", "levelname", "log.level", "loglevel", "@l")
_TEXT_NAMES = ("msg", "message", "@message", "@m", "@mt", "short_message", "event", "log", "text")
_STAMP_NAMES = ("t", "@t", "time", "timestamp", "@timestamp", "ts", "datetime", "date", "asctime", "eventTime")
_WITHIN_JSON = re.compile(rb"\s|[\"}\],:]|\[(?!\d)")
_IDENTITIES = ("_id", "id", "session_id")
_DIGIT_FIRST = re.compile(rb"\[?\d")
_QUOTED = re.compile(rb'\{(?:[ \t]|\\++[nrt])*+\\++"_id\\++"')
_EMBEDDED = re.compile(rb'\{\s?\\*"(?:_|session_)id\\*"\s?:')


def _date(year: bytes, month: int, day: bytes, time: tuple[bytes, ...], fraction: bytes | None, zone: bytes) -> float:
    offset = UTC if zone in (b"", b"Z") else _zone(zone.replace(b":", b""))
    hour, minute, second = (int(part) for part in time)
    whole = datetime(int(year), month, int(day), hour, minute, second, tzinfo=offset)
    return whole.timestamp() + (float(b"0." + fraction) if fraction else 0.0)


def _zone(text: bytes) -> timezone:
    distance = timedelta(hours=int(text[1:3]), minutes=int(text[3:5]))
    return timezone(-distance if text[:1] == b"-" else distance)


def line_time(line: bytes) -> float | None:
    """Return the first time that stands at the beginning of a line, in seconds since 1970; None if there is none.

    ISO 8601 and its relatives (log4j, nginx's errors, Go), access logs (`01/Nov/2025:08:00:00 +0000`), `ctime`, and
    seconds or milliseconds since 1970 at the very beginning are read; a time without a zone as UTC. The old syslog
    format (RFC 3164) states no year: that is no time.
    """
    head = line[:_REACH]
    try:
        if found := _ISO.search(head):
            day, mark, time, fraction, zone = found.groups()
            day = day.replace(b"/", b"-") if mark == b"/" else day
            whole = datetime.fromisoformat(f"{day.decode()}T{time.decode()}{zone.decode() if zone else 'Z'}")
            return whole.timestamp() + (float(b"0." + fraction) if fraction else 0.0)
        if found := _ACCESS.search(head):
            day, name, year, *time, zone = found.groups()
            return _date(year, _MONTHS.index(name) + 1, day, tuple(time), None, zone)
        if found := _CTIME.search(head):
            name, day, *time, fraction, year = found.groups()
            return _date(year, _MONTHS.index(name) + 1, day, tuple(time), fraction, b"")
        if found := _EPOCH.match(head):
            seconds, millis, fraction = found.groups()
            return float(seconds + b"." + (millis or fraction or b"0"))
    except (ValueError, OverflowError):
        pass
    return None


def entry_time(text: bytes) -> float | None:
    """Return the time that an entry of a structured log states of itself, in seconds since 1970; None for none.

    Args:
        text: The entry: one JSON object.
    """
    if server := _SERVER_ENTRY.match(text):
        return line_time(server[1])
    for found in _ENTRY_TIME.finditer(shallow(text)):
        if found[1]:
            time = line_time(found[1])
        else:
            number = float(found[2]) if found[2].count(b".") < 2 else 0.0
            time = next((number / unit for unit in (1, 1e3, 1e6, 1e9) if 1e8 <= number / unit < 2**32), None)
        if time is not None:
            return time
    return None


def time_before(text: bytes, position: int, *, since: int = 0) -> float | None:
    """Return the time of the last line that states one and begins at or before `position`; None if none near does.

    Args:
        text: Lines of a log.
        position: In which line, or at the end of which, to begin looking.
        since: No line that begins before this is looked at.
    """
    end = position
    least = max(since, position - _LOOK_BACK_BYTES)
    for _ in range(_LOOK_BACK_LINES):
        start = max(text.rfind(b"\n", least, end) + 1, least)
        line = text[start:position] if end == position else text[start:end]
        time = _time_of(line)
        if time is not None or start <= least:
            return time
        end = start - 1
    return None


def _time_of(line: bytes) -> float | None:
    """Return the time of a line that begins an entry; a record's own times, on its line or lines, are none."""
    if line.startswith(b"{"):
        return None if BEGINS_AS_RECORD.match(line) else entry_time(line)
    return None if _WITHIN_JSON.match(line) else line_time(line)


class Clock:
    """Gives each entry of a log its place in time: what has no time of its own has that of the entry before it.

    Of two entries the later one is the newer, also within one tick, and when the clock was set back by up to an hour
    (the end of summer time). What is further back is believed: there another log begins, or the time before was wrong.

    Attributes:
        last: The time stated last, in seconds since 1970; None before one was.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        self._given = -1

    def note(self, time: float | None) -> None:
        """Take a time that the log states."""
        if time is not None and time > 0:
            if self.last is not None and time < self.last - _SET_BACK:
                self._given = -1
            self.last = time

    def next(self) -> int | None:
        """Return the moment of the entry that is read now; None before a time was stated."""
        if self.last is None:
            return None
        self._given = max(moment(self.last), self._given + 1)
        return self._given


def is_entry(fields: dict[str, object]) -> bool:
    """Return whether the fields are those of a log's entry: a level, a text and a time; and no `_id`.

    Known are the server's own log, bunyan, pino, zap, winston, logstash and ECS, GELF, and Docker's `json-file`.
    """
    if "_id" in fields:
        return False
    if fields.keys() >= {"t", "s", "c", "ctx", "msg"} or fields.keys() == {"log", "stream", "time"}:
        return True
    levels = [fields[name] for name in _LEVEL_NAMES if name in fields]
    nested = fields.get("log")
    if isinstance(nested, dict):
        levels.append(nested.get("level"))
    leveled = any(
        level.lower().encode() in _LEVELS if isinstance(level, str) else level in _LEVEL_NUMBERS
        for level in levels
        if isinstance(level, str | int | float)
    )
    return leveled and any(n in fields for n in _TEXT_NAMES) and any(n in fields for n in _STAMP_NAMES)


def looks_like_json_log(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a structured log: one JSON object a line, each an entry.

    Several lines must agree, and four in five of all that are JSON; for MongoDB's own log, which nothing else looks
    like, one is enough. Records that happen to have a `message` or a `level` have an `_id`, or no time and no level.
    """
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
        return False
    entries = others = broken = 0
    lines = Hexed(head.removeprefix(b"\xef\xbb\xbf")).text.split(b"\n")
    for line in lines[: -1 if len(lines) > 1 and lines[-1] else None]:
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            broken += 1
            continue
        entry = isinstance(fields, dict) and is_entry(fields)
        entries, others = entries + entry, others + (not entry)
    server = _SERVER_ENTRY.match(head.removeprefix(b"\xef\xbb\xbf").lstrip())
    return entries >= (1 if server else 2) and entries >= 4 * others and entries >= broken


def quotes_records(head: bytes) -> bool:
    """Return whether a file that begins with `head` is JSON Lines of what are no records, with records in strings.

    Such is a structured log whose names are its own: no line's object has an identity, and a string in one of them
    holds an object with an `_id` that is no condition. A single line must not hold objects or lists: it may be a
    container of records.
    """
    objects: list[dict[str, object]] = []
    broken = 0
    quoted = False
    for line in Hexed(head.removeprefix(b"\xef\xbb\xbf")).text.split(b"\n"):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            broken += 1
            continue
        if not isinstance(fields, dict) or any(name in fields for name in _IDENTITIES):
            return False
        objects.append(fields)
        quoted = quoted or any(not lead_of(line, found.start()).excludes for found in _QUOTED.finditer(line))
    if len(objects) == 1 and any(isinstance(value, dict | list) for value in objects[0].values()):
        return False
    return quoted and len(objects) >= broken


def lost_its_head(head: bytes) -> bool:
    """Return whether a file that begins with `head` begins in an object in a log's line: the others have a time."""
    lines = [line for line in head.split(b"\n")[1:] if line.strip()]
    stamped = sum(_DIGIT_FIRST.match(line) is not None and line_time(line[:48]) is not None for line in lines)
    return head[:1] == b"{" and stamped >= 3 and stamped >= 0.8 * len(lines)


def looks_like_log(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a log: lines of text with times, or with records in them."""
    if looks_like_json_log(head):
        return True
    text = head.removeprefix(b"\xef\xbb\xbf")
    first = text.lstrip()
    if 3 * text.count(b"\0") > len(text) or first[:1] == b"{" or (first[:1] == b"[" and line_time(first[:40]) is None):
        return False
    lines = [line for line in text.split(b"\n") if line.strip()]
    stamped = [_is_stamped(line) for line in lines]
    return (
        sum(stamped) >= 2
        or stamped[:1] == [True]
        or any(
            text[text.rfind(b"\n", 0, found.start()) + 1 : found.start()].strip(b' \t\r[(,"')
            for found in _EMBEDDED.finditer(text)
        )
    )


def _is_stamped(line: bytes) -> bool:
    head = line[:_REACH]
    return bool(_BEGINS_STAMPED.match(head) or _ACCESS.search(head) or _CTIME.search(head[:48]) or _EPOCH.match(head))
