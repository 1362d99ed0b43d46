"""Folders and files of this host: artifacts, exports, logs. Looked at, never opened for writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.values import Size
from opsbook.connectors.blocking import on_thread
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.registry import connector
from opsbook.connectors.tails import lines_since
from opsbook.errors import Unreachable

MOST_FILES = 200_000
"""A walk through more takes minutes; such a folder needs a quota of its file system in place of a walk."""


class FilesComponent(Component):
    """A folder, or a single file."""

    kind: Literal["files"]
    path: str = Field(min_length=1, description="the folder or file; relative ones start at the book's folder")
    quota: Size | None = Field(None, description="how large it may become")


@dataclass(frozen=True)
class Found:
    """One file."""

    path: str
    """Relative to the folder."""
    size: int
    modified: float
    """Seconds since 1970."""


@connector(FilesComponent)
class FilesConnector(Connector):
    """Walks through one folder."""

    component: FilesComponent

    @property
    def path(self) -> Path:
        return self.system.path(self.component.path)

    async def files(self, pattern: str = "*") -> list[Found]:
        """The files whose name, or path within the folder, matches. The folder is walked once for all facts."""
        found = await self.once("walk", lambda: on_thread(("walk", self.path), _walk, self.path))
        return [one for one in found if fnmatch(one.path, pattern) or fnmatch(Path(one.path).name, pattern)]

    async def lines(self, pattern: str, since: datetime, now: datetime, most: int) -> list[str]:
        """Lines since a moment of the files that match and were written since; at most so many bytes of each."""
        fresh = [one for one in await self.files(pattern) if one.modified >= since.timestamp()]
        root = self.path
        paths = [root / one.path if one.path else root for one in fresh]
        return await self.once(
            ("lines", pattern, int(since.timestamp()), most),
            lambda: on_thread(
                ("lines", root, pattern), lambda: [x for p in paths for x in lines_since(p, since, now, most)]
            ),
        )


def _walk(root: Path) -> list[Found]:
    """Every file below, without following symlinks to other folders."""
    try:
        known = root.stat()
    except OSError as error:
        raise Unreachable(f"{root}: {error.strerror}", "correct `path` of the component, or make it") from error
    if not root.is_dir():
        return [Found("", known.st_size, known.st_mtime)]
    found = []
    for one in _files(root):
        try:
            known = one.stat()
        except FileNotFoundError:
            continue  # it was removed while we walked
        found.append(Found(os.path.relpath(one.path, root), known.st_size, known.st_mtime))
        if len(found) >= MOST_FILES:
            raise ReadFailed(f"{root} holds more than {MOST_FILES:,} files, which are not walked through")
    return found


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file():
                        yield entry
        except PermissionError as error:
            raise ReadFailed(f"{error.filename}: {error.strerror}") from error
        except FileNotFoundError:
            continue
