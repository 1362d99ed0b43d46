"""A recovered server in a container beside the server's own: of its image, with its volumes, in a folder of the volume
that pgBackRest has. It is reached by one role alone, whose password is new: those that it came with open nothing.
"""

from __future__ import annotations

import dataclasses
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from opsbook.book.environments import KubernetesRuntime
from opsbook.connectors.backups.pgbackrest import Call
from opsbook.connectors.backups.pgbackrest_info import Held
from opsbook.connectors.backups.pgbackrest_inside import SHORT_SECONDS, Contained, Running, open_runtime, stoppable
from opsbook.connectors.backups.recovered import Recover, Recovered, Recovery
from opsbook.connectors.backups.scratch import SPARE, NoRoom
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.beside import Beside, Inside, Said, as_owner, beside
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")
SCRATCH = "recovery"
"""The folder below that of pgBackRest."""
CLOSED = "local all all trust\n"
"""Nobody but the server's user enters the folder with its socket."""
LOOPBACK = "127.0.0.1"
LEAST_PORT, MOST_PORT = 20_000, 30_000
"""A container may share the network of its node."""
SPARE_SECONDS = 3600.0
"""The container's, over the time-outs of restore and replay: what is recovered is read after them."""
REMOVE_SECONDS = 600.0

MAKING = """
[ -d "$1" ] || { echo "there is no folder $1" >&2; exit 1; }
rm -rf -- "$1/$2" || exit 1
owner=$(stat -c %u:%g "$3") && mkdir -m 700 "$1/$2" && chown "$owner" "$1/$2" || exit 1
df -Pk "$1" | { read -r head; read -r device size used free rest; echo "$free"; }
echo "$owner"
"""
"""A folder for the owner of the configuration, in place of one that a killed recovery left; its room and its owner."""
STARTING = """
folder=$1 major=$2; shift 2
for one in postgres /usr/lib/postgresql/$major/bin/postgres /usr/pgsql-$major/bin/postgres; do
  command -v "$one" >/dev/null && program=$one && break
done
[ -n "$program" ] || { echo "the image has no program postgres" >&2; exit 1; }
cd "$folder" && { "$program" "$@" >"$folder/log" 2>&1 </dev/null & echo $! >"$folder/pid"; }
"""
AWAITING = """
pid=$(cat "$1/pid")
while :; do
  [ "$(psql -XAtq -h "$1" -p "$2" -U "$3" -d postgres -c 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ] && exit 0
  kill -0 "$pid" 2>/dev/null || exit 9
  sleep 0.2
done
"""
ENDED = 9
OPENING = """
ask() { psql -XAtq -v ON_ERROR_STOP=1 -h "$1" -p "$2" -U "$3" -d postgres; }
read_at() { echo "SELECT pg_conf_load_time()" | ask "$@"; }
before=$(read_at "$@") && ask "$@" || exit 1
while now=$(read_at "$@") && [ "$now" = "$before" ]; do sleep 0.1; done
"""
"""Runs statements of its standard input, the last of which has the server read its files, and waits until it has."""
ENDING = """
pid=$(cat "$1/pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
rm -rf -- "$1"
"""


def opened(user: str) -> str:
    """The server's pg_hba.conf, once this superuser has its new password."""
    name = user.replace('"', '""')
    return f'{CLOSED}host all "{name}" all scram-sha-256\n'


@dataclass(frozen=True)
class Reached:
    """A server in the container, by the port of this host that leads to it."""

    host: str
    port: int
    user: str
    password: str = dataclasses.field(repr=False)

    def parameters(self, database: str = "postgres") -> dict[str, str]:
        """Connection parameters of libpq."""
        return {
            "host": self.host, "port": str(self.port), "user": self.user, "password": self.password,
            "dbname": database, "sslmode": "disable", "gssencmode": "disable",
        }  # fmt: skip


@contextmanager
def aside(wanted: Recovery) -> Iterator[Recover]:
    """What recovers in a container of its own, which is gone when the block is left."""
    from anyio.from_thread import start_blocking_portal

    port = random.randrange(LEAST_PORT, MOST_PORT)  # noqa: S311  any that is free will do
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_made(wanted, port)) as inside:
        server = _Aside(wanted, portal, inside, port)

        @contextmanager
        def recover(backup: Held) -> Iterator[Recovered]:
            try:
                yield server.recovered(backup)
            finally:
                server.remove()

        yield recover


@asynccontextmanager
async def _made(wanted: Recovery, port: int) -> AsyncIterator[Inside]:
    call, place = wanted.call, wanted.call.stanza.place
    assert isinstance(place, Running)
    lasts = 2 * wanted.seconds + SPARE_SECONDS
    async with open_runtime(place.system) as runtime:
        workload = await place.primary(runtime)
        asked = Beside(name_of(workload), key_of(call.key), workload, lasts, (port,))
        async with beside(runtime, asked, _Telling(call)) as inside:
            yield inside


def name_of(workload: str) -> str:
    """Of the container beside a workload: one recovery of a server at a time."""
    return f"{workload.rpartition('/')[2][:50]}-recovery"


def key_of(key: str) -> str:
    """The mark of the container, which no label or annotation may be without."""
    return key or "opsbook"


@dataclass
class _Telling:
    call: Call

    async def write(self, text: str) -> None:
        self.call.tell(text)


async def _removed(inside: Inside, folder: str) -> None:
    await inside.run(["sh", "-c", ENDING, "sh", folder], seconds=REMOVE_SECONDS)


