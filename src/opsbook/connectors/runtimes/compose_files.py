"""Files that go into and come out of containers, through the archives of the Docker API: no program is needed there."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
from concurrent.futures import Future
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.compose_api import ApiFault, told
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.contract import Take
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose

PUT_SECONDS = 120.0
CHUNK = 1 << 17
LOOK_SECONDS = 1.0


async def put(
    compose: Compose, workload: str, instance: str, path: str, data: bytes, owner: tuple[int, int] | None
) -> None:
    """A file written in a container. Raises ReadFailed."""
    one = await _container(compose, workload, instance)
    packed, about = io.BytesIO(), tarfile.TarInfo(PurePosixPath(path).name)
    # Without an owner it belongs to root there, and the container's user is to run it.
    about.size, about.mode = len(data), 0o755
    if owner is not None:
        about.mode, (about.uid, about.gid) = 0o600, owner
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(about, io.BytesIO(data))
    folder = str(PurePosixPath(path).parent)
    try:
        await compose.api.call("put_archive", one.id, folder, packed.getvalue(), deadline=PUT_SECONDS)
    except ApiFault as error:
        raise ReadFailed(f"{path} cannot be written in {one.name}: {error.message}") from error


async def take_out(compose: Compose, workload: str, instance: str, path: str, take: Take) -> None:
    """A tar archive of what stands at the path. Raises ReadFailed."""
    one = await _container(compose, workload, instance)
    loop, left = asyncio.get_running_loop(), threading.Event()
    over: asyncio.Future[None] = loop.create_future()

    def ended(error: OpsbookError | None) -> None:
        if over.done():
            return
        over.set_exception(error) if error is not None else over.set_result(None)

    def read() -> None:
        client, failed = None, None
        try:
            client = compose.api.another()
            with told():
                pieces, _ = client.get_archive(one.id, path, chunk_size=CHUNK)
                for piece in pieces:
                    if not _handed(asyncio.run_coroutine_threadsafe(_taken(take, piece), loop), left):
                        return
        except OpsbookError as error:
            failed = error
        except (RuntimeError, asyncio.CancelledError):
            return  # nobody waits any more
        finally:
            if client is not None:
                client.close()
        loop.call_soon_threadsafe(ended, failed)

    threading.Thread(target=read, daemon=True).start()
    try:
        await over
    except ApiFault as error:
        raise ReadFailed(f"{path} cannot be read in {one.name}: {error.message}") from error
    finally:
        left.set()


def _handed(taking: Future[None], left: threading.Event) -> bool:
    """Waits until a piece is taken; False where nobody waits for more."""
    while not left.is_set():
        try:
            taking.result(LOOK_SECONDS)
            return True
        except TimeoutError:
            continue
    taking.cancel()
    return False


async def _taken(take: Take, piece: bytes) -> None:
    await take(piece)


async def _container(compose: Compose, workload: str, instance: str) -> Container:
    """By its name, or any: one that runs where there is one. Raises ReadFailed."""
    found = await compose.containers(workload)
    if instance:
        one = next((each for each in found if each.name == instance), None)
        if one is None:
            raise ReadFailed(f"the container {instance} is gone", "plan anew, for those that are there now")
        return one
    if not found:
        raise ReadFailed(f"{workload} has no container")
    return max(found, key=lambda each: (each.ready, each.active))
