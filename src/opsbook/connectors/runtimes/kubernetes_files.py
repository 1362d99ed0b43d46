"""Files that go into and come out of pods, through a command there: there is no other way in."""

from __future__ import annotations

import asyncio
import posixpath
from typing import TYPE_CHECKING

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import NoTar, Take
from opsbook.connectors.runtimes.kubernetes_exchange import OUT, exchange
from opsbook.connectors.runtimes.kubernetes_exec import not_started
from opsbook.connectors.runtimes.kubernetes_pods import Pod

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

PUT_SECONDS = 120.0
PUTTING = 'umask 077; head -c "$1" > "$2" && chmod 700 "$2"'
SILENT_SECONDS = 60.0
"""How long what is read may say nothing: however large it is, it comes."""
LONGEST_WORDS = 2000
CHANGED_WHILE_READ = 1
"""How GNU tar ends where a file grew while it was read; it is in the archive as it was at its beginning."""


async def put(runtime: Kubernetes, workload: str, instance: str, path: str, data: bytes) -> None:
    """A file written in a pod. Raises ReadFailed."""
    container, pod = await _pod(runtime, workload, instance)
    argv = ["sh", "-c", PUTTING, "sh", str(len(data)), path]
    said = bytearray()

    async def hear(_: int, piece: bytes) -> None:
        said.extend(piece)

    try:
        async with asyncio.timeout(PUT_SECONDS):
            code, words = await exchange(runtime, pod, container, argv, hear, data)
    except TimeoutError as error:
        raise ReadFailed(f"{path} was not written in {instance} within {PUT_SECONDS:g} s") from error
    if code is None and not_started(words):
        raise ReadFailed(
            f"the image of {workload} has no sh, so that nothing can be copied into {instance}",
            "mount it as a config map or a volume",
        )
    if code != 0:
        raise ReadFailed(f"{path} cannot be written in {instance}: {(_text(said) or words)[:300]}")


async def take_out(runtime: Kubernetes, workload: str, instance: str, path: str, take: Take, plain: bool) -> None:
    """A tar archive of what stands at the path, or its bytes alone. Raises NoTar, ReadFailed."""
    container, pod = await _pod(runtime, workload, instance)
    folder, name = posixpath.split(path.rstrip("/") or "/")
    argv = ["cat", path] if plain else ["tar", "-cf", "-", "-C", folder, f"./{name}"]
    errors, heard = bytearray(), asyncio.get_running_loop().time

    last = heard()

    async def hear(channel: int, piece: bytes) -> None:
        nonlocal last
        last = heard()
        if channel == OUT:
            await take(piece)
        else:
            errors.extend(piece[: LONGEST_WORDS - len(errors)])

    running = asyncio.ensure_future(exchange(runtime, pod, container, argv, hear))
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=SILENT_SECONDS / 10)
            if not running.done() and heard() - last > SILENT_SECONDS:
                raise ReadFailed(f"nothing of {path} came out of {pod.name} for {SILENT_SECONDS:g} s")
        code, words = running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    if (code is None and not_started(words)) or code in (126, 127):
        raise NoTar(f"the image of {workload} has no {argv[0]}", f"put {argv[0]} into the image")
    if code == CHANGED_WHILE_READ and not plain and b"changed as we read it" in errors:
        return
    if code != 0:
        raise ReadFailed(f"{path} cannot be read in {pod.name}: {(_text(errors) or words or 'it was cut off')[:300]}")


async def _pod(runtime: Kubernetes, workload: str, instance: str) -> tuple[str, Pod]:
    """The container that is meant and its pod, by its name or any that runs. Raises ReadFailed."""
    _, one = await runtime.found(workload)
    container, _ = runtime.image_of(one, workload)
    found = [pod for pod in await runtime.pods(workload) if container in pod.images]
    if instance:
        found = [pod for pod in found if pod.name == instance]
        if not found:
            raise ReadFailed(f"the pod {instance} is gone", "plan anew, for those that are there now")
        return container, found[0]
    running = [pod for pod in found if pod.started and not pod.ending]
    if not running:
        raise ReadFailed(f"no pod of {workload} runs at this moment")
    return container, max(running, key=lambda pod: pod.ready)


def _text(said: bytes | bytearray) -> str:
    return bytes(said).decode("utf-8", errors="replace").strip()
