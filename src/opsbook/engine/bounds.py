"""What a parameter may be beyond its type: `min` and `max` of a quantity, `pattern` of a text. Pure.

Every type has bounds of its own too: what PostgreSQL, Redis and a clock cannot hold is a slip of the keyboard.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from opsbook.book.units import parse_quantity
from opsbook.connectors.change import Json
from opsbook.engine.procedure import Parameter

BOUNDED = ("int", "float", "duration", "size", "ratio")
LARGEST_INT = 2**63 - 1
"""What a bigint of PostgreSQL and an integer of Redis hold; the smallest is one below its negative."""
LONGEST_SECONDS = 100 * 365 * 86_400.0
LARGEST_SIZE = 2.0**63
LARGEST_RATIO = 1e6
LONGEST_PATTERN = 500
"""Characters. The engine below matches in linear time, so that no pattern is catastrophic; a long one is unreadable."""
LONGEST_MATCHED = 10_000


def outside(parameter: Parameter, value: Json) -> str:
    """Why a value of the right type is not allowed, and after `→` the next step; empty where it is."""
    if parameter.type in BOUNDED:
        return _beyond(parameter, value)
    if parameter.pattern and isinstance(value, str) and not matches(parameter.pattern, value):
        return f"{_short(value)!r} does not match {parameter.pattern} → {_meant(parameter)}"
    return ""


def amount(kind: str, value: Json) -> float | int:
    """A number, or a duration in seconds, a size in bytes, a ratio as a fraction."""
    return parse_quantity(str(value)).value if kind in ("duration", "size", "ratio") else value


def matches(pattern: str, text: str) -> bool:
    """Whether a text as a whole matches."""
    if len(text) > LONGEST_MATCHED:
        return False
    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def wrong_pattern(pattern: str) -> str:
    """Why a text is no pattern; empty where it is one."""
    if len(pattern) > LONGEST_PATTERN:
        return f"a pattern has at most {LONGEST_PATTERN} characters"
    try:
        # Alone first: `a)|(b` would be two patterns inside the parentheses of the whole one.
        SchemaValidator(core_schema.str_schema(pattern=pattern))
        _matcher(pattern)
    except SchemaError as error:
        reason = str(error).rpartition("error: ")[2].rpartition("SchemaError: ")[2].strip().rstrip(".")
        return f"it is no pattern: {reason[:1].lower()}{reason[1:]}"
    return ""


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{pattern})\z", regex_engine="rust-regex"))


def _beyond(parameter: Parameter, value: Json) -> str:
    number = amount(parameter.type, value)
    if why := _absurd(parameter.type, number):
        return f"{_short(value)} {why}"
    if parameter.min is not None and number < amount(parameter.type, parameter.min):
        return f"{value} is less than {parameter.min} → give at least {parameter.min}"
    if parameter.max is not None and number > amount(parameter.type, parameter.max):
        return f"{value} is more than {parameter.max} → give at most {parameter.max}"
    return ""


def _absurd(kind: str, number: float | int) -> str:
    if kind == "int" and not -LARGEST_INT - 1 <= number <= LARGEST_INT:
        return f"is too large for a whole number → give one of at most {LARGEST_INT:,}"
    if kind == "duration" and number > LONGEST_SECONDS:
        return "is too long → give a duration of at most 100y"
    if kind == "size" and number > LARGEST_SIZE:
        return "is too large → give a size of at most 8388608TiB"
    if kind == "ratio" and number > LARGEST_RATIO:
        return "is too large → give a ratio such as 80%"
    return ""


def _meant(parameter: Parameter) -> str:
    if parameter.example is not None or parameter.doc:
        return f"such as {parameter.example}" if parameter.example is not None else parameter.doc
    return "give one that does"


def _short(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
