"""Text of others on a terminal: what would steer it is shown as its code, and no line break can forge a line."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with every control and format character as its code (`\\x1b`, `\\u202e`); `\\n` and tabs stay."""
    return "".join(one if one in "\n\t" or one.isprintable() else _code(one) for one in text)


def lines_of(text: str) -> list[str]:
    """Its lines, split at whatever any reader takes for a line break (also `\\r`, `\\v`, `\\f`, U+2028), printable."""
    return [printable(line) for line in text.splitlines()]


def one_line(text: str) -> str:
    """The text in one line: its line breaks are shown as `\\n`."""
    return printable(text.strip("\n").replace("\r\n", "\n")).replace("\n", "\\n")


def _code(one: str) -> str:
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
