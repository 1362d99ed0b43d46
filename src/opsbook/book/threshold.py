"""Thresholds as a book writes them: `> 200ms`, `< 20%`, `== 0`, `outside 10..20`, `< 50% of 7d`.

A threshold says which values are *bad*. The last form holds the value against its own baseline: the median of the
stored values of the time before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from opsbook.book.units import EXAMPLE, Dimension, Quantity, parse_quantity, show_duration

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    "==": lambda value, limit: value == limit,
    "!=": lambda value, limit: value != limit,
}
PATTERN = r"^\s*(?:>=|<=|==|!=|>|<|is\b|outside\b|within\b).+$"
FORMS = '"> 200ms", "< 20%", "== 0", "is down", "outside 10..20", "within 10..20" or "< 50% of 7d"'

_COMPARISON = re.compile(r"\s*(>=|<=|==|!=|>|<|is\b)\s*(.+?)\s*$")
_RANGE = re.compile(r"\s*(outside|within)\s+(.+?)\s*\.\.\s*(.+?)\s*$")
_BASELINE = re.compile(r"(.+?)\s+of\s+(\d.*)$")


@dataclass(frozen=True)
class Threshold:
    """A predicate over values of one dimension. `baseline` is the time in seconds over which the own past is taken."""

    text: str
    operator: str
    limit: Quantity | str
    upper: Quantity | None = None
    baseline: float | None = None

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Raises ValueError that names the accepted forms."""
        if found := _RANGE.match(text):
            low, high = parse_quantity(_with_unit_of(found[3], found[2])), parse_quantity(found[3])
            if low.dimension is not high.dimension:
                raise ValueError(
                    f"{text!r}: both ends of a range need the same unit; write one such as 'outside 10ms..20ms'"
                )
            if low.dimension is Dimension.STATE:
                raise ValueError(f'{text!r}: states have no range; write "is down"')
            if low.value > high.value:
                raise ValueError(f"{text!r}: the lower end is above the upper one; exchange them")
            return cls(text.strip(), found[1], low, high)
        found = _COMPARISON.match(text)
        if not found:
            raise ValueError(_no_threshold(text))
        operator, rest = ("==" if found[1] == "is" else found[1]), found[2]
        if of := _BASELINE.match(rest):
            share, window = parse_quantity(of[1]), parse_quantity(of[2])
            if share.dimension is not Dimension.RATIO or window.dimension is not Dimension.DURATION:
                raise ValueError(f'{text!r}: a threshold against its own baseline is written "< 50% of 7d"')
            if window.value <= 0 or share.value < 0:
                raise ValueError(f'{text!r}: the share and the time of a baseline are positive, as in "< 50% of 7d"')
            return cls(text.strip(), operator, share, baseline=window.value)
        return cls(text.strip(), operator, _limit(rest, operator, text))

    def misfit(self, dimension: Dimension) -> str | None:
        """Why this threshold cannot be held against a value of that dimension; None where it can."""
        if self.baseline is not None:
            if dimension in (Dimension.STATE, Dimension.TEXT):
                return f"a baseline needs numbers, and this observation yields {dimension}"
            return None
        if dimension is Dimension.TEXT:
            return None if self.operator in ("==", "!=") else "text can only be compared with == or !="
        if isinstance(self.limit, str):
            return f"{self.limit!r} has no unit that fits; this observation yields a {dimension} ({EXAMPLE[dimension]})"
        if self.limit.dimension is dimension:
            if dimension is Dimension.STATE and self.operator not in ("==", "!="):
                return 'a state is either up or down: write "is down" or "is up"'
            return None
        given = self.limit.dimension
        return f"{self.text!r} is a {given}, but this observation yields a {dimension} ({EXAMPLE[dimension]})"

    def met_by(self, value: float | bool | str, baseline: float | None = None) -> bool | None:
        """Whether the value is one that this threshold names; None where that cannot be told.

        That is while the baseline is not known yet, and for a number that is none (NaN).
        """
        if isinstance(value, str):
            return COMPARE[self.operator](value, self.word)
        assert isinstance(self.limit, Quantity)
        number = float(value)
        if math.isnan(number):
            return None
        if self.baseline is not None:
            return None if baseline is None else COMPARE[self.operator](number, self.limit.value * baseline)
        if self.upper is not None:
            inside = self.limit.value <= number <= self.upper.value
            return inside if self.operator == "within" else not inside
        return COMPARE[self.operator](number, self.limit.value)

    @property
    def word(self) -> str:
        """What text is compared with: the limit as written, without operator and quotes."""
        if isinstance(self.limit, str):
            return self.limit
        found = _COMPARISON.match(self.text)
        return (found[2] if found else self.text).strip("'\"")

    def contradicts(self, critical: Threshold) -> bool:
        """Whether `critical` is reached before this one as a warning, so that the warning never shows."""
        if self.operator != critical.operator or (self.baseline is None) != (critical.baseline is None):
            return False
        ours, theirs = self.limit, critical.limit
        if isinstance(ours, str) or isinstance(theirs, str) or ours.dimension is not theirs.dimension:
            return False
        if self.operator in (">", ">="):
            return theirs.value < ours.value
        return self.operator in ("<", "<=") and theirs.value > ours.value

    def __str__(self) -> str:
        if self.baseline is not None:
            return f"{self.operator} {self.limit} of {show_duration(self.baseline)}"
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda t: t.text),
        )

    @classmethod
    def _validate(cls, value: Any) -> Threshold:
        if isinstance(value, Threshold):
            return value
        if isinstance(value, bool):
            raise ValueError(f'a threshold is text: write "is {"up" if value else "down"}"')
        if isinstance(value, int | float):
            raise ValueError(
                f'a threshold says in which direction values are bad: write "> {value:g}" or "< {value:g}"'
            )
        if not isinstance(value, str):
            raise ValueError(f"a threshold is text: write {FORMS}")
        return cls.parse(value)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "x-type": "threshold",
            "pattern": PATTERN,
            "description": f"which values are bad: {FORMS}",
            "examples": ["> 200ms", "< 20%", "== 0", "is down", "outside 10..20", "< 50% of 7d"],
        }


def _with_unit_of(upper: str, lower: str) -> str:
    """`10..20%` means `10%..20%`."""
    unit = re.search(r"\d\s*([^\d\s.].*)$", upper)
    return lower + unit[1] if unit and re.fullmatch(r"-?[\d.,]+", lower) else lower


def _no_threshold(text: str) -> str:
    """Why this is not one; a bare quantity only lacks its direction."""
    try:
        parse_quantity(text)
    except ValueError:
        return f"{text!r} is not a threshold; write {FORMS}"
    return f'{text!r} does not say in which direction values are bad; write "> {text.strip()}" or "< {text.strip()}"'


def _limit(rest: str, operator: str, text: str) -> Quantity | str:
    try:
        return parse_quantity(rest)
    except ValueError as error:
        if operator in ("==", "!=") and not rest[:1].isdigit():
            return rest.strip("'\"")
        if rest[:1].isdigit():
            raise
        raise ValueError(f"{text!r} is not a threshold; write {FORMS}") from error
