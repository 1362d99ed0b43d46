"""The reference of book.yaml as Markdown, made of its JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from opsbook.book.units import EXAMPLE, Dimension

INTRODUCTION = """\
# book.yaml

This page is generated from the schema: `opsbook schema --format markdown`. For an editor, write
`# yaml-language-server: $schema=book.schema.json` into the first line of the book, and
`opsbook schema > book.schema.json`.

Unknown keys are errors, everywhere. `opsbook doctor` says which keys this version only accepts and does not act on yet.

"""

TYPES = """\
## How values are written

| type | written as |
|---|---|
"""

WRITTEN = {
    "duration": f"{EXAMPLE[Dimension.DURATION]}, 1h30m; units ns us ms s m h d w mo (30 days) y (365 days)",
    "size": f"{EXAMPLE[Dimension.SIZE]}; kB MB GB TB are powers of 1000, KiB MiB GiB TiB (and Ki Mi Gi Ti) of 1024",
    "share": f"{EXAMPLE[Dimension.RATIO]}, 99.9%",
    "threshold": "which values are bad: `> 200ms`, `< 20%`, `== 0`, `is down`, `outside 10..20`, `within 10..20`, or "
    "`< 50% of 7d` against the median of the own values of that time. Quote it: YAML reads a bare `>` otherwise. "
    "Its unit must be that of the observation",
    "reference": "text, or where a value comes from: `${NAME}`, `${NAME:-default}`, `file:PATH`, "
    "`cmd:PROGRAM ARGUMENTS`. It is resolved when it is needed, and printed as it is written",
    "name": "lower-case letters, digits, `-`, `_` and `.`",
    "variable": "the name of an environment variable",
    "cron line": '"0 3 * * *": minute, hour, day of the month, month, day of the week',
    "recurrence rule": '"FREQ=WEEKLY;BYDAY=SU;BYHOUR=2" (RFC 5545)',
    "time of day": "09:00",
    "time zone": "UTC, America/Mexico_City",
    "date-time": "2026-01-31T09:00:00+01:00; without an offset it is in the book's time zone",
}


def book_reference(schema: dict[str, Any]) -> str:
    """Every key of a book with its type, default and meaning; the components by kind."""
    definitions: dict[str, Any] = schema["$defs"]
    text = INTRODUCTION + TYPES
    text += "".join(f"| {name} | {_cell(written)} |\n" for name, written in WRITTEN.items())
    text += "\n## The book\n\n" + _table(schema)
    kinds = [name for name in definitions if name.endswith("Component")]
    for name in _reached(schema, definitions):
        if name not in kinds:
            text += _section(name, definitions[name], f"## {_words(name)}")
    text += "## Components\n\nWhat a component may say depends on its `kind`.\n\n"
    for name in kinds:
        kind = definitions[name]["properties"]["kind"]["const"]
        text += _section(name, definitions[name], f"### `{kind}`", skip=("kind",))
    return text.rstrip() + "\n"


def _section(name: str, definition: dict[str, Any], heading: str, skip: tuple[str, ...] = ()) -> str:
    anchor = f'<a id="{_anchor(name)}"></a>\n'
    description = definition.get("description", "").strip()
    if "properties" not in definition:
        return f"{heading}\n\n{anchor}\n{description}\n\nOne of {type_text(definition)}.\n\n"
    return f"{heading}\n\n{anchor}\n{description}\n\n" + _table(definition, skip)


def _table(definition: dict[str, Any], skip: tuple[str, ...] = ()) -> str:
    required = definition.get("required", ())
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, value in definition.get("properties", {}).items():
        if key in skip:
            continue
        default = "**needed**" if key in required else default_text(value)
        rows.append(f"| `{key}` | {_cell(type_text(value))} | {_cell(default)} | {_cell(_meaning(value))} |")
    return "\n".join(rows) + "\n\n"


def _meaning(value: dict[str, Any]) -> str:
    text: str = value.get("description", "")
    own = "x-type" in value  # the examples of a type are told once, above
    if value.get("examples") and not own and value.get("type") not in ("array", "object"):
        text += "; for example " + ", ".join(f"`{example}`" for example in value["examples"])
    return text


def type_text(value: dict[str, Any], linked: bool = True) -> str:
    """What may stand there, in words; `linked` refers to the other sections of the page."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{_words(name).lower()}](#{_anchor(name)})" if linked else _words(name).lower()
    if "x-type" in value:
        return str(value["x-type"])
    if "anyOf" in value or "oneOf" in value:
        return _alternatives(value)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return "name" if len(value["enum"]) > 15 else " or ".join(f"`{one}`" for one in value["enum"])
    if value.get("type") == "array":
        return f"list of {type_text(value['items'])}" if "items" in value else "list"
    if value.get("type") == "object":
        inner = _inner(value)
        return f"mapping of {type_text(inner)}" if inner else "mapping"
    return str(value.get("format") or PLAIN.get(str(value.get("type")), "any"))


PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def _alternatives(value: dict[str, Any]) -> str:
    if "discriminator" in value and len(value["oneOf"]) > 4:
        return "[component](#components)"
    inner = [one for one in value.get("anyOf", value.get("oneOf", ())) if one.get("type") != "null"]
    return " or ".join(type_text(one) for one in inner)


def _inner(value: dict[str, Any]) -> dict[str, Any] | None:
    for inner in value.get("patternProperties", {}).values():
        return dict(inner)
    inner = value.get("additionalProperties")
    return inner if isinstance(inner, dict) and inner else None


def told_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of a schema with type, default and meaning, as plain data."""
    needed = schema.get("required", ())
    return [
        {
            "name": name,
            "type": type_text(value, linked=False),
            "needed": name in needed,
            "default": default_text(value).strip("`"),
            "doc": value.get("description", ""),
        }
        for name, value in schema.get("properties", {}).items()
    ]


def default_text(value: dict[str, Any]) -> str:
    """What holds where the key is left out, as code; empty where that is nothing."""
    default = value.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _reached(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """Names of definitions in the order in which a reader meets them."""
    found: list[str] = []
    waiting = list(_references(schema.get("properties", {})))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting = [*_references(definitions[name].get("properties", {})), *waiting]
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for key, inner in value.items():
            if key != "discriminator":
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _words(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).split()
    return " ".join([words[0], *(word.lower() for word in words[1:])])


def _anchor(name: str) -> str:
    return name.lower()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
