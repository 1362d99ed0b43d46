"""What pydantic found, as a person wants to hear it: the place, what was expected, the nearest valid word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from opsbook.book.positions import Located, Path, Problem, dotted
from opsbook.book.words import nearest

AS_LIST = "write `[a, b]`, or lines that begin with `- `"
AS_MAPPING = "write `key: value` lines below it"
AS_TIME = "write one such as 2026-01-31T09:00:00+01:00"

EXPECTED = {
    "string_type": ("expected text", "quote it if it is meant as text"),
    "string_too_short": ("the text is empty", "write something, or remove the key"),
    "int_type": ("expected a whole number", ""),
    "int_parsing": ("expected a whole number", ""),
    "int_from_float": ("expected a whole number", ""),
    "float_type": ("expected a number", ""),
    "float_parsing": ("expected a number", ""),
    "bool_type": ("expected true or false", ""),
    "bool_parsing": ("expected true or false", ""),
    "tuple_type": ("expected a list", AS_LIST),
    "list_type": ("expected a list", AS_LIST),
    "dict_type": ("expected a mapping", AS_MAPPING),
    "model_type": ("expected a mapping", AS_MAPPING),
    "model_attributes_type": ("expected a mapping", AS_MAPPING),
    "date_type": ("expected a day", "write one such as 2026-12-25"),
    "date_parsing": ("expected a day", "write one such as 2026-12-25"),
    "date_from_datetime_parsing": ("expected a day", "write one such as 2026-12-25"),
    "datetime_type": ("expected a time", AS_TIME),
    "datetime_parsing": ("expected a time", AS_TIME),
    "datetime_from_date_parsing": ("expected a time", AS_TIME),
    "greater_than": ("expected more than {gt}", ""),
    "greater_than_equal": ("expected at least {ge}", ""),
    "less_than_equal": ("expected at most {le}", ""),
    "too_short": ("expected at least {min_length}", "add one, or remove the key"),
    "string_pattern_mismatch": ("is not written as it must be", ""),
}
"""pydantic's error type → message and hint; the names in braces come from its context."""

CHOICES = ("union_tag_invalid", "union_tag_not_found", "literal_error", "enum")

SYNONYMS = {
    "name": "id", "component": "of", "target": "of", "type": "kind", "threshold": "critical", "error": "critical",
    "warn": "warning", "crit": "critical", "metric": "observe", "observation": "observe", "params": "with",
    "parameters": "with", "cron": "schedule", "dest": "to", "destination": "to", "retention": "keep",
    "url": "dsn", "dsn": "url", "address": "url", "runbook": "procedure", "command": "procedure", "wait": "for",
    "duration": "lasts", "every": "interval", "envs": "environments", "instances": "replicas", "needs": "depends_on",
    "service": "workload", "deployment": "workload", "program": "workload", "timezones": "timezone", "tz": "timezone",
}  # fmt: skip
"""What people write → the key that says it here, where there is one of that name."""


def problem(details: ErrorDetails, located: Located, file: str, shape: type[BaseModel], data: Any) -> Problem:
    """One error of a validation, at its place in the file."""
    path = located.source(data_path(details["loc"], data))
    kind, message, hint = details["type"], details["msg"], ""
    place = located.value(path)
    if kind == "extra_forbidden":
        key = str(path[-1])
        place = located.key(path)
        message, hint = f"the key {key!r} is not known here", unknown_key(key, _keys(shape, details["loc"]))
    elif kind == "missing":
        place = located.key(path[:-1])
        message, hint = f"the key {path[-1]!r} is missing", f"add `{path[-1]}:` here"
    elif kind in CHOICES:
        message, hint = _choice(details)
        if kind == "union_tag_invalid":
            path = (*path, "kind")
            place = located.value(path)
    elif details.get("input") is None and kind in EXPECTED:
        message, hint = "there is no value", f"{EXPECTED[kind][0]}; write one, or remove the key"
    elif kind in EXPECTED:
        message, hint = EXPECTED[kind]
        message = message.format(**{name: _amount(value) for name, value in details.get("ctx", {}).items()})
        if kind == "string_pattern_mismatch" and (examples := _examples(shape, details["loc"])):
            hint = f"write one such as {examples}"
        elif kind == "string_type":
            hint = f'quote it if it is meant as text: "{_scalar(details.get("input"))}"'
    else:
        message, hint = split_hint(message.removeprefix("Value error, ").removeprefix("Assertion failed, "))
    if details["loc"][-1:] == ("[key]",):
        place = located.key(path)
    return Problem(file, place, dotted(path), message, hint)


