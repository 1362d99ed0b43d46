"""A command in a container: its argv as it is, never through a shell; marked with its key so that it can be ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Done, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.compose_api import ApiFault, told
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.contract import Seen
from opsbook.connectors.runtimes.ending import END_SECONDS, ending
from opsbook.connectors.runtimes.kubernetes_exec import KEPT, KEY, NO_PROGRAM, SEEN
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.compose_api import ComposeApi

WAITING = 64
"""Pieces of output that wait for their reader; then the command waits."""
NOT_STARTED = frozenset({126, 127})
ENVIRONMENT_OF_FIRST = ("cat", "/proc/1/environ")
LOOK_SECONDS = 10.0


class CommandFailed(ChangeFailed):
    """The command ran to its end and said that it failed."""


class CommandLost(OpsbookError):
    """The command was cut off: what it had done by then is not known."""

    exit_code = 1


async def run(compose: Compose, key: str, effect: Mapping[str, Any], variables: Mapping[str, str], out: Sink) -> Done:
    """Run it to its end in one ready container: `exit`, `container`, and the end of what it printed as `stdout`.

    Raises ChangeFailed where it did not start, CommandFailed where it ended badly, CommandLost where it was cut off.
    """
    ready = [one for one in await compose.checked(effect["workload"]) if one.ready]
    if not ready:
        raise ChangeFailed(
            f"no container of {effect['workload']} is ready, so that nothing can be run in one", "start it"
        )
    one, program = ready[0], effect["argv"][0]
    try:
        async with asyncio.timeout(effect["timeout"]):
            code, said = await _run(compose.api, one, effect["argv"], {**variables, KEY: key}, out)
    except TimeoutError as error:
        await end(compose, key, effect)
        raise CommandLost(
            f"{program} did not end within {effect['timeout']:g} s and was ended", "look what it did until then"
        ) from error
    except asyncio.CancelledError:
        await end(compose, key, effect)
        raise
    if code is None:
        raise CommandLost(f"the command in {one.name} was cut off", "look whether it has done its work")
    if code in NOT_STARTED and "OCI runtime" in said and any(words in said.lower() for words in NO_PROGRAM):
        raise ChangeFailed(f"{program} could not be started in {one.name}", "is it in the image of the workload?")
    if code > 128:
        raise CommandLost(f"the command in {one.name} was ended by signal {code - 128}", "its output says more")
    if code:
        last = next((f": {line.strip()[:300]}" for line in reversed(said.splitlines()) if line.strip()), "")
        raise CommandFailed(f"the command in {one.name} ended with {code}{last}", "its output says more")
    return Done({"exit": 0, "container": one.name, "stdout": said})


async def _run(
    api: ComposeApi,
    one: Container,
    argv: Sequence[str],
    variables: Mapping[str, str],
    out: Sink | None,
    kept: int = KEPT,
) -> tuple[int | None, str]:
    """Exit code, and the end of what it printed."""
    made = await api.call("exec_create", one.id, list(argv), environment=dict(variables))
    try:
        said = await _printed(api, made["Id"], out, kept)
    except ApiFault as error:
        if any(words in error.message.lower() for words in NO_PROGRAM):
            return 127, f"OCI runtime: {error.message}"
        raise
    return (await api.call("exec_inspect", made["Id"])).get("ExitCode"), said


async def _printed(api: ComposeApi, name: str, out: Sink | None, kept: int) -> str:
    """What a command prints, handed on as it comes, read by a thread that ends with the command."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(WAITING)

    left = threading.Event()

    def hand(piece: bytes | Exception | None) -> None:
        if left.is_set():
            raise RuntimeError("nobody waits any more")
        asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result()

    def read() -> None:
        client = None
        try:
            client = api.another()
            # Without a time-out: the command may be silent as long as its own allows.
            client.timeout = None
            with told():
                for piece in client.exec_start(name, stream=True):
                    hand(piece)
            hand(None)
        except OpsbookError as error:
            hand(error)
        except (RuntimeError, asyncio.CancelledError):
            return  # nobody waits any more
        finally:
            if client is not None:
                client.close()

    threading.Thread(target=read, daemon=True).start()
    said = ""
    try:
        while (piece := await pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            text = piece.decode("utf-8", errors="replace")
            said = (said + text)[-kept:]
            if out is not None:
                await out.write(text)
    finally:
        left.set()
        while not pieces.empty():
            pieces.get_nowait()  # whoever waits to hand one on may go
    return said


async def look(
    compose: Compose, workload: str, argv: Sequence[str], seconds: float, instances: Sequence[str] | None, every: bool
) -> list[Seen]:
    """A program that only looks, in containers that run. Raises ReadFailed where there is none."""
    found = await compose.containers(workload)
    running = [one for one in found if one.state.get("Running") and not one.state.get("Paused")]
    if instances is not None:
        running = [one for one in running if one.name in instances]
    if not running:
        why = next((f": {one.name}: {one.reason()}" for one in found if one.reason()), "")
        raise ReadFailed(f"no container of {workload} runs at this moment, so that nothing is seen from inside{why}")
    # One that is ready last: what fails is looked at first.
    chosen = running if every else sorted(running, key=lambda one: one.ready)[:1]
    return list(await asyncio.gather(*(_look(compose, one, argv, seconds) for one in chosen)))


async def _look(compose: Compose, one: Container, argv: Sequence[str], seconds: float) -> Seen:
    try:
        async with asyncio.timeout(seconds):
            code, said = await _run(compose.api, one, argv, {}, None, SEEN)
    except TimeoutError:
        return Seen(one.name, None, "", f"nothing came back from {one.name} within {seconds:g} s")
    except (ApiFault, Unreachable) as error:
        return Seen(one.name, None, "", error.message)
    return Seen(one.name, code, said, "the look was cut off" if code is None else "")


async def first_process(compose: Compose, one: Container) -> dict[str, str]:
    """The variables of the process 1 in a container; none where its image has no `cat`, or nobody may look."""
    seen = await _look(compose, one, ENVIRONMENT_OF_FIRST, LOOK_SECONDS)
    pairs = (pair.partition("=") for pair in seen.said.split("\0") if "=" in pair) if seen.code == 0 else ()
    return {name: value for name, _, value in pairs}


async def end(compose: Compose, key: str, effect: Mapping[str, Any]) -> bool:
    """End everything that carries the key, in every container. True when nothing of it runs any more."""
    done = True
    for one in await compose.containers(effect["workload"]):
        if not one.state.get("Running"):
            continue
        try:
            async with asyncio.timeout(END_SECONDS):
                code, _ = await _run(compose.api, one, ending(f"{KEY}={key}"), {}, None)
        except (ApiFault, Unreachable, TimeoutError):
            code = None
        done = done and code == 0
    return done
