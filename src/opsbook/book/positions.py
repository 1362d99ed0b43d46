"""YAML with the place of every key and value, so that each error can point at its cause.

Scalars resolve by the YAML 1.2 core schema: `no`, `on` and `12:30` are text, as people expect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml reads the same, only slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_KEYWORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_STANDARD_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, order=True)
class Place:
    """1-based line and column in a file."""

    line: int
    column: int


@dataclass
class Problem:
    """One thing that is wrong with a file: where, what, and the next step."""

    file: str
    place: Place
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}"
        key = f" {self.key}:" if self.key else ""
        return f"{where}:{key} {self.message}" + (f"\n    → {self.hint}" if self.hint else "")


@dataclass
class Located:
    """Plain data with the places of its keys and values by path."""

    data: Any
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)

    def value(self, path: Sequence[str | int]) -> Place:
        """The place of the value at the path, or of the nearest thing above it."""
        return self._nearest(self.values, path)

    def key(self, path: Sequence[str | int]) -> Place:
        """The place of the key at the path, or of the nearest thing above it."""
        return self._nearest(self.keys, path)

    def _nearest(self, places: dict[Path, Place], path: Sequence[str | int]) -> Place:
        whole = tuple(path)
        for end in range(len(whole), -1, -1):
            found = places.get(whole[:end]) or self.values.get(whole[:end])
            if found:
                return found
        return Place(1, 1)


class Unreadable(Exception):
    """The text is not YAML that a book may be written in; carries every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read_yaml(text: str, file: str) -> Located:
    """Data with places. Raises Unreadable with all problems of the text."""
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise Unreadable([_syntax_problem(error, text, file)]) from error
    except yaml.YAMLError as error:
        raise Unreadable(
            [Problem(file, Place(1, 1), "", f"not readable as YAML: {error}", "save it as UTF-8 text")]
        ) from error
    except RecursionError as error:
        raise Unreadable(
            [Problem(file, Place(1, 1), "", "nested too deeply", "a book is at most a few levels deep")]
        ) from error
    located = Located(None)
    try:
        if node is not None:
            located.data = _Reader(file, located, problems).read(node, ())
    except (RecursionError, _TooMuch) as error:
        problem = Problem(file, Place(1, 1), "", "aliases that unfold without end", "write the repeated parts out")
        raise Unreadable([problem]) from error
    if problems:
        raise Unreadable(problems)
    return located


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    message = error.problem or "not YAML"
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or ("cannot start any token" in message and "\t" in line):
        return Problem(
            file, Place(place.line, line.index("\t") + 1), "", "a tab is used for indentation", "indent with spaces"
        )
    hint = {
        "mapping values are not allowed in this context": "quote the value if it holds ': ', and check the indentation",
        "could not find expected ':'": "write `key: value`, and check the line before",
        "did not find expected key": "check the indentation here and the quotes of the lines before",
        "found undefined alias": "define the anchor (&name) before it is used",
    }.get(message, "check the indentation and quotes here and in the line before")
    return Problem(file, place, "", message, hint)


MOST_NODES = 1_000_000
"""Five thousand checks are some 60,000 nodes; more than this is an alias bomb."""


class _TooMuch(Exception):
    pass


class _Reader:
    """Turns nodes into data and notes their places."""

    def __init__(self, file: str, located: Located, problems: list[Problem]) -> None:
        self.file, self.located, self.problems = file, located, problems
        self.nodes = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise _TooMuch
        self.located.values[path] = _place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, n)) for n, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key must be plain text", "quote it, or write it on its own line")
                continue
            key = key_node.value
            if key == "<<" and key_node.style is None:
                for part in self._merged(value_node, path):
                    merged = {**part, **merged}
                continue
            here = (*path, key)
            if key in data:
                first = self.located.keys[here]
                self._problem(
                    key_node, here, f"the key {key!r} stands here twice", f"the first is in line {first.line}; keep one"
                )
                continue
            self.located.keys[here] = _place(key_node)
            data[key] = self.read(value_node, here)
        return {**merged, **data}

    def _merged(self, node: yaml.Node, path: Path) -> Iterator[dict[str, Any]]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for one in nodes:
            if isinstance(one, yaml.MappingNode):
                yield self._mapping(one, path)
            else:
                self._problem(one, path, "`<<` merges mappings only", "refer to an anchor of a mapping")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text: str = node.value
        if not node.tag.startswith(_STANDARD_TAG):
            self._problem(node, path, f"the tag {node.tag} is not known here", "write plain values")
        if node.style is not None:
            return text
        if text in _KEYWORDS:
            return _KEYWORDS[text]
        if _INTEGER.fullmatch(text) and len(text) < 400:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _problem(self, node: yaml.Node, path: Path, message: str, hint: str) -> None:
        self.problems.append(Problem(self.file, _place(node), dotted(path), message, hint))


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def dotted(path: Sequence[str | int]) -> str:
    """The path as people write it: `checks[3].warning`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
