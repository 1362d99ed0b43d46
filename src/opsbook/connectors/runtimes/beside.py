"""A container beside a workload: of its image, volumes, variables and network, in which commands are run.

It is there for what must see the files of a workload that may be stopped itself: a recovery beside it, a rebuild of
its data folder. No service sends it requests, it ends by itself, and nothing of an earlier one is left when it begins:
who comes again with the same key has the one before removed, with all that ran in it.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.runtimes.ending import BECOME, END_SECONDS, ending
from opsbook.connectors.runtimes.kubernetes_exec import KEY
from opsbook.errors import OpsbookError, Refused

COMMAND = "OPSBOOK_COMMAND"
"""Marks one command and its children; the key marks all of a change."""
OUT, ERRORS = 1, 2
"""The channels of what a command says, as the engines number them."""
LONGEST_SAID = 16 << 20
"""Bytes of the end of each channel that are kept."""
PUT_SECONDS = 120.0

WAITING = 'trap "exit 0" TERM INT; sleep "$1" & wait'
"""The first process: a shell, because it takes in the children whose parents have ended."""
FED = 'n=$1; shift; dd bs=1 count=1 >/dev/null 2>&1; head -c "$n" | "$@"'
"""Gives a command so many bytes of its standard input, after one that says that somebody listens to its output."""
PUTTING = """
umask 077
cat > "$1.opsbook" && [ "$(wc -c < "$1.opsbook")" -eq "$2" ] || { rm -f "$1.opsbook"; exit 1; }
if [ -n "$3" ]; then chown "$3" "$1.opsbook" || { rm -f "$1.opsbook"; exit 1; }; fi
mv -f "$1.opsbook" "$1"
"""
AS_OWNER = (
    BECOME
    + """
user=$(stat -c %u "$1") && group=$(stat -c %g "$1") || exit 126
shift
[ "$(id -u)" = "$user" ] && exec "$@"
become "$user" "$group" "$@"
"""
)

Hear = Callable[[int, bytes], Awaitable[None]]
"""Takes a piece of output and its channel."""


@dataclass(frozen=True)
class Beside:
    """What is made."""

    name: str
    """A DNS label; two of one name never run at once."""
    key: str
    """Of the change: who comes again with it takes the place of the one before."""
    workload: str
    lasts: float
    """Seconds after which it ends by itself."""
    ports: tuple[int, ...] = ()
    """Ports in it that this host must reach."""


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, or None and in `trouble` why there is none."""

    code: int | None
    out: str
    err: str
    trouble: str = ""

    @property
    def why(self) -> str:
        """Its last words, for a sentence about a failure."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return self.trouble or (lines[-1][:300] if lines else f"it ended with {self.code}")


class Inside(Protocol):
    """Such a container, while it lasts."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        hear: Hear | None = None,
    ) -> Said:
        """Run a command to its end; after its seconds, or cancelled, it is ended with its children. No secrets in argv
        or `env`: other processes see them."""
        ...

    async def put(self, path: str, data: bytes, owner: tuple[int, int] | None = None) -> None:
        """Write a file that only its owner (uid, gid; else who runs there) may read. Raises ChangeFailed."""
        ...

    async def address(self, port: int) -> tuple[str, int]:
        """Where this host reaches a port of `Beside.ports`."""
        ...


class Exchange(Protocol):
    """What a runtime knows of its container."""

    async def talk(self, argv: Sequence[str], given: bytes, hear: Hear) -> tuple[int | None, str]:
        """Run it: its exit code, or None and why there is none."""
        ...

    async def address(self, port: int) -> tuple[str, int]: ...


