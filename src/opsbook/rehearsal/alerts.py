"""The alert rules of the Prometheus servers of a book, and which of them fired while the rehearsal went on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from opsbook.book.system import System
from opsbook.connectors.contract import Connections
from opsbook.connectors.prometheus import PrometheusConnector
from opsbook.errors import OpsbookError
from opsbook.store.rehearsals import Firing

FIRED = 'max by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s]))'
"""`ALERTS` is the series that Prometheus writes for every alert (prometheus.io, alerting rules)."""


@dataclass
class Alerts:
    """Rules by name and group, what fired, and why something could not be asked."""

    rules: list[tuple[str, str]] = field(default_factory=list)
    fired: list[Firing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def alerts_of(system: System, connections: Connections, seconds: float) -> Alerts:
    """Ask every Prometheus of the book what fired in the last so many seconds."""
    found = Alerts()
    for name, component in system.components.items():
        if component.kind != "prometheus":
            continue
        connector = connections.of(name)
        assert isinstance(connector, PrometheusConnector)
        try:
            found.rules += [rule for rule in await connector.alert_rules() if rule not in found.rules]
            series = await connector.query(FIRED.format(seconds=max(15, int(seconds) + 1)))
        except OpsbookError as error:
            found.notes.append(f"the alert rules of {name} are not known: {error.message}")
        else:
            found.fired += [Firing("alert", one.labels["alertname"], "firing", time.time()) for one in series]
    return found