class _Aside:
    """The server's life in the container. Blocking."""

    def __init__(self, wanted: Recovery, portal: BlockingPortal, inside: Inside, port: int) -> None:
        self.wanted, self.portal, self.inside, self.port = wanted, portal, inside, port
        stanza = wanted.call.stanza
        assert stanza.folder is not None and isinstance(stanza.place, Running)
        self.parent = str(stanza.folder)
        self.folder = f"{self.parent}/{SCRATCH}"
        self.config = str(stanza.config)
        place = Contained(stanza.place.workload, self._do)
        self.call = dataclasses.replace(wanted.call, stanza=dataclasses.replace(stanza, place=place))

    def recovered(self, backup: Held) -> Recovered:
        """Restored and replayed. Raises NoRoom, NotThere, PgBackRestFailed."""
        started, wanted = time.monotonic(), self.wanted
        owner = self._folder(2 * backup.size + SPARE)
        self.call.run("restore", *wanted.restoring(backup, f"{self.folder}/data", f"{self.folder}/tablespaces"))
        copied = time.monotonic() - started
        self.call.tell(f"{backup.label} copied in {copied:.1f} s; replays the log\n")
        self._begin(owner)
        self._replayed()
        reached = self._reached(owner)
        words = self._log()
        return wanted.recovered(reached, backup, words, copied, time.monotonic() - started - copied)

    def remove(self) -> None:
        """End the server and delete its files. Never raises: the next recovery removes them."""
        # Also where somebody has asked it to stop.
        with suppress(OpsbookError):
            self.portal.call(_removed, self.inside, self.folder)

    def _folder(self, needs: int) -> tuple[int, int]:
        said = self._done(["sh", "-c", MAKING, "sh", self.parent, SCRATCH, self.config], REMOVE_SECONDS)
        room, owner = said.out.split()
        free = int(room) << 10
        if free < needs:
            raise NoRoom(
                f"a recovery needs {needs >> 20:,} MB in {self.parent}, and {free >> 20:,} MB are free",
                "make the volume larger, or free some of it",
            )
        user, _, group = owner.partition(":")
        return int(user), int(group)

    def _begin(self, owner: tuple[int, int]) -> None:
        for name, text in (("postgresql.conf", ""), ("pg_hba.conf", CLOSED), ("pg_ident.conf", "")):
            self.portal.call(self.inside.put, f"{self.folder}/{name}", text.encode(), owner)
        options = self.wanted.options(
            self.folder, port=str(self.port), listen_addresses=self._listens(), shared_buffers="64MB",
            password_encryption="scram-sha-256",  # noqa: S106  how they are kept, and none itself
            # A container's shared memory is small, and nobody asks it many things at once.
            dynamic_shared_memory_type="mmap", max_parallel_workers_per_gather="0",
        )  # fmt: skip
        major = str(self.wanted.cluster.version // 10_000)
        argv = ["sh", "-c", STARTING, "sh", self.folder, major, "-D", f"{self.folder}/data", *options]
        self._done(as_owner(self.config, argv), SHORT_SECONDS)

    def _replayed(self) -> None:
        wanted = self.wanted
        argv = ["sh", "-c", AWAITING, "sh", self.folder, str(self.port), wanted.cluster.superuser]
        said = self._run(as_owner(self.config, argv), wanted.seconds)
        if said.code == ENDED:
            raise wanted.ended(self._log())
        if said.code != 0:
            raise wanted.late() if "did not end" in said.trouble else self._failed(said)

    def _listens(self) -> str:
        """A forward of Kubernetes arrives at the pod's own loopback, a published port of an engine does not."""
        place = self.wanted.call.stanza.place
        assert isinstance(place, Running)
        return LOOPBACK if isinstance(place.system.environment.runtime, KubernetesRuntime) else "*"

    def _reached(self, owner: tuple[int, int]) -> Reached:
        """By a password that it gets now; only then anybody may come by the network."""
        password, user = secrets.token_hex(24), self.wanted.cluster.superuser
        self.portal.call(self.inside.put, f"{self.folder}/pg_hba.conf", opened(user).encode(), owner)
        argv = ["sh", "-c", OPENING, "sh", self.folder, str(self.port), user]
        statements = f"ALTER ROLE CURRENT_USER PASSWORD '{password}';\nSELECT pg_reload_conf();\n".encode()
        self._done(as_owner(self.config, argv), SHORT_SECONDS, statements)
        host, port = self.portal.call(self.inside.address, self.port)
        return Reached(host, port, user, password)

    def _log(self) -> str:
        return self._done(["cat", f"{self.folder}/log"], SHORT_SECONDS).out

    def _done(self, argv: Sequence[str], seconds: float, given: bytes = b"") -> Said:
        said = self._run(argv, seconds, given)
        if said.code != 0:
            raise self._failed(said)
        return said

    def _failed(self, said: Said) -> ChangeFailed:
        return ChangeFailed(f"in the container beside {self.call.stanza.backup.of}: {said.why}", "try again")

    def _run(self, argv: Sequence[str], seconds: float, given: bytes = b"") -> Said:
        async def run(inside: Inside) -> Said:
            return await stoppable(inside.run(argv, seconds=seconds, stdin=given), self.call.stop)

        return self._do("", run)

    def _do(self, key: str, work: Callable[[Inside], Awaitable[T]]) -> T:  # noqa: ARG002
        """The container carries the key of the change already."""
        return self.portal.call(work, self.inside)
