"""The attributes of a fence: the words after its language, `key=value`, `key="quoted value"` or a bare flag."""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsbook.book.words import nearest
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.procedure import StepKind

_ALL = frozenset(StepKind) - {StepKind.PERSON}

ATTRIBUTES: dict[str, tuple[frozenset[StepKind], str]] = {
    "id": (_ALL, "the name of the step; else made from its title"),
    "on": (frozenset({StepKind.SH, StepKind.SQL, StepKind.PROMQL, StepKind.HTTP}), "the component that it addresses"),
    "timeout": (_ALL, "how long it may take, such as 5m"),
    "retry": (_ALL, "how often it is tried again after a certain failure"),
    "when": (_ALL, "the condition under which it runs"),
    "save": (_ALL, "the name under which later steps read its result"),
    "expect": (_ALL, "the condition that its result must meet"),
    "on_failure": (_ALL, "stop, continue or undo"),
    "risk": (
        frozenset({StepKind.OP, StepKind.SH, StepKind.SQL, StepKind.HTTP}),
        "its risk, where it is not the usual one",
    ),
    "undo": (frozenset({StepKind.SH, StepKind.SQL, StepKind.HTTP}), "what takes it back, in the language of the fence"),
    "env": (frozenset({StepKind.SH}), "names of variables that it sees, or NAME=${REFERENCE}"),
    "workdir": (frozenset({StepKind.SH}), "the folder it runs in, from the book's"),
    "sensitive": (_ALL - {StepKind.CHECK}, "its output is neither shown nor stored"),
    "write": (frozenset({StepKind.SQL}), "it changes the database"),
    "idempotent": (frozenset({StepKind.SH, StepKind.SQL, StepKind.HTTP}), "doing it twice does it once"),
}
"""Attribute → the fences that take it, and what it says."""

FLAGS = frozenset({"write", "sensitive", "idempotent"})
_TOKEN = re.compile(r"""\s*(?P<key>[^\s="']+)(?P<equals>\s*=\s*)?""")
_VALUE = re.compile(r"""(?P<quote>["'])(?P<quoted>(?:\\.|(?!(?P=quote)).)*)(?P=quote)|(?P<bare>[^\s"']\S*)""")


@dataclass(frozen=True)
class Attribute:
    """One attribute and where its key and value stand in the file."""

    key: str
    value: str
    place: tuple[int, int]
    value_place: tuple[int, int]
    length: int
    """Characters of the value as written."""


def read_attributes(text: str, place: tuple[int, int], kind: StepKind, mistakes: Mistakes) -> dict[str, Attribute]:
    """The attributes in the words after the language; `place` is that of the first character."""
    line, column = place
    found: dict[str, Attribute] = {}
    at = 0
    while text[at:].strip():
        token = _TOKEN.match(text, at)
        if token is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            mistakes.add((line, column + start), "an attribute is written key=value", 'quote a value: when="…"')
            break
        key, start = token["key"], token.start("key")
        value, value_at, at = "", start, token.end()
        if token["equals"]:
            read = _VALUE.match(text, at)
            if read is None:
                mistakes.add(
                    (line, column + start), f"the value of `{key}` is missing or its quote is not closed",
                    f'write {key}="…"', len(key),
                )  # fmt: skip
                break
            value = re.sub(r"\\(.)", r"\1", read["quoted"]) if read["quote"] else read["bare"]
            value_at, at = read.start("quoted" if read["quote"] else "bare"), read.end()
        attribute = Attribute(key, value, (line, column + start), (line, column + value_at), max(len(value), 1))
        if _fits(attribute, bool(token["equals"]), kind, found, mistakes):
            found[key] = attribute
    return found


def _fits(attribute: Attribute, valued: bool, kind: StepKind, found: dict[str, Attribute], mistakes: Mistakes) -> bool:
    key, length = attribute.key, len(attribute.key)
    if key not in ATTRIBUTES:
        hint = nearest(key, [name for name, (kinds, _) in ATTRIBUTES.items() if kind in kinds])
        mistakes.add(attribute.place, f"there is no attribute {key!r}", hint, length)
        return False
    if kind not in ATTRIBUTES[key][0]:
        hint = "name the component with `of:` in the fence" if key == "on" else "remove it"
        mistakes.add(attribute.place, f"`{key}` says nothing on a {kind.value} fence", hint, length)
        return False
    if key in found:
        mistakes.add(attribute.place, f"`{key}` stands here twice", "keep one", length)
        return False
    if key in FLAGS and valued:
        mistakes.add(attribute.place, f"`{key}` takes no value", f"write `{key}` alone, or leave it out", length)
        return False
    if key not in FLAGS and not attribute.value.strip():
        mistakes.add(attribute.place, f"`{key}` needs a value", f'write {key}="…": {ATTRIBUTES[key][1]}', length)
        return False
    return True
