"""Which version came before: of a record of deploys, without those that somebody went back from."""

from __future__ import annotations

from collections.abc import Sequence


def succession(deployed: Sequence[str]) -> list[str]:
    """Versions as they followed each other. A version that comes again was gone back to: what came after it was bad.

    Without this, going back after a deploy that went back by itself would bring its bad version.
    """
    found: list[str] = []
    for version in deployed:
        if version in found:
            del found[found.index(version) + 1 :]
        else:
            found.append(version)
    return found


def before(deployed: Sequence[str], now: str) -> str:
    """The version that was followed by the one that runs; empty where there is none."""
    found = succession(deployed)
    if now in found:
        at = found.index(now)
        return found[at - 1] if at else ""
    return found[-1] if found else ""
