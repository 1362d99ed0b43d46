"""Secrets that a manual spells out: found, so that no import copies them."""

from __future__ import annotations

import re

from opsbook.book.references import hide_password

_WRITTEN = re.compile(
    r"(?i)(\bpassword\s+(?=['\"])|\b(?:PGPASSWORD|MYSQL_PWD|REDISCLI_AUTH)=|--pass(?:word)?[= ])"
    r"(?![$<'\"]*[$<{])(?:'[^']*'|\"[^\"]*\"|[^\s'\"]+)"
)


def masked(text: str) -> str:
    """The text with `***` in place of each secret."""
    return _WRITTEN.sub(lambda match: f"{match[1]}***", hide_password(text))


def spells_out(text: str) -> bool:
    """Whether a secret stands in the text."""
    return _WRITTEN.search(text) is not None
