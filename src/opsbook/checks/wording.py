"""What servers say, made safe to print. Pure."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"\s*[\r\n]+\s*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""C0 and C1 controls, and the marks that turn the direction of text: a message must not steer a terminal."""


def one_line(text: str) -> str:
    """The text on one line, without anything that a terminal, a log or an XML reader would obey."""
    return _CONTROL.sub("?", _BREAKS.sub("; ", text.strip()))