def without_echoes(problems: list[Problem]) -> list[Problem]:
    """A misspelt key is also a missing one; it is told once."""
    meant = {(p.key.rpartition(".")[0], p.hint) for p in problems if p.message.endswith("is not known here")}
    return [
        p
        for p in problems
        if not p.message.endswith("is missing")
        or (p.key.rpartition(".")[0], f"did you mean {p.key.rpartition('.')[2]!r}?") not in meant
    ]


def split_hint(message: str) -> tuple[str, str]:
    """Our own sentences carry their next step after a semicolon."""
    said, _, hint = message.partition("; ")
    return said[:1].lower() + said[1:], hint


def unknown_key(key: str, known: list[str]) -> str:
    """What was probably meant by a key that is not known."""
    synonym = SYNONYMS.get(key.lower().replace("-", "_"))
    if synonym in known:
        return f"did you mean {synonym!r}?"
    return nearest(key.replace("-", "_"), known)


def data_path(location: tuple[int | str, ...], data: Any) -> Path:
    """The location in the file: without the union tags that pydantic puts in."""
    path: list[int | str] = []
    for n, part in enumerate(location):
        last = n == len(location) - 1
        if last and part == "[key]":
            continue
        if isinstance(data, Mapping):
            if part in data:
                data = data[part]
                path.append(part)
            elif last:
                path.append(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
            path.append(part)
        # else: a union tag, or a position inside a scalar's own type
    return tuple(path)


def _amount(value: Any) -> str:
    from datetime import timedelta

    from opsbook.book.units import write_duration

    return write_duration(value.total_seconds()) if isinstance(value, timedelta) else str(value)


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:40]


def _choice(details: ErrorDetails) -> tuple[str, str]:
    context = details.get("ctx", {})
    raw = str(context.get("expected_tags") or context.get("expected") or "")
    words = [word.strip().strip("'") for word in raw.replace(" or ", ", ").split(",") if word.strip()]
    if details["type"] == "union_tag_not_found":
        return "the key 'kind' is missing", "add `kind:` here; it says what this is"
    given = context.get("tag", details.get("input"))
    if given is None:
        return "there is no value", "write one of " + ", ".join(words)
    if words == ["1"]:
        return f"{given!r} is not a version of this format that opsbook knows", "write `opsbook: 1`"
    return f"{given!r} is not valid here", nearest(str(given), words)


def _keys(shape: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid where an unknown one stands."""
    return [
        field.alias or name
        for annotation in _follow(shape, location[:-1])
        for model in _models(annotation)
        for name, field in model.model_fields.items()
    ]


def _examples(shape: Any, location: tuple[int | str, ...]) -> str:
    for annotation in _follow(shape, location[:-1]):
        for model in _models(annotation):
            field = model.model_fields.get(str(location[-1]))
            if field is not None and field.examples:
                return " or ".join(map(str, field.examples))
    return ""


def _follow(shape: Any, location: tuple[int | str, ...]) -> list[Any]:
    current = [shape]
    for part in location:
        current = [inner for one in current for inner in _step(one, part)]
    return current


def _step(annotation: Any, part: int | str) -> Iterator[Any]:
    for one in _alternatives(annotation):
        origin, arguments = get_origin(one), get_args(one)
        if origin is dict:
            yield arguments[1]
        elif origin in (tuple, list):
            yield arguments[0]
        elif isinstance(one, type) and issubclass(one, BaseModel):
            fields = {field.alias or name: field for name, field in one.model_fields.items()}
            if str(part) in fields:
                yield fields[str(part)].annotation
            elif _tag(one) == part:
                yield one  # a union tag, not a key


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    values = get_args(kind.annotation) if kind else ()
    return values[0] if values else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [one for one in _alternatives(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The annotation without Annotated, and a union as its members."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _alternatives(inner)
    else:
        yield annotation
