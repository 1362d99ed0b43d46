"""Keys of objects: relative paths that are safe as file names, in URLs and in every bucket."""

from __future__ import annotations

import re

_PART = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")
LONGEST_PART, LONGEST_KEY = 200, 900
"""File systems end at 255 bytes a name, S3 at 1,024 a key; the store's own prefix needs its share."""


def fault(key: str) -> str | None:
    """Why a text is no key; None where it is one."""
    if not key or len(key) > LONGEST_KEY:
        return "it is empty or too long"
    for part in key.split("/"):
        if not _PART.fullmatch(part):
            return f"{part!r} is no part of a key: letters, digits and ._=- only, and no dot in front"
        if len(part) > LONGEST_PART:
            return f"{part[:20]!r}… is longer than {LONGEST_PART} characters"
    return None


def checked(key: str) -> str:
    """The key. Raises ValueError for a text that is none."""
    if reason := fault(key):
        raise ValueError(f"{key!r} cannot name an object: {reason}")
    return key


def safe(text: str) -> str:
    """A text as one part of a key, the same for the same text."""
    return re.sub(r"[^A-Za-z0-9_=-]", "-", text)[:LONGEST_PART] or "-"
