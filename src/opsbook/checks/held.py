"""Checks that must hold while a change goes on: handed down to the executors, which know no checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opsbook.book.words import nearest
from opsbook.checks.sweep import sweep
from opsbook.clock import SystemClock
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import holding
from opsbook.errors import Refused


@holding
async def bad_of(connections: Connections, checks: Sequence[str]) -> Mapping[str, str]:
    """A sentence for each of these checks that is critical, or cannot be told. Raises Refused for one without a name
    in the book."""
    known = {one.id: one for one in connections.system.checks}
    if unknown := [name for name in checks if name not in known]:
        raise Refused(f"the book has no check named {unknown[0]}", nearest(unknown[0], known))
    connections.forget()
    found = await sweep(connections.system, [known[name] for name in checks], connections, SystemClock())
    return {
        one.check.id: f"{one.check.id} is {one.state}: {one.sentence}"
        for one in found.results
        if str(one.state) in ("critical", "unknown")
    }
