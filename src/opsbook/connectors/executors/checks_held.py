"""Checks that must stay well while something goes on: asked for by executors, which know no checks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import registered


async def bad_among(connections: Connections, checks: Sequence[str]) -> Mapping[str, str]:
    """Each of them that is critical or cannot be told now, with its sentence."""
    if not checks:
        return {}
    (holds,) = registered().holding
    return await holds(connections, checks)


async def until_bad(connections: Connections, checks: Sequence[str], every: float) -> str:
    """Looks every so many seconds; returns the sentence of the first that is bad twice in a row."""
    before: Collection[str] = ()
    while True:
        # One bad look is noise as often as a fault: a version is not condemned for it.
        bad = await bad_among(connections, checks)
        if again := [said for name, said in bad.items() if name in before]:
            return again[0]
        before = bad
        await asyncio.sleep(every)
