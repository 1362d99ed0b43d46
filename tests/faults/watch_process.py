"""A process that is the watch of a small shop, and dies where it is told: at a border of a write or of a sending.

It hears one fault again and again, opens an incident, pages its first level, climbs to the second, and ends when both
pages have their receipts. Everything that it does anew it does because its rows say so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import State
from opsbook.engine.setting import Setting, Write, open_setting
from opsbook.store.database import reading
from opsbook.store.watch_tables import messages
from opsbook.watch import delivery
from opsbook.watch.alerts import take_in
from opsbook.watch.channels import contract
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.incidents import respond
from opsbook.watch.pursuit import Pursuit

SECONDS = 60.0
TARGETS = ("first", "second")


def deadly(place: str) -> None:
    """Count writes and sendings, and die before, within or after one of them: `write:3:after`, `send:1:before`.

    Within a write: everything was said, and nothing committed.
    """
    kind, number, when = place.split(":")
    seen = {"write": 0, "send": 0}

    def at(what: str, moment: str) -> None:
        if what == kind and seen[what] == int(number) and moment == when:
            os.kill(os.getpid(), signal.SIGKILL)

    whole = Setting.write

    def write(self: Setting, writes: list[Write]) -> None:
        seen["write"] += 1
        at("write", "before")
        whole(self, [*writes, lambda _: at("write", "within")])
        at("write", "after")

    Setting.write = write  # type: ignore[method-assign, assignment]
    real = contract.sender

    def sender(route: Any) -> contract.Send:
        send = real(route)

        async def sends(route: Any, sending: contract.Sending) -> str:
            seen["send"] += 1
            at("send", "before")
            receipt = await send(route, sending)
            at("send", "after")
            return receipt

        return sends

    delivery.sender = sender  # type: ignore[attr-defined]


async def main(folder: Path) -> None:
    system = in_environment(load_book(folder / "book.yaml", catalogue()))
    setting = open_setting(system)
    watch = Watch(setting, system, None)  # type: ignore[arg-type]
    pursuit, sender = Pursuit(watch), delivery.Delivery(watch)
    end = setting.clock.monotonic() + SECONDS
    while setting.clock.monotonic() < end:
        now = setting.clock.now()
        bad = Signal("check:db-up", "check", now, State.CRITICAL, "database", "refused", check="db-up")

        def hear(connection: Any, bad: Signal = bad) -> None:
            take_in(connection, system, [bad], bad.at, respond)

        await setting.in_writer(lambda hear=hear: setting.write([hear]))  # type: ignore[misc]
        await pursuit.tick(now)
        await sender.tick(now)
        await sender.settled()
        with reading(setting.store) as connection:
            done = select(messages.c.target).where(messages.c.kind == "page", messages.c.state == "delivered")
            if set(connection.execute(done).scalars()) >= set(TARGETS):
                setting.close()
                return
        await asyncio.sleep(0.05)
    sys.exit("the pages did not go out")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        deadly(sys.argv[2])
    asyncio.run(main(Path(sys.argv[1])))
