"""Dates by the layouts that mongoimport takes: Go's own, and those of SQL Server and Oracle translated to Go's.

A Go layout is the moment "Mon Jan 2 15:04:05 MST 2006" written as the dates are (https://pkg.go.dev/time#Layout).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["date_reader", "from_ms", "from_oracle"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _names(names: tuple[str, ...], length: int | None = None) -> str:
    return "|".join(name[:length] for name in names)


_OFFSETS = {
    "070000": r"[-+]\d{6}",
    "07:00:00": r"[-+]\d\d:\d\d:\d\d",
    "0700": r"[-+]\d{4}",
    "07:00": r"[-+]\d\d:\d\d",
    "07": r"[-+]\d\d",
}
# In the order in which Go looks for them: of two that begin alike, the longer one first.
_PARTS = (
    ("January", rf"(?P<month_name>{_names(_MONTHS)})"),
    (r"Jan(?![a-z])", rf"(?P<month_short>{_names(_MONTHS, 3)})"),
    ("Monday", rf"(?:{_names(_DAYS)})"),
    (r"Mon(?![a-z])", rf"(?:{_names(_DAYS, 3)})"),
    ("MST", "(?:UTC|GMT|Z)"),
    ("002", r"(?P<day_of_year>\d{3})"),
    ("01", r"(?P<month>\d\d)"),
    ("02", r"(?P<day>\d\d)"),
    ("03", r"(?P<hour12>\d\d)"),
    ("04", r"(?P<minute>\d\d)"),
    ("05", r"(?P<second>\d\d)"),
    ("06", r"(?P<year2>\d\d)"),
    ("15", r"(?P<hour>\d\d?)"),
    ("1", r"(?P<month>\d\d?)"),
    ("2006", r"(?P<year>\d{4})"),
    ("_2006", r"_(?P<year>\d{4})"),
    ("_2", r" ?(?P<day>\d\d?)"),
    ("2", r"(?P<day>\d\d?)"),
    ("3", r"(?P<hour12>\d\d?)"),
    ("4", r"(?P<minute>\d\d?)"),
    ("5", r"(?P<second>\d\d?)"),
    ("PM", r"(?P<half>[AP]M)"),
    ("pm", r"(?P<half>[ap]m)"),
    *((f"-{form}", f"(?P<zone>{text})") for form, text in _OFFSETS.items()),
    *((f"Z{form}", f"(?P<zone>Z|{text})") for form, text in _OFFSETS.items()),
    (r"[.,]0+(?!\d)", ""),  # exactly as many digits: made when it is met
    (r"[.,]9+(?!\d)", r"(?:[.,](?P<fraction>\d+))?"),
)
_PART = re.compile("|".join(f"({form})" for form, _ in _PARTS))

_MS = {
    "dddd": "Monday", "ddd": "Mon", "dd": "02", "d": "2", "MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1",
    "hh": "03", "h": "3", "HH": "15", "H": "15", "mm": "04", "m": "4", "ss": "05", "s": "5", "tt": "PM",
    "yyyy": "2006", "yyy": "2006", "yy": "06", "zzz": "-07:00", "zz": "-07",
}  # fmt: skip
_ORACLE = {
    "AM": "PM", "DAY": "Monday", "DY": "Mon", "DD": "02", "HH12": "03", "HH24": "15", "HH": "03", "MI": "04",
    "MONTH": "January", "MON": "Jan", "MM": "01", "SS": "05", "TZD": "MST", "TZH:TZM": "-07:00", "TZH": "-07",
    "YYYY": "2006", "YY": "06",
}  # fmt: skip


def from_ms(layout: str) -> str:
    """Return the Go layout for one of SQL Server's FORMAT function, as mongoimport's `date_ms` does."""
    return re.sub("|".join(_MS), lambda part: _MS[part[0]], layout)


def from_oracle(layout: str) -> str:
    """Return the Go layout for one of Oracle's TO_DATE function, as mongoimport's `date_oracle` does."""
    return re.sub("|".join(_ORACLE), lambda part: _ORACLE[part[0]], layout.upper())


def date_reader(layout: str) -> Callable[[str], int]:
    """Return what reads dates of a Go layout: a text to milliseconds since 1970, or a `ValueError`.

    No zone means UTC. A zone's abbreviation is taken only if it is UTC's: no one can tell the others for sure.

    Raises:
        ValueError: The layout has no year, or a part of a date twice.
    """
    try:
        expression = re.compile(_expression(layout), re.ASCII | re.IGNORECASE)
    except re.error:
        raise ValueError(f"the layout {layout!r} names a part of the date twice") from None
    if not {"year", "year2"} & set(expression.groupindex):
        raise ValueError(f"the layout {layout!r} names no year; it is the date of 2006-01-02 15:04:05")

    def read(text: str) -> int:
        match = expression.fullmatch(text)
        if not match:
            raise ValueError(f"no date of the layout {layout!r}")
        return _milliseconds({name: part for name, part in match.groupdict().items() if part is not None})

    return read


def _expression(layout: str) -> str:
    pieces, position = [], 0
    for match in _PART.finditer(layout):
        pieces.append(re.escape(layout[position : match.start()]))
        form, expression = _PARTS[(match.lastindex or 1) - 1]
        if not expression:
            expression = rf"[.,](?P<fraction>\d{{{len(match[0]) - 1}}})"
        # A fraction may follow the seconds though the layout states none.
        stated = re.match(r"[.,](?:0+|9+)(?!\d)", layout[match.end() :])
        if form in ("05", "5") and not stated:
            expression += r"(?:[.,](?P<fraction>\d{1,9}))?"
        pieces.append(expression)
        position = match.end()
    return "".join(pieces) + re.escape(layout[position:])


def _milliseconds(parts: dict[str, str]) -> int:
    year = int(parts["year"]) if "year" in parts else _full_year(int(parts["year2"]))
    hour = _hour(parts)
    name = parts.get("month_name") or parts.get("month_short")
    month = 1 + [one[:3].lower() for one in _MONTHS].index(name[:3].lower()) if name else int(parts.get("month", 1))
    moment = datetime(
        year, month, int(parts.get("day", 1)), hour, int(parts.get("minute", 0)), int(parts.get("second", 0)),
        tzinfo=_zone(parts.get("zone", "Z")),
    )  # fmt: skip
    if "day_of_year" in parts:
        moment += timedelta(days=int(parts["day_of_year"]) - 1)
        if moment.year != year:
            raise ValueError("a day that the year does not have")
    fraction = int(parts.get("fraction", "").ljust(3, "0")[:3])
    return (moment - _EPOCH) // _MILLISECOND + fraction


def _full_year(year: int) -> int:
    return year + (1900 if year >= 69 else 2000)


def _hour(parts: dict[str, str]) -> int:
    if "hour12" not in parts:
        return int(parts.get("hour", 0))
    hour = int(parts["hour12"])
    if hour > 12:
        raise ValueError("an hour beyond 12")
    half = parts.get("half", "").upper()
    return hour % 12 + 12 * (half == "PM") if half else hour


def _zone(text: str) -> timezone:
    if text.upper() == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(6, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return timezone(-offset if text[0] == "-" else offset)
