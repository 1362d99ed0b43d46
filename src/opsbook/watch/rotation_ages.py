"""The part that tells when a credential is due to be renewed. It renews none by itself: a person picks the hour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from opsbook.book.planned import Rotation
from opsbook.book.units import show_duration
from opsbook.checks.evaluate import State
from opsbook.engine.states import RunState
from opsbook.store import due
from opsbook.store.database import reading
from opsbook.store.tables import runs
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

RHYTHM = timedelta(minutes=10)


def judge(rotation: Rotation, since: datetime, renewed: bool, now: datetime) -> tuple[State, str]:
    """How a credential is that was renewed then, or has been known since then. Pure."""
    age = now - since
    told = f"{'it was renewed' if renewed else 'it was first seen'} {show_duration(max(age.total_seconds(), 0))} ago"
    told += f", and may be {show_duration(rotation.every.total_seconds())} old"
    if age > rotation.every:
        return State.CRITICAL, told
    return (State.WARNING if age > rotation.every - rotation.warn_before else State.OK), told


@part
class RotationAges:
    """Looks when each credential of the book was renewed last."""

    name = "rotations"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        known = [one for one in self.watch.system.model.rotations if self.watch.system.holds(one.environments)]
        if not known:
            return now + timedelta(hours=1)
        signals, new = await asyncio.to_thread(self._looked_at, known, now)
        note = [lambda connection: due.add(connection, self.watch.where, new)] if new else []
        await tell(self.watch, signals, note)
        return now + RHYTHM

    def _looked_at(self, known: Sequence[Rotation], now: datetime) -> tuple[list[Signal], list[due.Due]]:
        """How each is, and what was never seen before."""
        new: list[due.Due] = []
        signals: list[Signal] = []
        with reading(self.watch.setting.store) as connection:
            for one in known:
                renewed = self._renewed(connection, one)
                first = due.first(connection, self.watch.where, f"rotation/{one.id}")
                if first is None:
                    first = due.Due(f"rotation/{one.id}", now.timestamp(), due.KNOWN, note="first seen")
                    new.append(first)
                since = datetime.fromtimestamp(first.at if renewed is None else renewed, UTC)
                state, sentence = judge(one, since, renewed is not None, now)
                signals.append(
                    Signal(
                        fingerprint=f"rotation:{one.id}",
                        source="opsbook",
                        at=now,
                        state=state,
                        title=f"credential {one.id}",
                        sentence=sentence,
                        component=one.of,
                        procedure=f"rotate-{one.id}" if one.to is not None else "",
                    )
                )
        return signals, new

    def _renewed(self, connection: Connection, one: Rotation) -> float | None:
        here = (runs.c.system == self.watch.where["system"]) & (runs.c.environment == self.watch.where["environment"])
        done = (runs.c.procedure == f"rotate-{one.id}") & (runs.c.state == RunState.DONE.value)
        found = connection.execute(select(func.max(runs.c.ended_at)).where(here & done)).scalar()
        return None if found is None else float(found)
