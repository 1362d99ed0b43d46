"""A read replica of a book: its primary now, its own server, and its data folder made as a copy that follows.

The folder is copied under another name, gets its own settings and whom it follows, and comes under its name whole: what
starts is a standby, or nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres import PostgresComponent, ReadReplica
from opsbook.connectors.postgres_pair import SIGNAL, Server, look, one_primary
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.postgres_wal import as_owner, program_of
from opsbook.connectors.process_tree import KEY
from opsbook.errors import Refused

NOTICED = {
    "connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}  # fmt: skip
"""A copy takes as long as it takes, and its step ends it at the latest. One whose server is gone ends by these within a
minute or two: the kernel alone would wait for hours."""
MADE = "opsbook-replica"
"""Lies in a data folder that was made here, so that nothing else is ever taken for one."""
STANDING = "SELECT slot_name, active FROM pg_replication_slots WHERE slot_name = %s"
DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
BEHIND = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), s.replay_lsn)::bigint
  FROM pg_stat_replication AS s JOIN pg_replication_slots AS p ON p.active_pid = s.pid
 WHERE p.slot_name = %s AND s.state = 'streaming'
"""
SESSIONS = """
SELECT coalesce(application_name, '') || ' of ' || usename FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name NOT LIKE 'opsbook%%'
   AND usename IS NOT NULL
"""


def said(system: System, component: str, name: str) -> ReadReplica:
    """What the book says of it. Raises Refused."""
    settings = system.components.get(component)
    known = settings.read_replicas if isinstance(settings, PostgresComponent) else ()
    found = next((one for one in known if one.id == name), None)
    if found is None:
        told = ", ".join(one.id for one in known) or "none"
        raise Refused(f"the book has no read replica {name!r} of {component}, but {told}", "see `read_replicas`")
    return found


def slot_of(replica: ReadReplica) -> str:
    """Names of slots have no dashes."""
    return f"opsbook_{replica.id}".replace("-", "_").lower()[:63]


def server(workload: str, url: str, data: Path | None = None) -> Server:
    """A server by its address. Blocking: the reference was resolved. Raises Refused."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(plain_url(url))
    except psycopg.ProgrammingError:
        raise Refused(f"the address of {workload} is none of PostgreSQL", "write postgresql://user@host/db") from None
    return Server(workload, {name: str(value) for name, value in given.items() if value is not None}, data)


def replica_server(system: System, replica: ReadReplica) -> Server:
    """The replica's own server. Blocking."""
    return server(replica.workload, system.resolve(replica.url), system.path(replica.data.text))


def primary_server(system: System, component: str) -> Server:
    """Who is primary now. Blocking. Raises Refused where there is none."""
    settings = system.components[component]
    assert isinstance(settings, PostgresComponent)
    if settings.failover is not None:
        found = one_primary(look(system, component))
        if found is None:
            raise Refused(f"{component} has no primary now", "fail over first")
        return found.server
    return server(component, system.resolve(settings.admin or settings.dsn))


