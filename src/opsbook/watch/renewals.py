"""The part that has certificates renewed in time: a due time each day from the day on which a renewal is due."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from opsbook.book.planned import Certificate
from opsbook.checks.evaluate import State
from opsbook.connectors.certificates.pairs import Chain
from opsbook.connectors.certificates.places import places_of
from opsbook.errors import OpsbookError
from opsbook.store import due as store
from opsbook.store.database import reading
from opsbook.store.due import Due
from opsbook.upkeep.certificates import due
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

RHYTHM = timedelta(hours=1)
CRITICAL_BEFORE = 0.1
"""Share of its lifetime that is left when a certificate that could not be renewed is critical."""


def slot(moment: datetime) -> datetime:
    """The day of a try: one that failed is tried again the next day, not every hour, since authorities count."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def judge(certificate: Certificate, chain: Chain, now: datetime) -> tuple[State, str]:
    """How a certificate is. Pure."""
    begins = chain.ends - chain.lifetime
    told = f"{', '.join(certificate.names)} until {chain.ends:%Y-%m-%d %H:%M} UTC"
    if chain.ends <= now:
        return State.CRITICAL, f"it has ended: {told}"
    if now - due(certificate, begins, chain.ends, now) < timedelta(days=1):
        return State.OK, told
    left = (chain.ends - now) / chain.lifetime
    return (State.CRITICAL if left < CRITICAL_BEFORE else State.WARNING), f"it could not be renewed yet: {told}"


@part
class Renewals:
    """Looks at the files of each certificate that opsbook renews by itself."""

    name = "renewals"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        known = watch.system.model.certificates
        self.certificates = [one for one in known if one.method == "acme" and watch.system.holds(one.environments)]

    async def tick(self, now: datetime) -> datetime:
        signals = []
        for one in self.certificates:
            state, sentence = await self._looked_at(one, now)
            signals.append(
                Signal(
                    fingerprint=f"certificate:{one.id}", source="opsbook", at=now, state=state,
                    title=f"certificate {one.id}", sentence=sentence, component=one.of or "",
                    procedure=f"renew-{one.id}",
                )
            )  # fmt: skip
        if signals:
            await tell(self.watch, signals)
        return now + RHYTHM

    async def _looked_at(self, one: Certificate, now: datetime) -> tuple[State, str]:
        try:
            chain = await places_of(self.watch.system, self.watch.connections, one).read_chain()
        except OpsbookError as error:
            return State.UNKNOWN, error.message
        if chain is None or due(one, chain.ends - chain.lifetime, chain.ends, now) <= now:
            await self._ask(one, now)
        if chain is None:
            return State.WARNING, "there is none yet"
        return judge(one, chain, now)

    async def _ask(self, one: Certificate, now: datetime) -> None:
        """One due time a day; whoever begins what is due begins it once."""
        key, at = f"certificate/{one.id}", slot(now).timestamp()
        if not await asyncio.to_thread(self._is_new, key, at):
            return
        new = [Due(key, at, store.DUE, note="its renewal is due")]
        await self.watch.setting.in_writer(
            lambda: self.watch.setting.write([lambda connection: store.add(connection, self.watch.where, new)])
        )

    def _is_new(self, key: str, at: float) -> bool:
        """Whether nothing of it goes on, and it was not asked for at this time yet."""
        with reading(self.watch.setting.store) as connection:
            last = store.newest(connection, self.watch.where, key)
            going = any(other.key == key for other in store.going(connection, self.watch.where))
        return not going and (last is None or last.at < at)
