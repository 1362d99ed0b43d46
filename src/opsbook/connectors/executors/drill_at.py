"""Changes of the kind `drill-at`: a recovery from the archived log, where nothing can be lost, read, asked, measured.

effect: `component`, `backup` (its id in the book), `label` (begin with this one; empty: as it fits), `kind` and
`target` of the point, `database`, `jobs`, `assertions`.

What the live server has written is taken as it is archived: the server is not told to end its segment first, because a
server that is lost does not do so either. pgBackRest restores the cluster into a server of its own, which replays the
log up to the point and is removed afterwards. Every row of every table is read there, every index and heap looked at.

result: as of `drill-restore`, with `label`, `point`, `stopped` and `last_commit`. `rpo_seconds` is the age of the last
commit that came back, or less: what the archive lags behind, where the replay has reached all of it. It is None where
the recovery was told to stop before the end. A proof is laid beside the repository.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.backups.archiving import SEGMENT, Archived, archived_of
from opsbook.connectors.backups.catalogue import backup_named, backup_store
from opsbook.connectors.backups.judging import holds
from opsbook.connectors.backups.later_writes import later_writes
from opsbook.connectors.backups.manifest import Phase, Proof, TableFacts
from opsbook.connectors.backups.opened import PROOF_TIME
from opsbook.connectors.backups.pgbackrest import Call, PgBackRestFailed, read_cluster, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Held, Point, candidates, lsn_number
from opsbook.connectors.backups.postgres_readable import readable
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.backups.postgres_verify import ask, smoke
from opsbook.connectors.backups.recovered import NotThere, Recovered, recovered_server
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.pgbackrest import configured, end_inside
from opsbook.connectors.executors.restore_drill import Drilled
from opsbook.connectors.executors.restore_postgres import assertions_of
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.postgres_change import application_name
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

REPLAYED = "SELECT coalesce(pg_last_wal_replay_lsn()::text, '0/0')"


@executor("drill-at")
class DrillAt:
    """Drills of what the archived log can be recovered to."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused and ChangeFailed where the drill itself cannot be held."""
        server, _ = await target_of(self.connections, change.effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            try:
                return _Drilling(self.system, server, key, change.effect, stop, tell).run()
            except (ChangeFailed, Refused):
                raise
            except OpsbookError as error:
                raise ChangeFailed(error.message, error.hint) from error

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End pgBackRest; a server that was left behind is removed by the next drill."""
        return await end_tree(key) and await end_inside(self.connections, key, change.effect)


@dataclass
class _Drilling:
    system: System
    server: Target
    key: str
    effect: dict[str, Any]
    stop: threading.Event
    tell: Tell
    drilled: Drilled = field(default_factory=Drilled)

    def run(self) -> dict[str, Json]:
        asyncio.run(end_tree(self.key))  # what an earlier attempt left behind writes into a folder that is removed now
        now, backup = datetime.now(UTC), backup_named(self.system, self.effect["backup"])
        point, archived = Point(self.effect["kind"], self.effect["target"]), archived_of(self.server)
        call = Call(stanza_of(self.system, backup), self.key, self.stop, self.tell)
        cluster = read_cluster(self.server, call.stanza.place)
        configured(call.stanza)
        held = call.info()
        begin = candidates(held, point, self.effect["label"])
        told: dict[str, Json] = {}
        size = begin[0].size if begin else 0
        try:
            jobs, seconds = int(self.effect["jobs"]), backup.timeout.total_seconds()
            with recovered_server(call, cluster, point, begin, seconds, jobs) as found:
                told = self._proven(found, point, archived, held.named(found.label), now)
        except (NotThere, PgBackRestFailed) as error:
            self._damaged(error.message)
        drilled = self.drilled
        result: dict[str, Json] = {
            "good": not drilled.problems, "problems": drilled.problems, "remarks": drilled.remarks,
            "phases": {phase.name: phase.seconds for phase in drilled.phases},
            "restored_seconds": drilled.restored, "verified_seconds": drilled.verified,
            "rto_seconds": drilled.serving, "rpo_seconds": None, "lost_rows": None, "lost": None,
            "backup": backup.id, "stamp": begin[0].label if begin else "", "at": now.timestamp(), "bytes": size,
            "rows": drilled.rows, "tables": drilled.tables, "point": str(point),
            "asserted": [{"id": one.id, "holds": one.holds, "value": one.value} for one in drilled.asserted],
        }  # fmt: skip
        result |= told
        self._prove(str(result["stamp"]), now)
        return result

    def _proven(
        self, found: Recovered, point: Point, archived: Archived, begun: Held | None, now: datetime
    ) -> dict[str, Json]:
        drilled = self.drilled
        drilled.phases += [
            Phase(name="copied", seconds=found.copied_seconds), Phase(name="replayed", seconds=found.replayed_seconds)
        ]  # fmt: skip
        drilled.restored = drilled.passed()
        self.tell(f"it stands at {point}: {found.stopped or 'the end of what was archived'}\n")
        target = Target(found.scratch.parameters(self.effect["database"]), application_name(self.key))
        facts = self._read(target)
        data_time = _moment(found.last_commit) or (begun.stop if begun else now)
        told: dict[str, Json] = {
            "stamp": found.label, "label": found.label, "stopped": found.stopped, "last_commit": found.last_commit,
            "data_time": data_time.timestamp(),
        }  # fmt: skip
        if point.kind == "latest":
            told["rpo_seconds"] = self._lag(target, archived, (now - data_time).total_seconds())
            told |= self._lost(target, facts)
        return told

    def _read(self, target: Target) -> list[TableFacts]:
        drilled, jobs = self.drilled, int(self.effect["jobs"])
        began = drilled.passed()
        found = readable(target, jobs, self.stop)
        for problem in found.problems:
            self._damaged(problem)
        drilled.remarks += found.remarks
        drilled.rows, drilled.tables = found.rows, found.tables
        drilled.phase("verified", began)
        drilled.verified, began = drilled.passed(), drilled.passed()
        drilled.asserted = ask(target, assertions_of(self.system, self.effect), holds)
        for one in drilled.asserted:
            if not one.holds:
                self._damaged(one.message)
        drilled.phase("assertions", began)
        began = drilled.passed()
        for problem in smoke(target, found.facts):
            self._damaged(problem)
        drilled.phase("smoke", began)
        drilled.serving = drilled.passed()
        return found.facts

    def _lag(self, target: Target, archived: Archived, age: float) -> float:
        """Seconds that a loss now would cost. What the server says of its archive counts where the replay got there."""
        with target.session() as connection:
            (text,) = connection.execute(REPLAYED).fetchone() or ("0/0",)
        reached, last = lsn_number(str(text)), archived.archiver.last_wal
        if len(last) == SEGMENT and reached < (begins := _begin(last, archived.segment)):
            self._damaged(f"{last} is archived, the server says, but the log ends {begins - reached:,} bytes before")
        elif archived.lag is not None:
            age = min(age, archived.lag)
        return round(max(0.0, age), 1)

    def _lost(self, target: Target, facts: list[TableFacts]) -> dict[str, Json]:
        """Rows that the live tables have more by now."""
        try:
            later = later_writes(self.server.at(self.effect["database"]), target, facts)
        except OpsbookError as error:
            self.tell(f"what would be lost cannot be counted: {error}\n")
            return {}
        more = {
            name: one["now"] - one["then"] for name, one in later["tables"].items() if (one["now"] or 0) > one["then"]
        }
        return {"lost_rows": sum(more.values()), "lost": dict(more)}

    def _damaged(self, problem: str) -> None:
        self.drilled.problems.append(problem)
        self.tell(f"damage: {problem}\n")

    def _prove(self, label: str, now: datetime) -> None:
        """Beside the repository, below the id of the backup."""
        if not label:
            return
        drilled = self.drilled
        proof = Proof(
            at=now, good=not drilled.problems, kind="drill", problems=tuple(drilled.problems),
            phases=tuple(drilled.phases), tables=drilled.tables, rows=drilled.rows, run=self.key.partition("/")[0],
        )  # fmt: skip
        backup = backup_named(self.system, self.effect["backup"])
        store = backup_store(self.system, backup)
        try:
            name = f"{backup.id}/{label}/proof-{now.strftime(PROOF_TIME)}.json"
            store.put(name, proof.model_dump_json(indent=1).encode() + b"\n", only_new=True)
        finally:
            store.close()


def _begin(segment: str, size: int) -> int:
    """Where a segment of the log begins."""
    return (int(segment[8:16], 16) << 32) + int(segment[16:], 16) * size


def _moment(text: str) -> datetime | None:
    """A time as the server logs it in UTC; None where it is none."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
