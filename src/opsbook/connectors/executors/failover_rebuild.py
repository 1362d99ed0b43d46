"""Changes of the kind `postgres-rebuild`: what was the primary becomes a standby of the one that is.

effect: `component`; the server that is not its primary is meant.

The data folder is moved aside while it is worked on, so that nobody can start it: it comes back under its name only as
a standby, whole. pg_rewind takes over what differs; where it cannot, or was cut off, all is copied by pg_basebackup.
The server's own configuration stays; how to reach the primary is what the promoted server knew as a standby, with the
address turned round. One in a container is worked on beside it, while its runtime keeps it stopped.

result: `how` ("rewind" or "copy"), `slot`, `seconds`, `asked`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.failover_work import Work
from opsbook.connectors.postgres_containers import REBUILD_SECONDS, end_beside_both
from opsbook.connectors.postgres_folder import DataFolder
from opsbook.connectors.postgres_pair import SIGNAL, NoAnswer, Seen, Server, one_primary, see
from opsbook.connectors.postgres_replica import NOTICED, quoted
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import Refused

START_SECONDS = 120.0
AUTOMATIC = "postgresql.auto.conf"
CUT_OFF = "rewinding"
"""Lies beside the kept configuration while pg_rewind works: what it left half-way is no folder to go on with."""
FOLLOWED = "SELECT current_setting('primary_conninfo'), current_setting('primary_slot_name')"
SLOT = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"


@executor("postgres-rebuild")
class Rebuild:
    """Rebuilds a standby."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where there is no primary."""
        began = time.monotonic()
        work = Work(self.connections, change.effect["component"], key, out)
        seen = await work.look()
        seen_new = one_primary(seen)
        if seen_new is None:
            raise Refused("there is no primary that a standby could follow", "fail over first")
        (seen_old,) = [one for one in seen if one is not seen_new]
        old, new = seen_old.server, seen_new.server
        how, slot = "is a standby already", ""
        if not (seen_old.answers and seen_old.streaming):
            how, slot = await self._rebuilt(work, seen_old, new)
            await out.write(f"{old.workload}: {how}\n")
            await work.tell_runtime(old.workload, Verb.START)
        await work.until(
            lambda: see(old).streaming, START_SECONDS, f"{old.workload} does not stream from {new.workload}"
        )
        await asyncio.to_thread(_forget_old_slot, old, slot)
        asked = {one.workload: (await asyncio.to_thread(see, one)).told for one in (new, old)}
        for workload, told in asked.items():
            await out.write(f"{workload}: {told}\n")
        seconds = round(time.monotonic() - began, 2)
        return Done({"server": old.workload, "how": how, "slot": slot, "seconds": seconds, "asked": asked})

    async def _rebuilt(self, work: Work, seen: Seen, new: Server) -> tuple[str, str]:
        """How it was done, and the slot by which it follows."""
        old = seen.server
        async with work.folder(old, REBUILD_SECONDS) as folder:
            if folder is None:
                raise Refused(
                    f"the data folder of {old.workload} is not on this host" if not old.inside
                    else f"the data folder of {old.workload} cannot be reached",
                    "rebuild it where it is, by hand",
                )  # fmt: skip
            if await folder.place.kind(folder.path / SIGNAL) == "":
                await folder.fence()
            await work.stop(old)
            rebuilding = Rebuilding(old, folder, new)
            return await rebuilding.run(), rebuilding.slot

    async def end(self, key: str, change: Change) -> bool:
        """End pg_rewind or pg_basebackup of a dead process, here or beside the container."""
        await end_tree(key)
        component = change.effect["component"]
        return await end_beside_both(self.connections.system, lambda: self.connections.runtime, component, key)


