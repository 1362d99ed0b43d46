"""Changes of the kind `postgres-rebuild`: what was the primary becomes a standby of the one that is.

effect: `component`; the server that is not its primary is meant.

The data folder is moved aside while it is worked on, so that nobody can start it: it comes back under its name only as
a standby, whole. pg_rewind takes over what differs; where it cannot, or was cut off, all is copied by pg_basebackup.
The server's own configuration stays; how to reach the primary is what the promoted server knew as a standby, with the
address turned round. result: `how` ("rewind" or "copy"), `slot`, `seconds`, `asked`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.failover_work import Work
from opsbook.connectors.postgres_pair import SIGNAL, NoAnswer, Server, one_primary, see
from opsbook.connectors.postgres_replica import NOTICED, quoted
from opsbook.connectors.postgres_wal import as_owner, program
from opsbook.connectors.process_tree import KEY, end_tree
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import Refused

START_SECONDS = 120.0
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
        if old.data is None:
            raise Refused(f"the data folder of {old.workload} is not on this host", "rebuild it there, by hand")
        rebuilding = Rebuilding(old, old.data, new, key)
        how = "is a standby already"
        if not (seen_old.answers and seen_old.streaming):
            if not (old.data / SIGNAL).exists():
                work.mark(old)
            await work.stop(old)
            how = await asyncio.to_thread(rebuilding.run)
            await out.write(f"{old.workload}: {how}\n")
            await work.tell_runtime(old.workload, Verb.START)
        await work.until(
            lambda: see(old).streaming, START_SECONDS, f"{old.workload} does not stream from {new.workload}"
        )
        await asyncio.to_thread(rebuilding.forget_old_slot)
        asked = {one.workload: (await asyncio.to_thread(see, one)).told for one in (new, old)}
        for workload, told in asked.items():
            await out.write(f"{workload}: {told}\n")
        seconds = round(time.monotonic() - began, 2)
        return Done({"server": old.workload, "how": how, "slot": rebuilding.slot, "seconds": seconds, "asked": asked})

    async def end(self, key: str, change: Change) -> bool:
        """End pg_rewind or pg_basebackup of a dead process."""
        await end_tree(key)
        return True


@dataclass
class Rebuilding:
    """The blocking part, which may be begun anew at any point."""

    old: Server
    data: Path
    new: Server
    key: str
    slot: str = ""
    why: str = "an attempt before was cut off"

    def beside(self, word: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{word}")

    def run(self) -> str:
        """How it was done. Raises ChangeFailed, NoAnswer."""
        following = self._following()
        working, kept = self.beside("rebuilding"), self.beside("configuration")
        if self.data.exists() and not working.exists():
            if kept.exists() and not self.old.fenced:
                shutil.rmtree(kept)
                return "it was rebuilt before"
            shutil.rmtree(kept, ignore_errors=True)
            self._move_aside(working)
        if not kept.exists():
            self._keep_configuration(working, kept)
        how = self._rewound(working, kept) or self._copied(working, kept, following)
        self._follow(working, kept, following)
        working.rename(self.data)
        shutil.rmtree(kept)
        return how

    def _move_aside(self, working: Path) -> None:
        if not (self.data / SIGNAL).exists():
            raise Refused(f"{self.data} is not fenced", "fence it first")
        try:
            self.data.rename(working)
        except OSError as error:
            raise ChangeFailed(
                f"{self.data} cannot be moved aside: {error.strerror}", "its folder must not be a mount point itself"
            ) from error

    def _following(self) -> dict[str, str]:
        """How the standby will reach the primary. Raises ChangeFailed where neither server knows."""
        from psycopg.conninfo import conninfo_to_dict

        ((told, slot),) = self.new.rows(FOLLOWED)
        told = told or self._own_setting("primary_conninfo")
        if not told:
            raise ChangeFailed(
                f"neither {self.new.workload} nor {self.old.workload} says how a standby reaches its primary",
                "set primary_conninfo on both",
            )
        self.slot = slot or self._own_setting("primary_slot_name") or "opsbook_standby"
        if not self.new.rows(SLOT, self.slot):
            self.new.rows("SELECT pg_create_physical_replication_slot(%s, true)", self.slot)
        given = {name: str(value) for name, value in conninfo_to_dict(told).items() if value is not None}
        return {**given, "host": self.new.host, "port": str(self.new.port)}

    def _own_setting(self, name: str) -> str:
        for folder in (self.data, self.beside("configuration"), self.beside("rebuilding")):
            with suppress(OSError):
                lines = (folder / "postgresql.auto.conf").read_text(encoding="utf-8").splitlines()
                found = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == name]
                if found:
                    return found[-1].removeprefix("'").removesuffix("'").replace("''", "'")
        return ""

    def _keep_configuration(self, working: Path, kept: Path) -> None:
        if not working.exists():
            raise ChangeFailed(f"{self.data} is gone", "copy it from the primary by pg_basebackup")
        temporary, owner = self.beside("configuration.new"), working.stat()
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        for file in (*self._configuration(working), working / "PG_VERSION"):
            shutil.copy2(file, temporary)
        os.chown(temporary, owner.st_uid, owner.st_gid)
        temporary.rename(kept)

    def _configuration(self, folder: Path) -> list[Path]:
        return [one for one in folder.glob("*.conf") if one.is_file()]

    def _rewound(self, working: Path, kept: Path) -> str:
        """Empty where it cannot be rewound."""
        if (kept / CUT_OFF).exists():
            return ""
        (kept / CUT_OFF).touch()
        # In single-user mode, by which pg_rewind ends a crashed server properly, PostgreSQL refuses to be a standby.
        (working / SIGNAL).unlink(missing_ok=True)
        source = self._source(self.new.parameters)
        done = self._program(kept, "pg_rewind", "-D", str(working), f"--source-server={source}", "--no-sync")
        if done.returncode == 0:
            said = (done.stdout + done.stderr).lower()
            return "needed no rewind" if "no rewind required" in said else "rewound to where it was left"
        self.why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return ""

    def _copied(self, working: Path, kept: Path, following: dict[str, str]) -> str:
        copying, discarded = self.beside("copying"), self.beside("discarded")
        shutil.rmtree(copying, ignore_errors=True)
        copying.mkdir(mode=0o700)
        found = kept.stat()
        os.chown(copying, found.st_uid, found.st_gid)
        done = self._program(
            kept, "pg_basebackup", "-D", str(copying), "-X", "stream", "-c", "fast", "-w", "-d",
            self._source({**NOTICED, **following}, database=False),
        )  # fmt: skip
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ChangeFailed(f"{self.new.workload} cannot be copied: {why}", "see its pg_hba.conf, and free space")
        if working.exists():
            working.rename(discarded)
        copying.rename(working)
        shutil.rmtree(discarded, ignore_errors=True)
        return f"copied anew, since it could not be rewound ({self.why})"

    def _program(self, data: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        password = self.new.parameters.get("password")
        variables = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", KEY: self.key}
        if password and name == "pg_rewind":
            variables["PGPASSWORD"] = password
        return subprocess.run(
            [str(program(name, data)), *arguments], capture_output=True, text=True, errors="replace", check=False,
            env=variables, **as_owner(data),
        )  # fmt: skip

    def _source(self, parameters: Any, *, database: bool = True) -> str:
        from psycopg.conninfo import make_conninfo

        apart = ("password", "dbname", "replication", "fallback_application_name")
        given = {name: value for name, value in parameters.items() if name not in apart}
        return make_conninfo(**{**given, "host": self.new.host, "port": str(self.new.port),
                                **({"dbname": "postgres"} if database else {})})  # fmt: skip

    def _follow(self, working: Path, kept: Path, following: dict[str, str]) -> None:
        """Its own configuration, and whom it follows; the folder is not under its name yet."""
        from psycopg.conninfo import make_conninfo

        owner = kept.stat()
        for file in self._configuration(kept):
            shutil.copy2(file, working)
            os.chown(working / file.name, owner.st_uid, owner.st_gid)
        conninfo = quoted(make_conninfo(**following))
        automatic = working / "postgresql.auto.conf"
        lines = automatic.read_text(encoding="utf-8").splitlines() if automatic.exists() else []
        ours = ("primary_conninfo", "primary_slot_name")
        lines = [line for line in lines if line.partition("=")[0].strip() not in ours]
        lines += [f"primary_conninfo = {conninfo}", f"primary_slot_name = '{self.slot}'"]
        for path, text in ((automatic, "\n".join(lines) + "\n"), (working / SIGNAL, "")):
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)
        os.sync()

    def forget_old_slot(self) -> None:
        """A slot that the server had for its standby of then would keep its log for ever."""
        with suppress(NoAnswer):
            self.old.rows(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = %s AND NOT active AND pg_is_in_recovery()",
                self.slot,
            )
