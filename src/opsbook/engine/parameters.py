"""Typed parameters of procedures: what a person gives as text becomes plain, checked values.

Durations, sizes and ratios stay text with their unit (`5m`, `512MB`, `80%`), as operations, PostgreSQL and people read
them; the filters `seconds`, `bytes` and `fraction` make numbers of them. Secrets are given as references and stay so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opsbook.book.references import VARIABLE
from opsbook.book.system import System
from opsbook.book.units import Dimension, parse_quantity, write_duration
from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.engine.bounds import LONGEST_SECONDS, outside
from opsbook.engine.expressions import Secret
from opsbook.engine.parameters_file import FileValues, WrongParameters
from opsbook.engine.procedure import Parameter, Procedure

TYPES = ("text", "int", "float", "bool", "duration", "size", "ratio", "choice", "component", "secret")
LONGEST_TEXT = 1_048_576
"""Characters of one value; what is longer belongs into a file."""


def parse_parameters(
    procedure: Procedure, given: Sequence[str], system: System, values: Mapping[str, Any] | None = None
) -> dict[str, Json]:
    """The values of a run: defaults, over them those of a file, over them `key=value` words.

    Raises WrongParameters with everything that is wrong.
    """
    reasons: list[tuple[str, str]] = []
    known = {parameter.name: parameter for parameter in procedure.parameters}
    found: dict[str, Any] = dict(values or {})

    def places(name: str) -> str:
        """Where a value of a file stands; empty for one of the command line."""
        return f"{values.place(name)}: " if isinstance(values, FileValues) and name not in seen else ""

    seen: set[str] = set()
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            reasons.append((f"{_short(word)!r} is not a parameter", "write name=value"))
        elif name in seen:
            reasons.append((f"the parameter {name!r} is given twice", "keep one"))
        else:
            seen.add(name)
            found[name] = value
    for name in found:
        if name not in known:
            hint = nearest(str(name), known) if known else "it takes none"
            reasons.append((f"{places(name)}{procedure.name} has no parameter {_short(name)!r}", hint))
    parsed: dict[str, Json] = {}
    for parameter in procedure.parameters:
        if parameter.name in found:
            try:
                parsed[parameter.name] = parse_value(parameter, found[parameter.name], system)
            except ValueError as error:
                message, _, hint = str(error).partition(" → ")
                reasons.append((f"{places(parameter.name)}{parameter.name}: {message}", hint))
        elif parameter.required:
            doc = f": {parameter.doc}" if parameter.doc else ""
            reasons.append(
                (f"the parameter {parameter.name!r} is missing{doc}", f"add {parameter.name}={_example(parameter)}")
            )
        else:
            parsed[parameter.name] = parameter.default
    if reasons:
        lines = [f"{message}\n  → {hint}" if hint else message for message, hint in reasons]
        raise WrongParameters("\n".join([*lines[:-1], reasons[-1][0]]), reasons[-1][1])
    return parsed


def names_of_parameters(procedure: Procedure, parameters: Mapping[str, Json]) -> dict[str, Any]:
    """The values as expressions see them: a secret parameter is a `Secret`."""
    secret = {parameter.name for parameter in procedure.parameters if parameter.type == "secret"}
    return {
        name: Secret(value) if name in secret and isinstance(value, str) else value
        for name, value in parameters.items()
    }


def parse_value(parameter: Parameter, value: Any, system: System) -> Json:
    """One value in its type. Raises ValueError: what is wrong, and after `→` the next step."""
    if value is None:
        raise ValueError(f"a value is missing → write {parameter.name}={_example(parameter)}")
    if isinstance(value, dict | list):
        raise ValueError("a list or mapping cannot be a parameter → give one plain value")
    if isinstance(value, str):
        _check_text(value)
    if parameter.type == "component":
        return _choice(parameter.choices or tuple(system.components), str(value), "component")
    if parameter.type == "choice":
        return _choice(parameter.choices, str(value), "choice")
    parsed = PARSERS[parameter.type](value)
    if why := outside(parameter, parsed):
        raise ValueError(why)
    if parameter.choices and str(parsed) not in parameter.choices:
        return _choice(parameter.choices, str(parsed), "choice")
    return parsed


def _check_text(value: str) -> None:
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{len(value):,} characters are too long for a parameter → put it into a file, and name that")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not valid UTF-8 text → give it as UTF-8") from None


def _choice(known: Sequence[str], value: str, what: str) -> str:
    if value not in known:
        raise ValueError(f"there is no {what} {_short(value)!r} → {nearest(value, known)}")
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{_short(value)} is not a whole number → write one such as 3")
    if isinstance(value, str) and not re.fullmatch(r"[-+]?[0-9]{1,300}", value.strip()):
        raise ValueError(f"{_short(value)!r} is not a whole number → write one such as 3")
    return int(value)


def _float(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{_short(value)!r} is not a number → write one such as 2.5")
    return number


def _bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    found = words.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"{_short(value)!r} is neither true nor false → write true or false")
    return found


def _quantity(dimension: Dimension, example: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{_short(value)} has no unit → write a {dimension} such as {example}")
        try:
            quantity = parse_quantity(value)
        except ValueError as error:
            raise ValueError(f"{_short(str(error))} → write a {dimension} such as {example}") from error
        if quantity.dimension is not dimension:
            raise ValueError(f"{_short(value)!r} is no {dimension} → write one such as {example}")
        if quantity.value < 0:
            raise ValueError(f"{_short(value)!r} is negative → write one such as {example}")
        if dimension is Dimension.DURATION:
            if quantity.value > LONGEST_SECONDS:
                raise ValueError(f"{_short(value)} is too long → give a duration of at most 100y")
            return write_duration(quantity.value)
        return value.strip().replace(" ", "").replace(",", "")

    return parse


def _secret(value: Any) -> str:
    text = str(value).strip()
    # `cmd:` runs a program: only a book may say that, never who starts a run.
    if VARIABLE.fullmatch(text) or (text.startswith("file:") and text[5:].strip() and "\0" not in text):
        return text
    raise ValueError(
        "a secret is given as a reference, so that its value stands in no history and no plan"
        " → write ${NAME} (in single quotes for your shell) or file:PATH"
    )


PARSERS: dict[str, Callable[[Any], Json]] = {
    "text": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "duration": _quantity(Dimension.DURATION, "5m"),
    "size": _quantity(Dimension.SIZE, "512MB"),
    "ratio": _quantity(Dimension.RATIO, "80%"),
    "secret": _secret,
}
EXAMPLES = {"text": "…", "int": "3", "float": "2.5", "bool": "true", "duration": "5m", "size": "512MB", "ratio": "80%",
            "component": "NAME", "secret": "'${NAME}'"}  # fmt: skip


def _example(parameter: Parameter) -> str:
    return parameter.choices[0] if parameter.choices else EXAMPLES.get(parameter.type, "…")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
