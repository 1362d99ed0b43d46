"""Hundreds of checks that go to and fro by a clock that is moved by hand, through the real parts: alerts,
incidents, the outbox and its sender. Everybody is told of each, nobody is told again and again, and it ends."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from opsbook.store.database import open_store, reading
from opsbook.store.watch_tables import alerts, incidents, messages
from opsbook.watch.alerts import CALM, FLAPS
from opsbook.watch.delivery import BURST, HOLD, Delivery
from opsbook.watch.pursuit import Pursuit
from tests.faults.kills import Count
from tests.integration.sinks import Hook, webhook
from tests.unit.watch.on_call import Desk

MINUTES = 30
MOST_PAGES = FLAPS // 2
"""Pages of one check: each time that it turns bad until it is known to flap."""


async def flap(checks: int, minutes: int, hook: Hook, folder: Path) -> Count:
    """Each bad for half a minute and well for half a minute, in turn; then all of them well."""
    keys = {
        "channels": {"chat": hook.url("chat")}, "escalation": [{"level": "L1", "notify": "chat"}], "contacts": {},
        "oncall": {}, "severities": {}, "incidents": {"group_by": "check", "resolve_after": "10s"},
    }  # fmt: skip
    store = open_store(f"sqlite:///{folder}/store.db")
    desk = Desk(folder, store, **keys)
    pursuit, delivery = Pursuit(desk.watch), Delivery(desk.watch)
    names = [f"check:c{number}" for number in range(checks)]

    async def round_(states: dict[str, str], seconds: float) -> None:
        desk.hears(*states.items())
        await pursuit.tick(desk.now)
        await delivery.tick(desk.now)
        await delivery.settled()
        desk.clock.move(seconds=seconds)

    for half in range(minutes * 2):
        await round_({name: "critical" if (half + n) % 2 else "ok" for n, name in enumerate(names)}, 15)
        await round_({name: "critical" if (half + n) % 2 else "ok" for n, name in enumerate(names)}, 15)
    flapping = minutes * 60
    for _ in range(6):
        await round_(dict.fromkeys(names, "ok"), CALM.total_seconds() / 3)
    count = _judged(desk, hook, checks, flapping)
    desk.watch.setting.close()
    return count


def _judged(desk: Desk, hook: Hook, checks: int, seconds: float) -> Count:
    count = Count(kills=checks)
    with reading(desk.watch.setting.store) as connection:
        pages = select(alerts.c.fingerprint, func.count(func.distinct(messages.c.id))).where(
            messages.c.kind == "page", messages.c.incident == alerts.c.incident
        )
        found = connection.execute(pages.group_by(alerts.c.fingerprint))
        told: Counter[str] = Counter({row[0]: row[1] for row in found})
        open_ = connection.execute(select(func.count()).where(incidents.c.state != "resolved")).scalar()
        lost = connection.execute(select(func.count()).where(messages.c.state != "delivered")).scalar()
    if len(told) != checks:
        count.wrong.append(f"{checks - len(told)} of {checks} checks were never told of")
    if (most := max(told.values(), default=0)) > MOST_PAGES:
        count.wrong.append(f"one check paged {most} times")
    if open_ or lost:
        count.wrong.append(f"{open_} incidents are still open, {lost} messages did not go out")
    bound = BURST + seconds / HOLD + 2 * FLAPS
    if len(hook.got) > bound:
        count.wrong.append(f"{len(hook.got)} messages arrived; {bound:g} would be a digest every {HOLD:g} s")
    count.resumed = checks - len(count.wrong)
    return count


def run(checks: int, minutes: int, tell: Callable[[str], None] = lambda _: None) -> Count:
    """So many checks for so many minutes."""
    folder = Path(tempfile.mkdtemp(prefix="opsbook-flapping-"))
    try:
        with webhook() as hook:
            count = asyncio.run(flap(checks, minutes, hook, folder))
            tell(f"{checks} checks flapped for {minutes} min: {len(hook.got)} messages arrived")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def flapping_sweep(_only: str, tell: Callable[[str], None]) -> Count:
    """Five hundred checks for half an hour."""
    return run(500, MINUTES, tell)
