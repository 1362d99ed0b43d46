"""The read replicas of a book as procedures: added and removed."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.connectors.postgres import PostgresComponent
from opsbook.upkeep.templates import filled


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of both of each."""
    for component, settings in system.components.items():
        if isinstance(settings, PostgresComponent):
            for one in settings.read_replicas:
                for verb in ("add", "remove"):
                    yield f"{verb}-replica-{one.id}", filled(f"{verb}-replica", component=component, replica=one.id)
