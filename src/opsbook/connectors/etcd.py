"""etcd, in which a cluster keeps its objects: snapshots of it by its own program, `etcdctl` (3.4 to 3.6).

Certificate, key and authority are files of the credential that the book names; they are handed over as variables of the
environment that name copies in memory, which only the program inherits. Nothing of them stands in an argument, and no
copy on a disk.
Source: etcd.io/docs/v3.4/op-guide/recovery (snapshot save, status).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from opsbook.book.catalogue import Strict
from opsbook.book.references import Reference, SecretReference
from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.process_tree import KEY
from opsbook.errors import Unreachable

STATUS_SECONDS = 60.0
ASKED_SECONDS = 10.0
LONGEST_WORDS = 400
PIECE, PAGE, SUM = 1 << 20, 512, 32
"""Bytes that are read at a time, of which the database is a multiple, and of the checksum behind it."""
SAVING, STATUS, ENDPOINT = "snapshot save", "snapshot status", "endpoint status"


class EtcdAccess(Strict):
    """Where the etcd of a cluster is, and the credential that may read all of it."""

    endpoint: Reference = Field(description="one member, which is read: https://host:2379")
    ca: Reference | None = Field(None, description="its authority: file:/etc/kubernetes/pki/etcd/ca.crt")
    cert: Reference | None = Field(None, description="the client's certificate: file:PATH")
    key: SecretReference | None = Field(None, description="its key: file:PATH")


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot says of itself."""

    hash: str
    """CRC-32 of its keys and values (Castagnoli), as etcd has it."""
    revision: int
    keys: int
    """Entries, those of older revisions too."""
    size: int
    """Bytes of the database in it."""


class EtcdFailed(ChangeFailed):
    """etcd, or its program, said no: nothing was changed in it."""


@dataclass(frozen=True)
class Handed:
    """What its program is started with."""

    variables: dict[str, str]
    descriptors: tuple[int, ...]
    """It inherits these, and reads the credential through them."""


@contextmanager
def handed(system: System, access: EtcdAccess, marks: Mapping[str, str] | None = None) -> Iterator[Handed]:
    """Variables for its program that name copies of the credential, which are there meanwhile.

    Raises MissingSecret, and Unreachable where there is no memory that can be handed over so.
    `marks`: more variables.
    """
    if sys.platform != "linux":
        raise Unreachable("etcd is read from Linux only", "run opsbook on Linux")
    found = {name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL_")}
    found |= {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": system.resolve(access.endpoint), **(marks or {})}
    descriptors = []
    with ExitStack() as copies:
        for name, reference in (("CACERT", access.ca), ("CERT", access.cert), ("KEY", access.key)):
            if reference is not None:
                text = system.resolve(reference).rstrip() + "\n"
                path, descriptor = copies.enter_context(_copied(name.lower(), text))
                found[f"ETCDCTL_{name}"] = path
                descriptors.append(descriptor)
        yield Handed(found, tuple(descriptors))


@contextmanager
def _copied(name: str, text: str) -> Iterator[tuple[str, int]]:
    """A file of memory, and its path for whoever inherits its descriptor: killed in between, nothing of it stays."""
    descriptor = os.memfd_create(f"opsbook-etcd-{name}")
    try:
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


async def revision_now(system: System, access: EtcdAccess, marks: Mapping[str, str] | None = None) -> tuple[int, int]:
    """The revision and the bytes of the database of the member that is read. Raises Unreachable, EtcdFailed."""
    with handed(system, access, marks) as given:
        said = await _run(["etcdctl", *ENDPOINT.split(), "--write-out=json"], given, ASKED_SECONDS)
    try:
        status = json.loads(said)[0]["Status"]
        return int(status["header"]["revision"]), int(status["dbSize"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise EtcdFailed(f"etcdctl says nothing that is understood: {said[:LONGEST_WORDS]}") from error


async def save(system: System, access: EtcdAccess, path: Path, seconds: float, key: str) -> Snapshot:
    """Writes a snapshot into a file, which must not be there, and has it looked at. Raises Unreachable, EtcdFailed.

    All that is started carries `key`.
    """
    marks = {KEY: key}
    # A wrong credential is told at once here; `snapshot save` itself would try until its time is over.
    await revision_now(system, access, marks)
    with handed(system, access, marks) as given:
        await _run(["etcdctl", *SAVING.split(), str(path)], given, seconds)
    return await verified(path, marks)


async def verified(path: Path, marks: Mapping[str, str] | None = None) -> Snapshot:
    """What a snapshot says of itself; its own checksum was held against it. Raises EtcdFailed where it is broken."""
    await asyncio.to_thread(_whole, path)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL_")}
    # From 3.5 on this is etcdutl's; etcdctl has lost it in 3.6.
    program = "etcdutl" if shutil.which("etcdutl") else "etcdctl"
    argv = [program, *STATUS.split(), str(path), "--write-out=json"]
    said = await _run(argv, Handed({**plain, "ETCDCTL_API": "3", **(marks or {})}, ()), STATUS_SECONDS)
    try:
        found = json.loads(said)
        return Snapshot(f"{found['hash']:08x}", int(found["revision"]), int(found["totalKey"]), int(found["totalSize"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EtcdFailed(f"{program} says nothing that is understood of {path.name}: {said[:LONGEST_WORDS]}") from error


def _whole(path: Path) -> None:
    """etcd ends a snapshot with the SHA-256 of all before it; only `snapshot restore` looks at it."""
    size, left = path.stat().st_size, path.stat().st_size - SUM
    found = hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(PIECE, left))):
            found.update(piece)
            left -= len(piece)
        if size % PAGE != SUM or file.read() != found.digest():
            raise EtcdFailed(f"{path.name} is not what etcd wrote: its checksum does not fit", "take another snapshot")


async def _run(argv: Sequence[str], given: Handed, seconds: float) -> str:
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, env=given.variables, pass_fds=given.descriptors, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise Unreachable(f"{argv[0]} is not on this host: {error.strerror}", "install etcd-client") from error
    try:
        async with asyncio.timeout(seconds):
            out, errors = await child.communicate()
    except TimeoutError as error:
        raise EtcdFailed(f"{argv[0]} {argv[1]} did not end within {seconds:g} s", "is etcd well? ask again") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise EtcdFailed(
            f"{argv[0]} {argv[1]} {argv[2]} ended with {child.returncode}: {_words(errors)}",
            "look at the endpoint and the credential of `etcd` in book.yaml",
        )
    return out.decode("utf-8", errors="replace")


def _words(errors: bytes) -> str:
    """The line that says why: its logger writes JSON, its command a line that begins with Error."""
    lines = [line.strip() for line in errors.decode("utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("Error")] or lines[-1:] or ["it said nothing"]
    return told[-1][:LONGEST_WORDS]
