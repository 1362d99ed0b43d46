"""Files within the instances of a workload, the same on every runtime: looked at, read, put in their place at once.

Bytes go in and out as the runtime can (a command in a pod, the engine's archives, this host); what must be decided in
one go, in the place itself, is a small shell script there. A value is always an argument of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import posixpath
import tarfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal, cast

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.look import MARK, NOT_STARTED
from opsbook.connectors.runtimes.contract import (
    GivesFiles,
    LooksInside,
    NoTar,
    Runtime,
    Take,
    TakesFiles,
    Unsupported,
)
from opsbook.connectors.runtimes.supervisor import Supervisor
from opsbook.errors import OpsbookError, Refused, Unreachable

ABSENT = "absent"
LARGEST = 50_000_000
"""Bytes of a file that is put into an instance; what is larger belongs into an image or a volume."""
LONGEST_NAME = 200
"""Bytes of a file's name: the names beside it, under which it arrives and is kept, are longer."""
SCRIPT_SECONDS = 60.0
WAITING = 64
"""Pieces that wait for their reader; then whoever reads waits."""
BLOCK = 512
"""Bytes to which a tar archive fills up each file (POSIX.1-1988, ustar)."""
Kind = Literal["file", "folder", "other", "absent", "nowhere", "unreadable"]


class NoShell(OpsbookError):
    """The image has no shell."""


@dataclass(frozen=True)
class Inside:
    """What stands at a path. `nowhere`: not even its folder is there."""

    path: str
    """Where links lead."""
    kind: Kind
    size: int = 0
    mode: str = ""
    """Octal; empty where nobody can tell."""
    digest: str = ""
    """SHA-256 of a file."""
    owner: tuple[int, int] | None = None
    """Who runs there: uid and gid."""

    @property
    def state(self) -> str:
        """Its digest, or `absent`."""
        return self.digest if self.kind == "file" else ABSENT


def runtime_that_copies(runtime: Runtime) -> LooksInside:
    """Raises Unsupported with why it cannot."""
    able = isinstance(runtime, LooksInside) and isinstance(runtime, TakesFiles) and isinstance(runtime, GivesFiles)
    if able and "copy" in runtime.capabilities:
        return cast(LooksInside, runtime)
    raise Unsupported("this runtime cannot copy files of a workload", "run opsbook where the workload runs")


def checked(path: str) -> str:
    """A path of an instance. Raises Refused for one that is not told in full, or that no file can have."""
    if not path.startswith("/") or any(one in path for one in "\0\n\r"):
        raise Refused(f"{path!r} is no path of a container", "write it in full, from /")
    if posixpath.normpath(path) in ("/", "//"):
        raise Refused("the whole file system is not copied", "name a file or a folder of it")
    if len(posixpath.basename(path.rstrip("/")).encode(errors="replace")) > LONGEST_NAME:
        raise Refused(f"the name of {path[:60]}… is longer than {LONGEST_NAME} bytes", "choose a shorter one")
    return posixpath.normpath(path).replace("//", "/")


async def instances(runtime: Runtime, workload: str, named: str = "") -> list[str]:
    """Those whose files can be reached: the named one, or all that are ready; `""` where all share this host's files.

    Raises Refused where there is none.
    """
    if isinstance(runtime, Supervisor):
        await runtime.status(workload)
        return [""]
    found = (await runtime.status(workload)).instances
    chosen = [one.name for one in found if (one.name == named if named else one.ready)]
    if not chosen:
        known = ", ".join(one.name for one in found) or "it has none"
        raise Refused(f"{workload} has no instance {named}" if named else f"no instance of {workload} is ready", known)
    return chosen


async def seen(runtime: Runtime, workload: str, instance: str, path: str) -> Inside:
    """What stands there now. Raises NoShell, ReadFailed."""
    told = await _script(runtime, workload, instance, "stat.sh.txt", path, str(LARGEST))
    words, _, real = told.partition("\n")
    kind, size, mode, digest, uid, gid = (words.split("\t") + [""] * 6)[:6]
    owner = (int(uid), int(gid)) if uid.isdigit() and gid.isdigit() else None
    found = Inside(real.rstrip("\n") or path, cast(Kind, kind), int(size) if size.strip().isdigit() else 0, mode,
                   digest, owner)  # fmt: skip
    if found.kind == "file" and not found.digest and found.size <= LARGEST:
        return replace(found, digest=await _digest(runtime, workload, instance, found))
    return found


async def put(
    runtime: Runtime, workload: str, instance: str, found: Inside, data: bytes, mode: str, guard: str, mark: str
) -> str:
    """Brings a file to its place at once and whole; what stood there is kept beside it. Returns how it went.

    `guard`: the state that it must be in now, any where empty. Raises Refused where it is another, ReadFailed where
    it was not written, and any other error where nobody knows.
    """
    assert isinstance(runtime, TakesFiles), "asked before"
    folder, name = posixpath.split(found.path)
    new = arriving(found.path, mark)
    await runtime.put_inside(workload, instance, new, data, found.owner)
    before = "" if found.kind != "file" else posixpath.join(folder, kept_name(name, found.digest))
    digest = hashlib.sha256(data).hexdigest()
    return await _settled(
        runtime, workload, instance, "settle.sh.txt", new, found.path, str(len(data)), digest, mode, guard, before
    )


async def put_back(runtime: Runtime, workload: str, instance: str, path: str, wanted: str, guard: str) -> str:
    """Puts the kept file of a digest back, or takes away what stands there (`absent`). Raises as `put`."""
    folder, name = posixpath.split(path)
    before = "" if wanted == ABSENT else posixpath.join(folder, kept_name(name, wanted))
    return await _settled(runtime, workload, instance, "unsettle.sh.txt", path, wanted, guard, before)


