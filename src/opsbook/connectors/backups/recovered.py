"""A PostgreSQL server of our own that stands where the live one stood at a point: restored by pgBackRest, its log
replayed to there, promoted. It archives nothing, is reached by us alone, and is removed whatever happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from opsbook.connectors.backups.pgbackrest import Call, Cluster
from opsbook.connectors.backups.pgbackrest_info import Held, Point
from opsbook.connectors.backups.pgbackrest_inside import Running
from opsbook.connectors.backups.scratch import SETTINGS
from opsbook.connectors.change import ChangeFailed

NOT_REACHED = "recovery ended before configured recovery target was reached"
STOPPING = re.compile(r"recovery stopping (?:before|after) [^\n]*")
LAST = re.compile(r"last completed transaction was at log time ([^\n]+)")


class NotThere(ChangeFailed):
    """What was archived ends before the point, or does not hold it."""


class Standing(Protocol):
    """A server that runs."""

    def parameters(self, database: str = "postgres") -> dict[str, str]:
        """Connection parameters of libpq."""
        ...


@dataclass(frozen=True)
class Recovered:
    """A server that stands at a point."""

    scratch: Standing
    label: str
    """The backup that it began with."""
    stopped: str
    """Where the replay stopped, in the server's words; empty where it came to the end."""
    last_commit: str
    """When the last transaction that is in it was committed."""
    copied_seconds: float
    replayed_seconds: float


@dataclass(frozen=True)
class Recovery:
    """What is wanted of one."""

    call: Call
    cluster: Cluster
    point: Point
    seconds: float
    """In which the log must be replayed."""
    jobs: int

    def restoring(self, backup: Held, data: str, tablespaces: str) -> list[str]:
        """Options of `pgbackrest restore`."""
        point = self.point
        target = [f"--type={point.kind}", f"--target={point.target}", "--target-action=promote"]
        return [
            f"--set={backup.label}", f"--pg1-path={data}", f"--tablespace-map-all={tablespaces}", "--archive-mode=off",
            f"--process-max={self.jobs}", *(target if point.kind != "latest" else ["--type=default"]),
        ]  # fmt: skip

    def options(self, folder: str, **own: str) -> list[str]:
        """Of the server's command line: what the live server's files say of addresses, archives and standbys must not
        hold here, and its command line is stronger than they are."""
        settings = {
            **{name: value.strip("'") for name, value in SETTINGS.items()},
            "unix_socket_directories": folder, "config_file": f"{folder}/postgresql.conf",
            "hba_file": f"{folder}/pg_hba.conf", "ident_file": f"{folder}/pg_ident.conf",
            "archive_mode": "off", "archive_command": "", "wal_level": "replica", "hot_standby": "off", "ssl": "off",
            "shared_preload_libraries": "", "synchronous_standby_names": "", "default_transaction_read_only": "off",
            "max_prepared_transactions": str(self.cluster.prepared), "max_connections": "60",
            "log_timezone": "UTC", "log_destination": "stderr", "primary_conninfo": "", **own,
        }  # fmt: skip
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def recovered(self, scratch: Standing, backup: Held, words: str, copied: float, replayed: float) -> Recovered:
        """Of what the server wrote."""
        stopping, last = STOPPING.search(words), LAST.findall(words)
        return Recovered(
            scratch, backup.label, stopping[0] if stopping else "", last[-1].strip() if last else "", round(copied, 3),
            round(replayed, 3),
        )  # fmt: skip

    def ended(self, words: str) -> ChangeFailed:
        """Why it did not come to the point, of what the server wrote."""
        if NOT_REACHED in words:
            last = LAST.findall(words)
            until = f": what was archived ends at {last[-1].strip()}" if last else ""
            return NotThere(f"{self.point} is not in the log{until}", "name a point before that, or --at latest")
        return ChangeFailed(f"the scratch server does not start: {_reason(words)}", "is memory or disk full?")

    def late(self) -> ChangeFailed:
        """It takes too long."""
        return ChangeFailed(f"the log was not replayed within {self.seconds:,.0f} s", "raise `timeout` of the backup")


Recover = Callable[[Held], AbstractContextManager[Recovered]]
"""Begins with a backup; raises NotThere where that does not lead to the point."""


@contextmanager
def recovered_server(
    call: Call, cluster: Cluster, point: Point, backups: Sequence[Held], seconds: float, jobs: int = 1
) -> Iterator[Recovered]:
    """The server, while the block lasts, from the first of the backups that leads there.

    On this host, or in a container beside the server's own. Raises NoProgram, NoRoom, NotThere, PgBackRestFailed.
    """
    from opsbook.connectors.backups.recovered_here import here
    from opsbook.connectors.backups.recovered_inside import aside

    wanted = Recovery(call, cluster, point, seconds, jobs)
    with aside(wanted) if isinstance(call.stanza.place, Running) else here(wanted) as recover:
        for n, backup in enumerate(backups):
            with ExitStack() as stack:
                try:
                    found = stack.enter_context(recover(backup))
                except NotThere:
                    if n + 1 == len(backups):
                        raise
                    call.tell(f"{point} is not after {backup.label}; tries the one before\n")
                    continue
                yield found
                return
    raise NotThere(f"no backup leads to {point}", "`opsbook backups list` shows what there is")


def _reason(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
    return (fatal or lines or ["it says nothing"])[0]
