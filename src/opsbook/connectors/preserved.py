"""Evidence as files: an archive that lists its own contents with their SHA-256, written whole and never over another.

An archive is `tar.zst`; all of it lies in one folder, `manifest.json` first, which lists every other file with its
bytes and sum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsbook.connectors.backups.compression import opener, squeezer


def packed(name: str, parts: Sequence[tuple[str, bytes]], at: float, about: Mapping[str, str]) -> bytes:
    """An archive of parts by their names in the folder `name`, its list headed by `about`."""
    listed = [{"name": part, "bytes": len(data), "sha256": sum_of(data)} for part, data in parts]
    manifest = as_json({**about, "preserved_at": at, "files": listed})
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for part, data in (("manifest.json", manifest), *parts):
            entry = tarfile.TarInfo(f"{name}/{part}")
            entry.size, entry.mtime, entry.mode = len(data), int(at), 0o400
            tar.addfile(entry, io.BytesIO(data))
    one = squeezer("zstd")
    return one.take(plain.getvalue()) + one.end()


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files of an archive by their names in it, without the folder that they all lie in."""
    one = opener("zstd")
    plain = b"".join(one.take(data))
    one.end()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        files = ((entry.name, tar.extractfile(entry)) for entry in tar.getmembers())
        return {name.partition("/")[2]: file.read() for name, file in files if file is not None}


def held_against_its_list(data: bytes) -> tuple[int, list[str]]:
    """How many files an archive lists, and what of it is not as it was preserved."""
    try:
        found = unpacked(data)
        listed = {one["name"]: one for one in json.loads(found.pop("manifest.json"))["files"]}
        wrong = [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
        wrong += [f"{name} is in no list" for name in sorted(found.keys() - listed.keys())]
        changed = [name for name in listed.keys() & found.keys() if sum_of(found[name]) != listed[name]["sha256"]]
        wrong += [f"{name} is not what was preserved" for name in sorted(changed)]
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        return 0, [f"it cannot be read as an archive of evidence: {error}"]
    return len(listed), wrong


def write(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by this user only, and never over another. Raises OSError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """For people and programs; what JSON does not know is told as its text."""
    return (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode("utf-8", "replace")


def sum_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
