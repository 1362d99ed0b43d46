"""Text in a bash script: words, comments and here-documents that no value can break out of."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from opsbook.printable import lines_of


def word(text: str, *, script: bool = False) -> str:
    """The text as one word of bash. Control characters and line breaks stand as codes; the lines of a `script` stay."""
    if all(one.isprintable() or (script and one in "\n\t") for one in text):
        return shlex.quote(text)
    return f"$'{''.join(_escaped(one) for one in text)}'"


def inside_quotes(text: str) -> str:
    """The text as a part of a word in double quotes."""
    return "".join(f"\\{one}" if one in '\\"$`' else one for one in text)


def comment(text: str, indent: str = " ") -> list[str]:
    """The text as comments: whatever any reader takes for a line break begins another comment."""
    return [f"#{indent}{line}".rstrip() for line in lines_of(text)] or ["#"]


def fed(command: str, text: str, name: str = "TEXT") -> list[str]:
    """The command with the text as its input: a here-document under a word that does not occur in it."""
    if not all(one.isprintable() or one in "\n\t" for one in text) or not text.endswith("\n"):
        return [f"printf %s {word(text)} | {command}"]
    lines = text.removesuffix("\n").split("\n")
    while name in lines:
        name += "_"
    return [f"{command} <<'{name}'", *lines, name]


def words(texts: Iterable[str]) -> str:
    """Several words."""
    return " ".join(word(one) for one in texts)


def _escaped(one: str) -> str:
    if one in "\\'":
        return f"\\{one}"
    if one.isprintable():
        return one
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(one)
    # Bytes, not code points: what `\u` yields depends on the locale.
    return known or "".join(f"\\x{byte:02x}" for byte in one.encode("utf-8", "surrogateescape"))
