"""YAML blocks of manuals as plain values that know their lines; a block that is no YAML has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# Only nodes are made, never objects; libyaml's parser is ten times the speed of the other where it is built in.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST = 60_000
_DEEPEST = 40


@dataclass(frozen=True)
class Entry:
    """One mapping: its keys with the text or the nested value of each, and the line of each key in the file."""

    line: int
    values: dict[str, object]
    lines: dict[str, int]

    def text(self, *keys: str) -> str:
        """The first of these keys that holds a plain value."""
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str):
                return value.strip()
        return ""

    def entry(self, key: str) -> Entry | None:
        """A nested mapping."""
        value = self.values.get(key)
        return value if isinstance(value, Entry) else None

    def walk(self) -> Iterator[Entry]:
        """This mapping and all inside it."""
        yield self
        for value in self.values.values():
            yield from _inside(value)


@lru_cache(maxsize=256)
def read_yaml(text: str, first_line: int, longest: int = _LONGEST) -> list[object]:
    """The documents of a YAML text: Entry, list or text. One of more than `longest` characters has none.

    Where the whole cannot be read, its readable start is tried.
    """
    if len(text) > longest:
        return []
    try:
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except (yaml.YAMLError, ValueError, RecursionError):
        return _partly(text, first_line)
    return [_value(node, first_line, 0) for node in nodes if node is not None]


def entries(text: str, first_line: int, longest: int = _LONGEST) -> Iterator[Entry]:
    """Every mapping of a YAML text, parents first."""
    for value in read_yaml(text, first_line, longest):
        yield from _inside(value)


def _partly(text: str, first_line: int) -> list[object]:
    """Documents between `---` one by one, so that one bad one does not hide the rest."""
    found: list[object] = []
    line = first_line
    pieces = text.split("\n---")
    for piece in pieces if len(pieces) > 1 else []:
        try:
            node = yaml.compose(piece, Loader=_LOADER)
        except (yaml.YAMLError, ValueError, RecursionError):
            node = None
        if node is not None:
            found.append(_value(node, line, 0))
        line += piece.count("\n") + 1
    return found


def _inside(value: object) -> Iterator[Entry]:
    if isinstance(value, Entry):
        yield from value.walk()
    elif isinstance(value, list):
        for each in value:
            yield from _inside(each)


def _value(node: Node, first_line: int, depth: int) -> object:
    if isinstance(node, MappingNode) and depth < _DEEPEST:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            if isinstance(key, ScalarNode):
                values[key.value] = _value(child, first_line, depth + 1)
                lines[key.value] = first_line + key.start_mark.line
        return Entry(first_line + node.start_mark.line, values, lines)
    if isinstance(node, SequenceNode) and depth < _DEEPEST:
        return [_value(child, first_line, depth + 1) for child in node.value]
    return node.value if isinstance(node, ScalarNode) else ""
