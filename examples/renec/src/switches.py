"""Switches that a demonstration throws: a file named for the fault, holding its parameters as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

CACHE_SECONDS = 0.2
_seen: dict[Path, tuple[float, dict[str, float] | None]] = {}


def switch(folder: Path, name: str) -> dict[str, float] | None:
    """Parameters of the switch if it is thrown, else None. A change is seen within 0.2 s."""
    path = folder / name
    now = time.monotonic()
    known = _seen.get(path)
    if known and now - known[0] < CACHE_SECONDS:
        return known[1]
    try:
        parameters = json.loads(path.read_text() or "{}")
    except FileNotFoundError:
        parameters = None
    except json.JSONDecodeError:
        parameters = {}
    _seen[path] = (now, parameters)
    return parameters
