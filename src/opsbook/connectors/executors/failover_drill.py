"""Changes of the kind `drill-failover`: the primary is lost, and it is measured what that costs.

effect: `component`, `fault`, `pages` (which must answer), `places` (how many are repointed).

A writer inserts a row a transaction into a table of its own and counts what was acknowledged. With `fault` the
postmaster is killed (SIGKILL; the first process of a pod by SIGQUIT) and its runtime kept from starting it anew, as if
the host were gone; the measuring begins at that instant. result: as of `drill-restore`, with `lost_commits`
acknowledged transactions that are gone, `written` that were acknowledged, `outage_seconds` between the last write
before and the first one after.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.failover_work import Work
from opsbook.connectors.postgres_containers import end_beside_both, kill
from opsbook.connectors.postgres_pair import NoAnswer, Seen, Server, one_primary, successor
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

TABLE = "opsbook_failover_drill"
WARM_WRITES, WARM_SECONDS = 50, 20.0
SERVE_SECONDS = 300.0
PAUSE_SECONDS = 0.005


@executor("drill-failover")
class FailoverDrill:
    """Drills of failovers."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Applied again after a crash it brings the failover to its end, and says that it was not measured."""
        effect, work = change.effect, Work(self.connections, change.effect["component"], key, out)
        if not self.connections.system.environment.disposable:
            raise Refused("this environment is not disposable", "hold the drill elsewhere")
        seen = await work.look()
        primary = one_primary(seen)
        if primary is None:
            new, old = successor(seen)
            return Done(await _brought_to_end(work, effect, old, new))
        (other,) = [one for one in seen if one is not primary]
        if not (other.answers and other.streaming):
            return Done(await _brought_to_end(work, effect, other, primary))
        return Done(await Drilling(work, effect, primary.server, other.server).run())

    async def end(self, key: str, change: Change) -> bool:
        """The writer ended with its process."""
        component = change.effect["component"]
        return await end_beside_both(self.connections.system, lambda: self.connections.runtime, component, key)


async def _brought_to_end(work: Work, effect: dict[str, Any], old: Seen, new: Seen) -> dict[str, Json]:
    await work.fence(old.server.workload, planned=False)
    await work.promote(new.server.workload)
    for number in range(effect["places"]):
        await work.repoint(number)
    await work.serves(effect["pages"], SERVE_SECONDS)
    await asyncio.to_thread(_drop, new.server)
    problem = "opsbook's process died in the middle: it failed over, and nothing was measured"
    return {"good": False, "problems": [problem], "server": new.server.workload, "at": datetime.now(UTC).timestamp()}


@dataclass
class Drilling:
    """One drill."""

    work: Work
    effect: dict[str, Any]
    old: Server
    new: Server
    phases: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    async def run(self) -> dict[str, Json]:
        """What was measured."""
        writer = Writer((self.old, self.new))
        await asyncio.to_thread(writer.start, self.old)
        try:
            began, lost_at = await self._lose()
            promoted = await self._save(began)
            served = time.monotonic()
            await self.work.until(
                lambda: writer.wrote_after(began, self.new), SERVE_SECONDS, "nothing was written after the failover"
            )
        finally:
            await asyncio.to_thread(writer.stop)
        missing = await asyncio.to_thread(writer.missing, self.new)
        await asyncio.to_thread(_drop, self.new)
        lost_before = began - min(missing.values()) if missing else 0.0
        outage = writer.gap(began)
        told = {
            "good": not self.problems, "problems": self.problems, "remarks": [], "phases": self.phases,
            "restored_seconds": round(self.phases["promoted"], 2), "verified_seconds": round(served - began, 2),
            "rto_seconds": round(served - began, 2), "rpo_seconds": round(lost_before, 3), "lost_rows": len(missing),
            "lost_commits": len(missing), "written": len(writer.acknowledged), "outage_seconds": outage,
            "backup": "", "stamp": "", "at": lost_at, "fault": self.effect["fault"], "server": self.new.workload,
            "timeline": promoted["timeline"], "never_received": promoted["lost"], "asked": promoted["asked"],
        }  # fmt: skip
        await self.work.out.write(
            f"serves again after {told['rto_seconds']} s; writes failed for {outage} s; {len(missing)} of"
            f" {told['written']} acknowledged transactions lost\n"
        )
        return told

    async def _lose(self) -> tuple[float, float]:
        """The instant at which the primary is gone: monotonic, and in seconds since 1970."""
        if not self.effect["fault"]:
            began, at = time.monotonic(), time.time()
            await self.work.fence(self.old.workload, planned=True)
            return began, at
        if self.old.inside:
            began, at = time.monotonic(), time.time()
            killed = await kill(self.old, self.work.runtime())
            await self.work.out.write(f"killed {self.old.workload}, in {killed}\n")
            await self.work.stop(self.old)
            return began, at
        status = await self.work.connections.runtime.status(self.old.workload)
        pids = [one.pid for one in status.instances if one.pid]
        if len(pids) != 1 or (self.old.data is not None and pids[0] not in self.old.processes()):
            raise Refused(
                f"the process of {self.old.workload} is not seen on this host", "kill it by hand, and fail over"
            )
        began, at = time.monotonic(), time.time()
        os.kill(pids[0], signal.SIGKILL)
        await self.work.out.write(f"killed {self.old.workload}, pid {pids[0]}\n")
        # A supervisor would start it anew in the next second; the host that is drilled for is gone.
        await self.work.stop(self.old)
        return began, at

    async def _save(self, began: float) -> dict[str, Json]:
        def phase(name: str) -> None:
            self.phases[name] = round(time.monotonic() - began, 2)

        if self.effect["fault"]:  # else it was fenced by then
            await self.work.fence(self.old.workload, planned=False)
        phase("fenced")
        promoted = await self.work.promote(self.new.workload)
        phase("promoted")
        for number in range(self.effect["places"]):
            await self.work.repoint(number)
        phase("repointed")
        await self.work.serves(self.effect["pages"], SERVE_SECONDS)
        phase("serving")
        return promoted


