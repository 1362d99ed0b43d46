"""Alerts that Alertmanager forgot: it tells when one is over, but not while the alert is silenced or inhibited there,
and not when it lost it.

What a look saw there, and later looks for a while did not, is over. Only memory knows what was seen, so that alerts of
an Alertmanager that is not in the book are let be. Of what an earlier process saw, that is over which nobody told again
for longer than any Alertmanager waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opsbook.checks.evaluate import State
from opsbook.connectors.prometheus import AlertmanagerComponent, AlertmanagerConnector
from opsbook.store import alerts as store
from opsbook.store.database import reading
from opsbook.watch.alert_rows import from_row
from opsbook.watch.contract import Alert, Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

LOOK = timedelta(minutes=1)
IDLE = timedelta(hours=1)
FORGOTTEN_FOR = timedelta(minutes=5)
"""Prometheus tells again what fires every minute: after this nobody tells it any more."""
NOT_REPEATED_FOR = timedelta(hours=25)
"""Alertmanager repeats what fires, at the latest after a day where people set it up."""
PREFIX = "alertmanager:"


@dataclass
class Forgotten:
    """What was held and since when it is no longer, by fingerprint."""

    seen: set[str] = field(default_factory=set)
    missing: dict[str, datetime] = field(default_factory=dict)

    def look(self, going: Mapping[str, datetime], held: Collection[str], now: datetime) -> list[str]:
        """Which of the alerts that go on here, each with when it was told last, are over."""
        self.seen = {one for one in going if one in held or one in self.seen}
        gone = [one for one in self.seen if one not in held]
        self.missing = {one: min(self.missing.get(one, now), now) for one in gone}
        old = {one for one, told in going.items() if one not in held and now - told >= NOT_REPEATED_FOR}
        return sorted(old | {one for one, since in self.missing.items() if now - since >= FORGOTTEN_FOR})


@part
class AlertmanagerAlerts:
    """Ends alerts that every Alertmanager of the book has forgotten."""

    name = "alertmanager-alerts"

    def __init__(self, watch: Watch) -> None:
        self.watch, self.forgotten = watch, Forgotten()
        components = watch.system.components.items()
        self.servers = [name for name, one in components if isinstance(one, AlertmanagerComponent)]

    async def tick(self, now: datetime) -> datetime:
        """One that does not answer may hold what the others do not: then nothing is decided. Raises OpsbookError."""
        if not self.servers:
            return now + IDLE
        held: set[str] = set()
        for name in self.servers:
            connector = self.watch.connections.of(name)
            assert isinstance(connector, AlertmanagerConnector)
            held |= {PREFIX + str(one.get("fingerprint", "")) for one in await connector.held()}
        going = {one.fingerprint: one for one in await asyncio.to_thread(self._going)}
        told = {name: one.seen_at for name, one in going.items()}
        over = self.forgotten.look(told, held, now)
        await tell(self.watch, [_over(going[one], now) for one in over])
        return now + LOOK

    def _going(self) -> list[Alert]:
        with reading(self.watch.setting.store) as connection:
            rows = store.open_ones(connection, self.watch.where)
        return [one for one in map(from_row, rows) if one.source == "alertmanager"]


def _over(alert: Alert, now: datetime) -> Signal:
    return Signal(
        fingerprint=alert.fingerprint,
        source="alertmanager",
        at=now,
        state=State.OK,
        title=alert.title,
        sentence="Alertmanager no longer holds it",
        check=alert.check,
        component=alert.component,
        labels=alert.labels,
    )
