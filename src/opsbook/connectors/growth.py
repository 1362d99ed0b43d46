"""How fast a disk fills, from what was seen before. Looks are kept in a small file of opsbook's own state folder, so
that a check that runs once a day learns from the one of yesterday."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

Look = tuple[float, float]
"""Seconds since 1970, and bytes used then."""

KEEP_SECONDS = 7 * 86400.0
APART_SECONDS = 300.0
SHORTEST = 600.0
"""Seconds that looks must span before their growth means anything."""
LONGEST = 10 * 365 * 86400.0
"""What fills later than in ten years does not fill."""


def state_folder() -> Path:
    """Where opsbook keeps small state of its own: $OPSBOOK_STATE, else the XDG state folder."""
    if named := os.environ.get("OPSBOOK_STATE"):
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "opsbook"


def remember(key: str, now: float, used: float, folder: Path) -> list[Look]:
    """Note a look, and give all that are still of use, oldest first."""
    path = folder / "growth" / (hashlib.sha256(key.encode()).hexdigest()[:16] + ".json")
    looks = [look for look in _read(path) if now - KEEP_SECONDS < look[0] <= now]
    if looks and now - looks[-1][0] < APART_SECONDS:
        return [*looks, (now, used)]
    looks.append((now, used))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(looks))
        fresh.replace(path)
    except OSError:
        return looks  # a state folder that cannot be written costs the memory, not the check
    return looks


def _read(path: Path) -> list[Look]:
    try:
        return [(float(at), float(used)) for at, used in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError):
        return []


def full_in(looks: Sequence[Look], free: float) -> float | None:
    """Seconds until the free bytes are used, by the line of least squares through the looks.

    None while they span less than ten minutes; never more than ten years.
    """
    if len(looks) < 2 or looks[-1][0] - looks[0][0] < SHORTEST:
        return None
    mean_at = sum(at for at, _ in looks) / len(looks)
    mean_used = sum(used for _, used in looks) / len(looks)
    spread = sum((at - mean_at) ** 2 for at, _ in looks)
    slope = sum((at - mean_at) * (used - mean_used) for at, used in looks) / spread
    return min(LONGEST, free / slope) if slope > 0 else LONGEST