class Writer:
    """Writes a row a transaction to whichever server takes writes, and remembers when each was acknowledged."""

    def __init__(self, servers: tuple[Server, Server]) -> None:
        self.servers, self.acknowledged = servers, dict[int, float]()
        self.by: dict[int, str] = {}
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._write, daemon=True)

    def start(self, primary: Server) -> None:
        """Raises ChangeFailed where the primary takes no writes."""
        primary.rows(f"DROP TABLE IF EXISTS {TABLE}")
        primary.rows(f"CREATE TABLE {TABLE} (id bigint PRIMARY KEY, at timestamptz DEFAULT now())")
        self._thread.start()
        deadline = time.monotonic() + WARM_SECONDS
        while len(self.acknowledged) < WARM_WRITES:
            if time.monotonic() > deadline:
                self.stop()
                raise ChangeFailed(f"{primary.workload} took {len(self.acknowledged)} writes", "see its log")
            time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _write(self) -> None:
        import psycopg

        number = 0
        while not self._stop.is_set():
            for server in self.servers:
                with suppress(psycopg.Error), server.connect(application_name="opsbook:drill") as connection:
                    while not self._stop.is_set():
                        number += 1
                        # A read-only standby refuses it: that one is no primary.
                        connection.execute(f"INSERT INTO {TABLE} (id) VALUES (%s)".encode(), (number,))  # noqa: S608
                        self.acknowledged[number], self.by[number] = time.monotonic(), server.workload
                        time.sleep(PAUSE_SECONDS)
            self._stop.wait(0.05)

    def wrote_after(self, moment: float, server: Server) -> bool:
        """Whether the server took a write since."""
        return any(at > moment and self.by.get(id) == server.workload for id, at in list(self.acknowledged.items()))

    def gap(self, moment: float) -> float:
        """Seconds between the last write that the old server took and the first of the new one."""
        last = max(
            (at for id, at in self.acknowledged.items() if self.by[id] == self.servers[0].workload), default=moment
        )
        first = min(
            (at for id, at in self.acknowledged.items() if self.by[id] == self.servers[1].workload), default=last
        )
        return round(first - last, 2)

    def missing(self, server: Server) -> dict[int, float]:
        """Acknowledged transactions that the server does not have, with the instant of the acknowledgement."""
        there = {int(number) for (number,) in server.rows(f"SELECT id FROM {TABLE}")}  # noqa: S608
        return {number: at for number, at in self.acknowledged.items() if number not in there}


def _drop(server: Server) -> None:
    with suppress(NoAnswer):
        server.rows(f"DROP TABLE IF EXISTS {TABLE}")
