"""YAML with the place of every key and value, so that each error can point at its cause.

Scalars resolve by the YAML 1.2 core schema: `no`, `on` and `12:30` are text, as people expect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from opsbook.book.syntax import explain

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
        hint = f"\n    → {self.hint}" if self.hint else ""
        # The key is the file's own text, which may hold anything.
        return "".join(c if c.isprintable() or c == "\n" else "?" for c in f"{where}:{key} {self.message}{hint}")


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

    def source(self, path: Sequence[str | int]) -> Path:
        """The path in the file of a path in the data; they differ where data was merged."""
        return tuple(path)

    def _nearest(self, places: dict[Path, Place], path: Sequence[str | int]) -> Place:
        whole = tuple(path)
        for end in range(len(whole), -1, -1):
            found = places.get(whole[:end]) or self.values.get(whole[:end])
            if found:
                return found
        return Place(1, 1)


class Unreadable(Exception):
    """The text is not what a book may be written in; carries every problem that was found.

    `located` is what could be read all the same, so that the other problems of the file can be told too.
    """

    def __init__(self, problems: list[Problem], located: Located | None = None) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
        self.located = located


def read_yaml(text: str, file: str) -> Located:
    """Data with places. Raises Unreadable with all problems of the text."""
    if _too_deep(text):
        raise Unreadable([Problem(file, Place(1, 1), "", "nested too deeply", "a book is at most a few levels deep")])
    try:
        node = yaml.compose(_without_braces(text), Loader=_Loader)
    except yaml.YAMLError as error:
        found = explain(error, text)
        place = Place(found.line, found.column)
        raise Unreadable([Problem(file, place, "", found.message, found.hint)]) from error
    except RecursionError as error:
        problem = Problem(file, Place(1, 1), "", "nested too deeply", "a book is at most a few levels deep")
        raise Unreadable([problem]) from error
    problems: list[Problem] = []
    located = Located(None)
    try:
        if node is not None:
            located.data = _Reader(file, located, problems).read(node, ())
    except (RecursionError, _TooMuch) as error:
        problem = Problem(file, Place(1, 1), "", "aliases that unfold without end", "write the repeated parts out")
        raise Unreadable([problem]) from error
    if problems:
        raise Unreadable(problems, located)
    return located


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*(?::-[^{}\n]*)?)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"
_HIDDEN = re.compile(f"\\${_OPEN}([^{_CLOSE}]*){_CLOSE}")


def _without_braces(text: str) -> str:
    """`${NAME}` may stand bare inside `{…}` although YAML sees braces there: as long as before, so places stay true."""
    return _REFERENCE.sub(rf"${_OPEN}\1{_CLOSE}", text)


def _with_braces(text: str) -> str:
    return _HIDDEN.sub(r"${\1}", text) if _OPEN in text else text


DEEPEST = 1000
_STAIRS = re.compile(rf"(?:[-?:][ \t]+){{{DEEPEST}}}")


def _too_deep(text: str) -> bool:
    """Whether its nesting would exhaust the stack of the C parser, which does not check."""
    if _STAIRS.search(text):
        return True
    if text.count("[") + text.count("{") < DEEPEST:
        return False
    depth = deepest = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest >= DEEPEST


MOST_NODES = 250_000
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
        if not node.tag.startswith(_STANDARD_TAG):
            self._problem(node, path, f"the tag {node.tag} is not known here", "write plain values")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, n)) for n, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                for part in self._merged(value_node, path):
                    merged = {**part, **merged}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key must be plain text", "quote `{{ … }}` and `{…}` that are text")
                continue
            key = _with_braces(key_node.value)
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

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = _with_braces(node.value)
        if _quoted(node):
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


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and not _quoted(node)


def _quoted(node: yaml.ScalarNode) -> bool:
    # libyaml calls the plain style "", the Python scanner None.
    return bool(node.style)


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def dotted(path: Sequence[str | int]) -> str:
    """The path as people write it: `checks[3].warning`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
