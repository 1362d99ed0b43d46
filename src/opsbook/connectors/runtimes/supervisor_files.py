"""Files of this host, written and read as the user of a program: it gives nothing away that its user may not see."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Sequence

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import NoTar, Take
from opsbook.connectors.runtimes.supervisor_exec import Place, as_user

PUTTING = 'umask 077; cat > "$1" && chmod 700 "$1"'
PIECE = 1 << 17
LONGEST_WORDS = 2000
CHANGED_WHILE_READ = 1


async def put(place: Place, path: str, data: bytes) -> None:
    """Raises ReadFailed."""
    child = await _started(place, ["sh", "-c", PUTTING, "sh", path])
    try:
        _, errors = await child.communicate(data)
    finally:
        await _ended(child)
    if child.returncode != 0:
        raise ReadFailed(f"{path} cannot be written: {_text(errors)[:300]}")


async def take_out(place: Place, path: str, take: Take, *, plain: bool) -> None:
    """A tar archive of what stands at the path, or its bytes alone. Raises NoTar, ReadFailed."""
    folder, name = posixpath.split(path.rstrip("/") or "/")
    child = await _started(place, ["cat", path] if plain else ["tar", "-cf", "-", "-C", folder, f"./{name}"])
    assert child.stdout is not None
    assert child.stderr is not None
    errors = asyncio.ensure_future(_heard(child.stderr))
    try:
        while piece := await child.stdout.read(PIECE):
            await take(piece)
        code, said = await child.wait(), await errors
    finally:
        await _ended(child)
        errors.cancel()
    if code == CHANGED_WHILE_READ and not plain and b"changed as we read it" in said:
        return
    if code != 0:
        raise ReadFailed(f"{path} cannot be read: {_text(said)[:300]}")


async def _heard(stream: asyncio.StreamReader) -> bytes:
    """All that is said, so that it never blocks; the beginning of it is kept."""
    said = b""
    while piece := await stream.read(PIECE):
        said += piece[: LONGEST_WORDS - len(said)]
    return said


async def _started(place: Place, argv: Sequence[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *argv, cwd=place.directory, env={**place.environment, "LC_ALL": "C"}, stdin=pipe, stdout=pipe, stderr=pipe,
            **as_user(place.user),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NoTar(f"{argv[0]} is not on this host", f"install {argv[0]}") from error
    except OSError as error:
        raise ReadFailed(f"{argv[0]}: {error.strerror}") from error


async def _ended(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
        await child.wait()


def _text(said: bytes) -> str:
    return said.decode("utf-8", errors="replace").strip()
