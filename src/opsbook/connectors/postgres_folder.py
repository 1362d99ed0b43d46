"""The data folder of a server that may be stopped: fenced, read and worked on, wherever it lies.

A place is a file system with PostgreSQL's programs: that of this host, or that of a container beside the server's own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres_pair import FENCE, FENCED, SIGNAL
from opsbook.connectors.postgres_wal import Counted, Lost, as_owner, program
from opsbook.connectors.process_tree import KEY

Line = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def why(self) -> str:
        """Its last words."""
        return (self.err.strip().splitlines() or ["it said nothing"])[-1]


class Place(Protocol):
    """Where a data folder lies. What is written belongs to the owner of the folder that it is written to.

    Each raises ChangeFailed with the words of the system, which leaves things as they were.
    """

    @property
    def apart(self) -> bool:
        """Whether processes have numbers of their own there, so that those of another place mean nothing."""
        ...

    async def kind(self, path: PurePath) -> str:
        """`folder`, `file`, or empty where there is nothing."""
        ...

    async def read(self, path: PurePath) -> str | None:
        """The text of a file; None where there is none."""
        ...

    async def write(self, path: PurePath, text: str) -> None:
        """Replace a file whole, on the disk when it returns; only its owner may read it."""
        ...

    async def remove(self, path: PurePath) -> None:
        """Whatever is there is gone."""
        ...

    async def move(self, path: PurePath, to: PurePath) -> None:
        """Rename it to what is not there."""
        ...

    async def make(self, path: PurePath, like: PurePath) -> None:
        """A folder of the owner of another, closed to everybody else."""
        ...

    async def settings(self, folder: PurePath) -> list[str]:
        """Names of the configuration files in it."""
        ...

    async def copy(self, files: Sequence[PurePath], folder: PurePath) -> None: ...

    async def sync(self, path: PurePath) -> None:
        """All that was written to the file system of a path is on the disk."""
        ...

    async def program(
        self, data: PurePath, name: str, *arguments: str, password: str = "", line: Line | None = None
    ) -> Ran:
        """A program of the version of a data folder, run as its owner; a password reaches libpq unseen.

        With `line` what it prints goes there, line by line.
        """
        ...


@dataclass(frozen=True)
class Here:
    """The file system of this host. Programs carry the key of the change."""

    key: str
    apart: bool = False

    async def kind(self, path: PurePath) -> str:
        return await asyncio.to_thread(_kind, Path(path))

    async def read(self, path: PurePath) -> str | None:
        return await asyncio.to_thread(_read, Path(path))

    async def write(self, path: PurePath, text: str) -> None:
        await asyncio.to_thread(_write, Path(path), text)

    async def remove(self, path: PurePath) -> None:
        await asyncio.to_thread(_remove, Path(path))

    async def move(self, path: PurePath, to: PurePath) -> None:
        await asyncio.to_thread(_move, Path(path), Path(to))

    async def make(self, path: PurePath, like: PurePath) -> None:
        await asyncio.to_thread(_make, Path(path), Path(like))

    async def settings(self, folder: PurePath) -> list[str]:
        return await asyncio.to_thread(_settings, Path(folder))

    async def copy(self, files: Sequence[PurePath], folder: PurePath) -> None:
        await asyncio.to_thread(_copy, files, Path(folder))

    async def sync(self, path: PurePath) -> None:
        await asyncio.to_thread(_sync, path)

    async def program(
        self, data: PurePath, name: str, *arguments: str, password: str = "", line: Line | None = None
    ) -> Ran:
        variables = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", KEY: self.key}
        if password:
            variables["PGPASSWORD"] = password
        return await asyncio.to_thread(_run, Path(data), name, arguments, variables, line)


def _failed(path: PurePath, what: str, error: OSError) -> ChangeFailed:
    hint = "its folder must not be a mount point itself" if what == "moved aside" else "see the rights of the folder"
    return ChangeFailed(f"{path} cannot be {what}: {error.strerror}", hint)


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file" if path.exists() else ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _failed(path, "read", error) from error


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(path, "removed", error) from error


def _move(path: Path, to: Path) -> None:
    try:
        path.rename(to)
    except OSError as error:
        raise _failed(path, "moved aside", error) from error


def _make(path: Path, like: Path) -> None:
    try:
        found = like.stat()
        path.mkdir(mode=0o700)
        os.chown(path, found.st_uid, found.st_gid)
    except OSError as error:
        raise _failed(path, "made", error) from error


def _settings(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.glob("*.conf") if one.is_file())


def _copy(files: Sequence[PurePath], folder: Path) -> None:
    try:
        found = folder.stat()
        for file in files:
            shutil.copy2(file, folder)
            os.chown(folder / file.name, found.st_uid, found.st_gid)
    except OSError as error:
        raise _failed(folder, "copied to", error) from error


def _sync(path: PurePath) -> None:
    try:
        subprocess.run(["sync", "-f", str(path)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        os.sync()


def _write(path: Path, text: str) -> None:
    temporary, found = path.with_name(f"{path.name}.opsbook"), path.parent.stat()
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o600)
        os.chown(temporary, found.st_uid, found.st_gid)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _failed(path, "written", error) from error


def _run(data: Path, name: str, arguments: Sequence[str], variables: Mapping[str, str], line: Line | None) -> Ran:
    argv = [str(program(name, data)), *arguments]
    if line is None:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", check=False, env=variables, **as_owner(data)
        )
        return Ran(done.returncode, done.stdout, done.stderr)
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace", env=variables,
        **as_owner(data),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        for one in child.stdout:
            line(one)
    return Ran(child.returncode, "", "")


@dataclass(frozen=True)
class DataFolder:
    """The data folder of one server."""

    place: Place
    path: PurePath

    async def there(self) -> bool:
        """Whether it lies under its name: while it is rebuilt it does not, and nobody can start it."""
        return await self.place.kind(self.path) == "folder"

    async def fenced(self) -> bool:
        """Whether opsbook keeps its server from being a primary."""
        return (await self.place.read(self.path / SIGNAL) or "").startswith(FENCED)

    async def fence(self) -> None:
        """Lay the signal by which its server never starts as a primary."""
        if await self.there() and not await self.fenced():
            await self.place.write(self.path / SIGNAL, FENCE)

    async def lift(self) -> bool:
        """Take that signal away. False where there was none of ours."""
        if not await self.fenced():
            return False
        await self.place.remove(self.path / SIGNAL)
        return True

    async def control(self) -> Mapping[str, str]:
        """Fields of the control file, as pg_controldata names them. Raises ChangeFailed."""
        done = await self.place.program(self.path, "pg_controldata", "-D", str(self.path))
        if done.code:
            raise ChangeFailed(f"the control file of {self.path} cannot be read: {done.why[:200]}", "see the folder")
        pairs = (line.partition(":") for line in done.out.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    async def written_after(self, position: int) -> Lost:
        """Log that its server wrote from a position on, on its own timeline. Raises ChangeFailed."""
        timeline = (await self.control()).get("Latest checkpoint's TimeLineID", "1")
        start, counted = f"{position >> 32:X}/{position & 0xFFFFFFFF:X}", Counted(position)
        # That it ends with an error is how pg_waldump says that the log ends there.
        await self.place.program(
            self.path, "pg_waldump", "-p", str(self.path / "pg_wal"), "-t", timeline, "-s", start, line=counted.take
        )
        return counted.lost
