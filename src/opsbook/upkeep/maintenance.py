"""Putting the system of a book in maintenance and taking it out again, as procedures."""

from __future__ import annotations

import json
from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.connectors.http import ProxyComponent
from opsbook.upkeep.templates import filled

ENTER, LEAVE = "maintenance-enter", "maintenance-leave"
MESSAGE = "We are working on the system and will be back soon."


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of both, where `maintenance.of` is a proxy that can answer in place of the system."""
    component = system.model.maintenance.of
    settings = system.components.get(component or "")
    if component and isinstance(settings, ProxyComponent) and settings.maintenance:
        message = json.dumps(system.model.maintenance.message or MESSAGE, ensure_ascii=False)
        yield ENTER, filled("maintenance-enter", component=component, message=message)
        yield LEAVE, filled("maintenance-leave", component=component)
