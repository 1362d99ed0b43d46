"""Words of the shell: quoting taken off, what is static told from what the shell fills in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from opsbook.manual.shell_model import Assignment, Word
from opsbook.manual.shell_tree import PLACEHOLDER, Node, Source, point_of

_ANSI = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "v": "\v",
}
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*|[0-9@*#?!$-])")
_OTHER_PLACEHOLDER = re.compile(
    r"\[([A-Z][A-Z0-9_-]{2,}|your[ _-][\w -]+)\]|\{\{\s*([\w.]+)\s*\}\}|\b(YOUR_[A-Z0-9_]+)\b", re.I
)


@dataclass
class _Building:
    """A word in the making: pieces of text, each with its place."""

    source: Source
    variables: Mapping[str, str]
    text: list[str] = field(default_factory=list)
    value: list[str] | None = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    substitutions: list[str] = field(default_factory=list)
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    length: int = 0

    def add(self, piece: str, point: tuple[int, int], value: str | None = None) -> None:
        line, column = self.source.place(point)
        self.segments.append((self.length, line, column))
        self.segments += [(self.length + start, *place_) for start, place_ in self.source.line_starts(piece, point[0])]
        self.text.append(piece)
        self.length += len(piece)
        if self.value is not None:
            self.value.append(piece if value is None else value)

    def dynamic(self, piece: str, point: tuple[int, int]) -> None:
        self.value = None
        self.add(piece, point)


def word_of(source: Source, node: Node, variables: Mapping[str, str]) -> Word:
    """A word from its node."""
    building = _Building(source, variables)
    _take(building, node, quoted=False)
    text = "".join(building.text)
    raw = source.raw(node)
    line, column = source.place(point_of(node.start_point))
    end_line, end_column = source.place(point_of(node.end_point))
    return Word(
        raw=raw,
        text=text,
        value=None if building.value is None else "".join(building.value),
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        variables=tuple(building.names),
        substitutions=tuple(building.substitutions),
        placeholders=placeholders_of(text),
        quote=raw[0] if raw[:1] in ("'", '"') else "",
        glob=node.type in ("word", "concatenation")
        and bool(re.search(r"[*?]|\[[^\]]+\]", raw))
        and raw[:1] not in "'\"",
        segments=tuple(building.segments) or ((0, line, column),),
    )


def placeholders_of(text: str) -> tuple[str, ...]:
    """The names a person must fill in: `<pod-name>`, `[POD]`, `{{ pod }}`, `YOUR_TOKEN`."""
    if not any(mark in text for mark in "<[{Yy"):
        return ()
    found = [m[1] or m[2] for m in PLACEHOLDER.finditer(text)]
    found += [next(group for group in m.groups() if group) for m in _OTHER_PLACEHOLDER.finditer(text)]
    return tuple(found)


def expansions(text: str) -> tuple[str, ...]:
    """The variables that the shell fills into a text."""
    return tuple(m[1] for m in _VARIABLE.finditer(re.sub(r"\\.", "", text)))


def assignment_of(source: Source, node: Node, variables: Mapping[str, str], exported: bool) -> Assignment | None:
    """`NAME=value` from its node; None where the grammar left a fragment."""
    name = node.child_by_field_name("name")
    value = node.child_by_field_name("value")
    if name is None:
        return None
    line, column = source.place(point_of(node.start_point))
    operator = next((child.type for child in node.children if child.type in ("=", "+=")), "=")
    if value is None:
        end = source.place(point_of(node.end_point))
        word = Word("", "", "", end[0], end[1], end[0], end[1])
    else:
        word = word_of(source, value, variables)
    return Assignment(source.raw(name), word, line, column, exported, operator)


def _take(building: _Building, node: Node, quoted: bool) -> None:
    kind, raw, at = node.type, building.source.raw(node), point_of(node.start_point)
    if kind == "raw_string":
        building.add(raw[1:-1] if raw.endswith("'") and len(raw) > 1 else raw[1:], (at[0], at[1] + 1))
    elif kind == "ansi_c_string":
        building.add(re.sub(r"\\(.)", lambda m: _ANSI.get(m[1], m[0]), raw[2:-1], flags=re.S), (at[0], at[1] + 2))
    elif kind in ("string", "translated_string"):
        _take_string(building, node)
    elif kind in ("concatenation", "command_name"):
        _take_children(building, node)
    elif kind == "simple_expansion":
        _take_variable(building, node, raw.lstrip("$"), at)
    elif kind == "expansion":
        simple = re.fullmatch(r"\$\{(\w+)\}", raw)
        if simple:
            _take_variable(building, node, simple[1], at)
        else:
            building.names.extend(expansions(raw))
            building.dynamic(raw, at)
    elif kind in ("command_substitution", "process_substitution", "arithmetic_expansion"):
        if kind != "arithmetic_expansion":
            building.substitutions.append(raw)
        building.dynamic(raw, at)
    elif kind == "array":
        building.dynamic(raw, at)
    else:
        _take_literal(building, raw, at, quoted)


def _take_children(building: _Building, node: Node) -> None:
    """The parts of a concatenation, and what the grammar leaves between them."""
    source, end = building.source, node.start_byte
    for child in node.children:
        if child.start_byte > end:
            building.add(source.slice(end, child.start_byte), point_of(child.start_point))
        _take(building, child, quoted=False)
        end = child.end_byte
    if not node.children:
        _take_literal(building, source.raw(node), point_of(node.start_point), False)


def _take_variable(building: _Building, node: Node, name: str, at: tuple[int, int]) -> None:
    raw = building.source.raw(node)
    building.names.append(name)
    known = building.variables.get(name)
    if known is None:
        building.dynamic(raw, at)
    else:
        building.add(raw, at, known)


def _take_string(building: _Building, node: Node) -> None:
    """A double-quoted string; the grammar drops blanks at the start of lines, so the gaps are read from the file."""
    source, end, row_at = building.source, node.start_byte, point_of(node.start_point)
    for child in node.children:
        if child.start_byte > end:
            _take_literal(building, source.slice(end, child.start_byte), row_at, True)
        if child.type == '"' or child.type == '$"':
            pass
        elif child.type == "string_content":
            _take_literal(building, source.raw(child), point_of(child.start_point), True)
        else:
            _take(building, child, quoted=True)
        end, row_at = child.end_byte, point_of(child.end_point)


def _take_literal(building: _Building, raw: str, at: tuple[int, int], quoted: bool) -> None:
    """Plain characters: backslashes are taken off as the shell would, each leaving a new segment."""
    special = '\\$`"\n' if quoted else None
    row, column, start = at[0], at[1], 0
    if "\\" not in raw:
        if raw:
            building.add(raw, at)
        return
    position = 0
    pieces: list[tuple[int, str]] = []
    while position < len(raw):
        char = raw[position]
        if char == "\\" and position + 1 < len(raw) and (special is None or raw[position + 1] in special):
            if position > start:
                pieces.append((start, raw[start:position]))
            if raw[position + 1] != "\n":
                pieces.append((position + 1, raw[position + 1]))
            position += 2
            start = position
        else:
            position += 1
    if start < len(raw):
        pieces.append((start, raw[start:]))
    for offset, piece in pieces:
        before = raw[:offset]
        newlines = before.count("\n")
        width = len(before.rsplit("\n", 1)[-1].encode())
        building.add(piece, (row + newlines, width if newlines else column + width))
