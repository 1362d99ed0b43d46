"""Which release this process runs, and the fault built into it, if any."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def version() -> str:
    """The release that this process was started from; read once, so a later switch of `current` does not change it."""
    return (Path.cwd() / "VERSION").read_text().strip()


@cache
def fault() -> str:
    """`slow`, `crash`, `errors` or nothing: releases with a fault exist so that a deployment can be seen to fail."""
    path = Path.cwd() / "FAULT"
    return path.read_text().strip() if path.exists() else ""
