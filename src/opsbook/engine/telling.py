"""Changes as text for people: what is done to what, the values that decide first, never cut."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from opsbook.connectors.change import Json
from opsbook.printable import lines_of, one_line

HIDDEN = frozenset({"timeout", "sensitive", "ok", "component"})
"""Keys of effects that say how a change is watched, not what it does; the component stands in the head of its step."""
SHORT = 12
"""Entries of a list that are all told."""
FIRST = 5
"""Of a longer list, how many are told."""
LONGEST = 2_000
"""Characters of one line; what is longer is a content, and its size is told."""


def shown(change: Json) -> list[str]:
    """What a change does, in lines: bound values and scope first, then statement, command or content."""
    effect = change["effect"]
    if isinstance(effect, dict) and isinstance(effect.get("content"), str) and difference(change):
        # The diff shows it.
        effect = {**effect, "content": f"{len(effect['content']):,} characters"}
    make = {
        "argv": _argv,
        "sql": _sql,
        "http": _http,
        "redis": _redis,
        "supervisor": _workload,
        "inside-file": _inside_file,
    }.get(change["kind"])
    told = make(effect) if make and isinstance(effect, dict) else pairs(effect)
    # A line break inside a value must not look like a further key.
    below = "" if change["kind"] in ("sql", "argv") else "  "
    lines = [(n, line) for text in told for n, line in enumerate(lines_of(text)) if line.strip()]
    return [bounded(f"{below}{line}" if n else line) for n, line in lines]


def evidence(change: Json) -> str:
    """What was seen while it was planned, in one line."""
    found = change.get("evidence")
    if isinstance(found, dict):
        found = {name: value for name, value in found.items() if name != DIFF}
    return "" if found in (None, {}, []) else bounded(one_line(_line(found)))


def way_back(change: Json) -> str:
    """Its undo in one line, or why there is none."""
    inverse = change["inverse"]
    return bounded(one_line(inverse)) if isinstance(inverse, str) else "; ".join(shown(inverse))


def difference(change: Json) -> list[str]:
    """What a written file would change in the one that is there, as a unified diff; empty where there is none."""
    found = change.get("evidence")
    told = found.get(DIFF) if isinstance(found, dict) else None
    return [bounded(one_line(line)) for line in told] if isinstance(told, list) else []


DIFF = "diff"
"""The key of evidence that holds the lines of a diff."""


def parameters_told(parameters: Mapping[str, Json]) -> str:
    """The parameters of a plan or a run, in one line."""
    return ", ".join(f"{name}={bounded(one_line(_line(value)))}" for name, value in parameters.items())


def bounded(line: str) -> str:
    """A line that is no longer than anybody reads; how much more there is, is said."""
    if len(line) <= LONGEST:
        return line
    return f"{line[:LONGEST]}… {len(line) - LONGEST:,} more characters"


def pairs(effect: Json) -> list[str]:
    """The keys of plain data with their values, a line each; lists with how many they are."""
    if not isinstance(effect, dict):
        return [_line(effect)]
    told = {key: value for key, value in effect.items() if key not in HIDDEN and value not in (None, "", [], {})}
    if isinstance(told.get("mode"), int):
        told["mode"] = f"{told['mode']:04o}"
    return [f"{key}: {_line(value)}" for key, value in told.items()]


def _argv(effect: Json) -> list[str]:
    words = [f"{name}={shlex.quote(_text(value))}" for name, value in effect.get("env", {}).items()]
    words += [f'{name}="{reference}"' for name, reference in effect.get("secrets", {}).items()]
    command = shlex.join(effect["argv"])
    inside = f"cd {shlex.quote(effect['workdir'])} && " if effect.get("workdir") else ""
    return [*(["with " + " ".join(one_line(word) for word in words)] if words else []), inside + command]


def _sql(effect: Json) -> list[str]:
    statements = effect["statement"] if isinstance(effect["statement"], list) else [effect["statement"]]
    values = {**effect.get("parameters", {}), **effect.get("secrets", {})}
    given = [f"{name} = {one_line(_line(value))}" for name, value in values.items() if value is not None]
    return [*([f"with {', '.join(given)}"] if given else []), *(one.strip() for one in statements)]


def _redis(effect: Json) -> list[str]:
    command = shlex.join(effect["command"])
    return [f"{command}  (database {effect['database']})" if "database" in effect else command]


def _http(effect: Json) -> list[str]:
    lines = [f"{effect['method']} {one_line(_text(effect['url']))}"]
    lines += [f"{name}: {one_line(_text(text))}" for name, text in effect.get("headers", {}).items()]
    return [*lines, *([_text(effect["body"])] if effect.get("body") else [])]


def _workload(effect: Json) -> list[str]:
    """The verb and its processes in one line; what else there is, below."""
    if effect["verb"] == "exec":
        first, *rest = _argv({**effect, "workdir": ""})[::-1]
        return [*rest, f"in {effect['workload']}: {first}"]
    told = {key: value for key, value in effect.items() if key not in ("verb", "workload", "processes", "wait")}
    processes = f": {_line(effect['processes'])}" if effect.get("processes") else ""
    return [f"{effect['verb']} {effect['workload']}{processes}", *pairs(told)]


def _inside_file(effect: Json) -> list[str]:
    """Where it goes, and how large what goes there is: never the content."""
    where = f"{effect['path']} in {effect['instance'] or effect['workload']}"
    if "previous" in effect or "absent" in effect:
        return [f"put the version before of {where} back" if "previous" in effect else f"remove {where}"]
    given = next((effect[name] for name in ("from", "secret") if name in effect), "a text")
    size = f": {effect['size']:,} bytes, SHA-256 {effect['digest']}" if "digest" in effect else ""
    return [f"write {where}, mode {effect['mode']}", f"from {given}{size}"]


def _line(value: Json, depth: int = 0) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key} {_line(one, depth + 1)}" for key, one in value.items())
        return f"({inner})" if depth else inner
    if isinstance(value, list):
        told = [_line(one, depth + 1) for one in (value if len(value) <= SHORT else value[:FIRST])]
        return (f"{len(value):,}, the first {FIRST}: " if len(value) > SHORT else "") + (", ".join(told) or "none")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: Json) -> str:
    """A text that may have secrets in it: those stand as their references."""
    if isinstance(value, list):
        return "".join(part if isinstance(part, str) else str(part.get("secret", "")) for part in value)
    return str(value)