class Within:
    """Runs commands by the exchange of a runtime."""

    def __init__(self, exchange: Exchange, key: str) -> None:
        self._exchange, self._key, self._numbers = exchange, key, itertools.count(1)
        self._life = secrets.token_hex(8)

    async def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        hear: Hear | None = None,
    ) -> Said:
        """See `Inside.run`."""
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        return await self._said(["env", *variables, *argv], seconds, stdin or None, hear)

    async def _said(
        self, argv: Sequence[str], seconds: float, given: bytes | None = None, hear: Hear | None = None
    ) -> Said:
        mark = f"{COMMAND}={self._life}/{next(self._numbers)}"
        command = ["env", f"{KEY}={self._key}", mark, *argv]
        if given is not None:
            command = ["sh", "-c", FED, "sh", str(len(given)), *command]
        kept = {OUT: bytearray(), ERRORS: bytearray()}

        async def keep(channel: int, piece: bytes) -> None:
            kept[channel].extend(piece)
            del kept[channel][:-LONGEST_SAID]
            if hear is not None:
                await hear(channel, piece)

        try:
            async with asyncio.timeout(seconds):
                code, trouble = await self._exchange.talk(command, b"" if given is None else b"\n" + given, keep)
        except TimeoutError:
            became = "was ended" if await self._ended(mark) else "may still run: it could not be ended"
            code, trouble = None, f"it did not end within {seconds:g} s and {became}"
        except asyncio.CancelledError:
            await self._ended(mark)
            raise
        out, err = (kept[channel].decode(errors="replace") for channel in (OUT, ERRORS))
        return Said(code, out, err, trouble if code is None else "")

    async def _ended(self, mark: str) -> bool:
        async def ignore(_channel: int, _piece: bytes) -> None:
            return

        with suppress(OpsbookError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                return (await self._exchange.talk(ending(mark), b"", ignore))[0] == 0
        return False

    async def put(self, path: str, data: bytes, owner: tuple[int, int] | None = None) -> None:
        """See `Inside.put`."""
        who = f"{owner[0]}:{owner[1]}" if owner else ""
        said = await self._said(["sh", "-c", PUTTING, "sh", path, str(len(data)), who], PUT_SECONDS, data)
        if said.code != 0:
            raise ChangeFailed(f"{path} cannot be written: {said.why}", "is its disk full, or its folder missing?")

    async def address(self, port: int) -> tuple[str, int]:
        """See `Inside.address`."""
        return await self._exchange.address(port)


def as_owner(path: str, argv: Sequence[str]) -> list[str]:
    """A command that is run as the owner of a path: servers and their programs refuse anybody else."""
    return ["sh", "-c", AS_OWNER, "sh", path, *argv]


def several(workload: str, how: str) -> Refused:
    """Of a workload whose instances have files of their own, whose are meant cannot be known."""
    return Refused(f"whose files of {workload} are meant cannot be known: {how}", "have one for each server")


@asynccontextmanager
async def beside(runtime: Runtime, wanted: Beside, out: Sink) -> AsyncIterator[Inside]:
    """The container, while the block lasts; then it is gone, with all that runs in it.

    Raises Refused where another of its name runs or the workload has several instances, ChangeFailed where it cannot be
    made, Unsupported.
    """
    from opsbook.connectors.runtimes import compose_beside, kubernetes_beside
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    making: AbstractAsyncContextManager[Exchange]
    if isinstance(runtime, Kubernetes):
        making = kubernetes_beside.made(runtime, wanted, out)
    elif isinstance(runtime, Compose):
        making = compose_beside.made(runtime, wanted, out)
    else:
        raise Unsupported("this runtime makes no containers", "name a folder of this host instead")
    async with making as exchange:
        yield Within(exchange, wanted.key)


async def within(runtime: Runtime, workload: str, key: str) -> Inside:
    """Commands in the container of the workload itself. Raises ReadFailed where none runs, Refused where several do."""
    from opsbook.connectors.runtimes import compose_beside, kubernetes_beside
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Kubernetes):
        return Within(await kubernetes_beside.running(runtime, workload), key)
    if isinstance(runtime, Compose):
        return Within(await compose_beside.running(runtime, workload), key)
    raise Unsupported("this runtime makes no containers", "name a folder of this host instead")


async def end_within(runtime: Runtime, workload: str, key: str) -> bool:
    """End what carries the key in the containers of a workload. True when nothing of it runs any more."""
    from opsbook.connectors.runtimes import compose_exec, kubernetes_exec
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Kubernetes):
        _, one = await runtime.found(workload)
        container, _ = runtime.image_of(one, workload)
        return await kubernetes_exec.end(runtime, key, {"workload": workload, "container": container})
    if isinstance(runtime, Compose):
        return await compose_exec.end(runtime, key, {"workload": workload})
    return True


async def end_beside(runtime: Runtime, name: str, key: str) -> bool:
    """Remove it, where it is of this key. True when nothing of it runs any more."""
    from opsbook.connectors.runtimes import compose_once, kubernetes_once
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Kubernetes):
        return await kubernetes_once.end(runtime, name, key)
    if isinstance(runtime, Compose):
        return await compose_once.end(runtime, name, key)
    return True