async def forget_arrival(runtime: Runtime, workload: str, instance: str, path: str, mark: str) -> None:
    """Removes what a copy that was cut off has left beside its target."""
    await _script(runtime, workload, instance, "forget.sh.txt", arriving(path, mark))


def arriving(path: str, mark: str) -> str:
    """Where a file is while it arrives."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, f".{name}.{hashlib.sha256(mark.encode()).hexdigest()[:12]}.new")


def kept_name(name: str, digest: str) -> str:
    """The name of the version before, which `*` does not match."""
    return f".{name}.{digest[:16]}.previous"


async def copy_from(runtime: Runtime, workload: str, path: str, instance: str = "") -> AsyncGenerator[bytes, None]:
    """A tar archive of a file or folder of a workload, in pieces as they come; its first entry is what was named.

    Of an instance, or of any that runs. A link is followed to what it leads to. Raises ReadFailed, Unsupported.
    """
    runtime_that_copies(runtime)
    pieces: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
    reading = asyncio.ensure_future(_read(runtime, workload, instance, path, pieces.put))
    try:
        while not reading.done() or not pieces.empty():
            getting = asyncio.ensure_future(pieces.get())
            await asyncio.wait({getting, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done() and pieces.empty():
                getting.cancel()
                break
            yield await getting
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(runtime: Runtime, workload: str, instance: str, path: str, take: Take) -> None:
    assert isinstance(runtime, GivesFiles), "asked before"
    try:
        found = await seen(runtime, workload, instance, path)
    except NoShell:
        found = None
    if found is not None and found.kind in ("absent", "nowhere"):
        raise ReadFailed(f"there is no {path} in {instance or workload}", "look what is there")
    real = path if found is None else found.path
    try:
        await runtime.take_inside(workload, instance, real, take)
    except NoTar as error:
        if found is None or found.kind != "file":
            what = "a folder is not read without" if found else "nothing can be read out of it, nor without a shell"
            raise ReadFailed(f"{error.message}: {what}", error.hint) from error
        await _wrapped(runtime, workload, instance, found, take)


async def _wrapped(runtime: GivesFiles, workload: str, instance: str, found: Inside, take: Take) -> None:
    """A tar archive of one file, made here."""
    about = tarfile.TarInfo(posixpath.basename(found.path))
    about.size, about.mode = found.size, int(found.mode or "644", 8)
    left = found.size
    await take(about.tobuf(tarfile.PAX_FORMAT))

    async def bounded(piece: bytes) -> None:
        nonlocal left
        if left:
            await take(piece[:left])
            left -= len(piece[:left])

    await runtime.take_inside(workload, instance, found.path, bounded, plain=True)
    if left:
        raise ReadFailed(f"{found.path} became shorter while it was read", "read it again")
    await take(bytes(-found.size % BLOCK + 2 * BLOCK))


async def _digest(runtime: Runtime, workload: str, instance: str, found: Inside) -> str:
    """SHA-256 of a file where the image cannot tell it."""
    packed = io.BytesIO()

    async def take(piece: bytes) -> None:
        packed.write(piece)

    assert isinstance(runtime, GivesFiles), "asked before"
    try:
        await runtime.take_inside(workload, instance, found.path, take)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            first = tar.next()
            content = tar.extractfile(first) if first is not None else None
            data = content.read() if content is not None else b""
    except NoTar:
        await runtime.take_inside(workload, instance, found.path, take, plain=True)
        data = packed.getvalue()
    except tarfile.TarError as error:
        raise ReadFailed(f"{found.path} cannot be read: {error}") from error
    return hashlib.sha256(data).hexdigest()


async def _settled(runtime: Runtime, workload: str, instance: str, script: str, *arguments: str) -> str:
    how, _, words = (await _script(runtime, workload, instance, script, *arguments)).partition("\t")
    if how == "changed":
        raise Refused(f"{words.strip()} has changed since this was planned", "look at it, and plan anew")
    if how == "no":
        raise ReadFailed(f"{words.strip()[:300]} ({instance or workload})", "check its folder, permissions and room")
    return words.strip()


async def _script(runtime: Runtime, workload: str, instance: str, name: str, *arguments: str) -> str:
    """What a script says after its mark. Raises NoShell, ReadFailed; Unreachable where it was cut off."""
    inside = runtime_that_copies(runtime)
    argv = ["sh", "-c", _text(name), "sh", *arguments]
    chosen: Sequence[str] | None = [instance] if instance else None
    found = await inside.look_inside(workload, argv, SCRIPT_SECONDS, instances=chosen, every=bool(instance))
    if not found:
        raise ReadFailed(f"the instance {instance} of {workload} is gone", "plan anew, for those that are there now")
    one = found[0]
    if one.trouble:
        raise Unreachable(f"{one.instance}: {one.trouble}", "look at it, then go on")
    if one.code in NOT_STARTED:
        raise NoShell(f"the image of {workload} has no sh, so that nothing can be copied into it or looked at there",
                      "mount it as a config map or a volume")  # fmt: skip
    before, mark, said = one.said.partition(f"{MARK}\t")
    if not mark:
        raise ReadFailed(f"{one.instance} says nothing that is understood: {before.strip()[:200]}")
    return said


@cache
def _text(name: str) -> str:
    return files("opsbook.connectors.inside").joinpath(name).read_text(encoding="utf-8")