@dataclass
class Rebuilding:
    """The work in the folder, which may be begun anew at any point."""

    old: Server
    folder: DataFolder
    new: Server
    slot: str = ""
    why: str = "an attempt before was cut off"

    def beside(self, word: str) -> PurePath:
        return self.folder.path.with_name(f"{self.folder.path.name}.{word}")

    async def run(self) -> str:
        """How it was done. Raises ChangeFailed, NoAnswer."""
        place, data = self.folder.place, self.folder.path
        following = await self._following()
        working, kept = self.beside("rebuilding"), self.beside("configuration")
        if await place.kind(data) and not await place.kind(working):
            if await place.kind(kept) and not await self.folder.fenced():
                await place.remove(kept)
                return "it was rebuilt before"
            await place.remove(kept)
            await self._move_aside(working)
        if not await place.kind(kept):
            await self._keep_configuration(working, kept)
        how = await self._rewound(working, kept) or await self._copied(working, kept, following)
        await self._follow(working, kept, following)
        await place.move(working, data)
        await place.remove(kept)
        return how

    async def _move_aside(self, working: PurePath) -> None:
        if not await self.folder.place.kind(self.folder.path / SIGNAL):
            raise Refused(f"{self.folder.path} is not fenced", "fence it first")
        await self.folder.place.move(self.folder.path, working)

    async def _following(self) -> dict[str, str]:
        """How the standby will reach the primary. Raises ChangeFailed where neither server knows."""
        from psycopg.conninfo import conninfo_to_dict

        ((told, slot),) = await asyncio.to_thread(self.new.rows, FOLLOWED)
        told = told or await self._own_setting("primary_conninfo")
        if not told:
            raise ChangeFailed(
                f"neither {self.new.workload} nor {self.old.workload} says how a standby reaches its primary",
                "set primary_conninfo on both",
            )
        self.slot = slot or await self._own_setting("primary_slot_name") or "opsbook_standby"
        if not await asyncio.to_thread(self.new.rows, SLOT, self.slot):
            await asyncio.to_thread(self.new.rows, "SELECT pg_create_physical_replication_slot(%s, true)", self.slot)
        given = {name: str(value) for name, value in conninfo_to_dict(told).items() if value is not None}
        return {**given, **self._address()}

    def _address(self) -> dict[str, str]:
        host, port = self.new.as_seen_by(self.old)
        return {"host": host, "port": str(port)}

    async def _own_setting(self, name: str) -> str:
        for folder in (self.folder.path, self.beside("configuration"), self.beside("rebuilding")):
            lines = (await self.folder.place.read(folder / AUTOMATIC) or "").splitlines()
            found = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == name]
            if found:
                return found[-1].removeprefix("'").removesuffix("'").replace("''", "'")
        return ""

    async def _keep_configuration(self, working: PurePath, kept: PurePath) -> None:
        place = self.folder.place
        if not await place.kind(working):
            raise ChangeFailed(f"{self.folder.path} is gone", "copy it from the primary by pg_basebackup")
        temporary = self.beside("configuration.new")
        await place.remove(temporary)
        await place.make(temporary, working)
        await place.copy([working / one for one in (*await place.settings(working), "PG_VERSION")], temporary)
        await place.move(temporary, kept)

    async def _rewound(self, working: PurePath, kept: PurePath) -> str:
        """Empty where it cannot be rewound."""
        place = self.folder.place
        if await place.kind(kept / CUT_OFF):
            return ""
        await place.write(kept / CUT_OFF, "")
        # In single-user mode, by which pg_rewind ends a crashed server properly, PostgreSQL refuses to be a standby.
        await place.remove(working / SIGNAL)
        if place.apart:
            # It names a process of another container: nothing runs any more, and here that number is somebody else's.
            await place.remove(working / "postmaster.pid")
        source = self._source(self.new.parameters)
        done = await place.program(
            kept, "pg_rewind", "-D", str(working), f"--source-server={source}", "--no-sync",
            password=self.new.parameters.get("password", ""),
        )  # fmt: skip
        if done.code == 0:
            said = (done.out + done.err).lower()
            return "needed no rewind" if "no rewind required" in said else "rewound to where it was left"
        self.why = done.why
        return ""

    async def _copied(self, working: PurePath, kept: PurePath, following: Mapping[str, str]) -> str:
        place, copying, discarded = self.folder.place, self.beside("copying"), self.beside("discarded")
        await place.remove(copying)
        await place.make(copying, kept)
        done = await place.program(
            kept, "pg_basebackup", "-D", str(copying), "-X", "stream", "-c", "fast", "-w", "-d",
            self._source({**NOTICED, **following}, database=False), password=following.get("password", ""),
        )  # fmt: skip
        if done.code:
            raise ChangeFailed(
                f"{self.new.workload} cannot be copied: {done.why}", "see its pg_hba.conf, and free space"
            )
        if await place.kind(working):
            await place.remove(discarded)
            await place.move(working, discarded)
        await place.move(copying, working)
        await place.remove(discarded)
        return f"copied anew, since it could not be rewound ({self.why})"

    def _source(self, parameters: Mapping[str, str], *, database: bool = True) -> str:
        from psycopg.conninfo import make_conninfo

        apart = ("password", "dbname", "replication", "fallback_application_name", "hostaddr")
        given = {name: value for name, value in parameters.items() if name not in apart}
        return make_conninfo("", **{**given, **self._address(), **({"dbname": "postgres"} if database else {})})

    async def _follow(self, working: PurePath, kept: PurePath, following: Mapping[str, str]) -> None:
        """Its own configuration, and whom it follows; the folder is not under its name yet."""
        from psycopg.conninfo import make_conninfo

        place = self.folder.place
        await place.copy([kept / one for one in await place.settings(kept)], working)
        conninfo = quoted(make_conninfo("", **{**following}))
        lines = (await place.read(working / AUTOMATIC) or "").splitlines()
        ours = ("primary_conninfo", "primary_slot_name")
        lines = [line for line in lines if line.partition("=")[0].strip() not in ours]
        lines += [f"primary_conninfo = {conninfo}", f"primary_slot_name = '{self.slot}'"]
        await place.write(working / AUTOMATIC, "\n".join(lines) + "\n")
        # What pg_rewind brought is on the disk before the folder can be started again.
        await place.sync(working)
        await place.write(working / SIGNAL, "")


def _forget_old_slot(old: Server, slot: str) -> None:
    """A slot that the server had for its standby of then would keep its log for ever."""
    with suppress(NoAnswer):
        old.rows(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active AND pg_is_in_recovery()",
            slot,
        )