@dataclass(frozen=True)
class Copying:
    """The blocking part, which may be begun anew at any point. One that was made follows whoever is primary now."""

    primary: Server
    replica: Server
    settings: Mapping[str, str]
    follows: Mapping[str, str]
    """How it reaches the primary, with the password of the role."""
    slot: str
    key: str

    @property
    def data(self) -> Path:
        assert self.replica.data is not None
        return self.replica.data

    @property
    def made(self) -> bool:
        """Whether the copy is whole and under its name."""
        return (self.data / MADE).exists() and (self.data / SIGNAL).exists()

    def run(self) -> None:
        """Raises ChangeFailed, NoAnswer, Refused where the folder holds something else."""
        if self.made:
            self._keep_slot()
            self._follow(self.data)
            return
        free_for_copy(self.data)
        self._keep_slot()
        copying = self.data.with_name(f"{self.data.name}.copying")
        shutil.rmtree(copying, ignore_errors=True)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        copying.mkdir(mode=0o700)
        owner = self._owner()
        os.chown(copying, owner.st_uid, owner.st_gid)
        self._copy(copying)
        self._follow(copying)
        if self.data.exists():
            self.data.rmdir()
        copying.rename(self.data)

    def _keep_slot(self) -> None:
        if not self.primary.rows(STANDING, self.slot):
            self.primary.rows("SELECT pg_create_physical_replication_slot(%s, true)", self.slot)

    def _owner(self) -> os.stat_result:
        """Who owns the data of PostgreSQL here: the primary's folder where it is seen, else the folder around."""
        for folder in (self.primary.data, self.data if self.data.exists() else None, self.data.parent):
            if folder is not None and folder.exists() and folder.stat().st_uid:
                return folder.stat()
        return self.data.parent.stat()

    def _copy(self, copying: Path) -> None:
        from psycopg.conninfo import make_conninfo

        ((version,),) = self.primary.rows("SELECT current_setting('server_version_num')::int / 10000")
        apart = ("password", "dbname")
        address = make_conninfo(**{**NOTICED, **{k: text for k, text in self.follows.items() if k not in apart}})
        variables = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", KEY: self.key}
        if password := self.follows.get("password"):
            variables["PGPASSWORD"] = password
        argv = [str(program_of("pg_basebackup", int(version))), "-D", str(copying), "-X", "stream", "-c", "fast",
                "-S", self.slot, "-w", "-d", address]  # fmt: skip
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", check=False, env=variables, **as_owner(copying)
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ChangeFailed(
                f"the primary cannot be copied: {why}", "see its pg_hba.conf, max_wal_senders, free space"
            )

    def _follow(self, copying: Path) -> None:
        from psycopg.conninfo import make_conninfo

        owner = copying.stat()
        follows = make_conninfo(**{name: text for name, text in self.follows.items() if name != "dbname"})
        wanted = {"port": str(self.replica.port), **self.settings, "primary_conninfo": follows,
                  "primary_slot_name": self.slot}  # fmt: skip
        automatic = copying / "postgresql.auto.conf"
        lines = automatic.read_text(encoding="utf-8").splitlines() if automatic.exists() else []
        lines = [line for line in lines if line.partition("=")[0].strip() not in wanted]
        lines += [f"{name} = {quoted(value)}" for name, value in wanted.items()]
        for name, text in (("postgresql.auto.conf", "\n".join(lines) + "\n"), (SIGNAL, ""), (MADE, f"{self.slot}\n")):
            path = copying / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)
        os.sync()


def quoted(value: str) -> str:
    """A value of postgresql.conf, in which a backslash has a meaning too.

    https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-CONFIGURATION-FILE
    """
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


def free_for_copy(data: Path) -> None:
    """Raises Refused where the folder holds anything that was not made here, or was promoted since."""
    if not data.exists() or (data.is_dir() and not any(data.iterdir())):
        return
    if not (data / MADE).exists():
        raise Refused(f"{data} is not empty", "name a folder that is not there yet: nothing is overwritten")
    not_promoted(data)


def not_promoted(data: Path) -> None:
    """Raises Refused for the folder of a replica that became a primary: what it took since is nowhere else."""
    if not (data / SIGNAL).exists():
        raise Refused(
            f"{data} is no standby's any more: it was promoted, and what was written to it since is only there",
            "keep its data, then remove the folder by hand",
        )


def take_away(data: Path, *, delete: bool) -> str:
    """The data folder out of the way; where it went. Raises Refused for one that was not made here."""
    # What a copy that was cut off has left takes as much room as the database.
    shutil.rmtree(data.with_name(f"{data.name}.copying"), ignore_errors=True)
    aside = data.with_name(f"{data.name}.removed")
    if aside.exists() and not (aside / MADE).exists():
        raise Refused(f"{aside} was not made by opsbook as a read replica, and is in the way", "move it elsewhere")
    if data.exists():
        if not (data / MADE).exists():
            raise Refused(f"{data} was not made by opsbook as a read replica", "remove it by hand")
        not_promoted(data)
        if aside.exists():
            shutil.rmtree(aside)
        data.rename(aside)
    elif not (delete and aside.exists()):
        return "its data folder was gone"
    if delete:
        shutil.rmtree(aside)
        return "its data folder is deleted"
    return f"its data folder is {aside}"
