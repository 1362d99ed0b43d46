"""Values of PostgreSQL's settings, as the server itself would store them. Pure.

So that a value the server would refuse is refused while planning, and what was set can be held against what is read
back: `64MB` is read as 65536 kB. Rules of https://www.postgresql.org/docs/current/config-setting.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from opsbook.connectors.change import Json
from opsbook.errors import Refused

TRUE, FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
BYTES = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
MICROSECONDS = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
UNITS = (BYTES, MICROSECONDS)
_NUMBER = re.compile(r"\s*([+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))\s*([A-Za-z]*)\s*")

LISTS = (
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
)  # fmt: skip
"""Settings whose elements PostgreSQL quotes one by one: written as one text they would be one element."""


def stored(row: Mapping[str, Json], value: str) -> str:
    """The value as `pg_settings.setting` would show it; `row` has that view's columns. Raises Refused."""
    kind = row["vartype"]
    if kind == "bool":
        return _switch(row, value)
    if kind == "enum":
        words = {str(word).lower(): str(word) for word in row["enumvals"] or ()}
        return words.get(value.lower()) or _other_word(row, value)
    if kind in ("integer", "real"):
        return _number(row, value)
    return value


def _switch(row: Mapping[str, Json], value: str) -> str:
    word = value.strip().lower()
    # A beginning is enough where only one word has it, as in `t`; `o` has two.
    if word and word != "o":
        if any(one.startswith(word) for one in TRUE):
            return "on"
        if any(one.startswith(word) for one in FALSE):
            return "off"
    raise Refused(f"{row['name']} is a switch, and {value!r} is not on or off", "write on or off")


def _other_word(row: Mapping[str, Json], value: str) -> str:
    # Some enums take further words that pg_settings does not list, such as yes for on.
    for words, meant in ((TRUE, "on"), (FALSE, "off")):
        if value.lower() in words and meant in (row["enumvals"] or ()):
            return meant
    raise Refused(f"{row['name']} cannot be {value!r}", f"it is one of {', '.join(row['enumvals'] or ())}")


def _number(row: Mapping[str, Json], value: str) -> str:
    found = _NUMBER.fullmatch(value)
    if not found:
        raise Refused(f"{row['name']} is a number, and {value!r} is none", f"write it as {_example(row)}")
    digits, unit = found.groups()
    amount = float(int(digits, 16)) if "x" in digits.lower() else float(digits)
    if unit:
        amount *= _factor(row, unit)
    whole = row["vartype"] == "integer"
    amount = float(round(amount)) if whole else amount
    for bound, fits in (("min_val", amount.__ge__), ("max_val", amount.__le__)):
        if row[bound] is not None and not fits(float(row[bound])):
            base = f" {row['unit']}" if row["unit"] else ""
            raise Refused(
                f"{row['name']} cannot be {value}: that is {amount:g}{base}",
                f"it lies between {row['min_val']} and {row['max_val']}{base}",
            )
    return str(int(amount)) if whole else f"{amount:g}"


def _factor(row: Mapping[str, Json], unit: str) -> float:
    """How many of the setting's own unit, such as `8kB` or `ms`, are in one of the given."""
    own = re.fullmatch(r"(\d*)([A-Za-z]+)", str(row["unit"] or ""))
    for units in UNITS if own else ():
        if own and own[2] in units and unit in units:
            return units[unit] / (units[own[2]] * int(own[1] or 1))
    known = next((", ".join(units) for units in UNITS if own and own[2] in units), "")
    raise Refused(
        f"{row['name']} cannot be given in {unit!r}", f"its units are {known}" if known else "it is a number alone"
    )


def _example(row: Mapping[str, Json]) -> str:
    return "64MB" if row["unit"] in ("B", "kB", "8kB", "MB") else "5min" if row["unit"] else str(row["max_val"] or 10)
