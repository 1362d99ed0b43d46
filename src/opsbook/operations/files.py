"""Files of this host: written with the version before kept, and copied with proof that the copy is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.executors.file import write_file
from opsbook.connectors.files import FilesComponent, FilesConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

MOST_FILES = 10_000

LONGEST_NAME = 255
"""Bytes of one name on the file systems of Linux (NAME_MAX)."""


def _folder(facts: Facts, component: str) -> FilesConnector:
    found = facts.connector(component)
    if not isinstance(found, FilesConnector):
        raise Refused(f"{component} is no files component", "name one of the kind files, with its `path`")
    return found


def _inside(folder: Path, name: str) -> Path:
    """A path within the folder. Raises Refused for one that leads out of it, or that no file can have."""
    if "\0" in name:
        raise Refused("a NUL cannot be in the name of a file", "name a file without it")
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in name.split("/")):
        raise Refused(f"the name {name[:40]!r}… is longer than {LONGEST_NAME} bytes", "choose a shorter one")
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"{name!r} leads out of {folder}", "name a file within it")
    return path


class Write(OperationParameters):
    name: str = Field("", description="the file within the component's folder; empty: the component is the file itself")
    content: str = Field(description="all of its text")
    mode: str = Field(
        "0644", pattern="^0?[0-7]{3}$", description="permissions of a new file; one that is there keeps its"
    )


@operation(
    "files.write",
    Risk.DISRUPTIVE,
    of="files",
    idempotent=True,
    parameters=Write,
    doc="Writes a file at once and whole, and keeps the version before beside it. Refused where the file has changed "
    "since it was planned. Undo puts the version before back.",
)
class _Write(Repeatable):
    async def plan(self, parameters: Write, facts: Facts) -> AsyncIterator[Change]:
        folder = _folder(facts, parameters.of).path
        path = _inside(folder, parameters.name) if parameters.name else folder
        if not parameters.name and folder.is_dir():
            raise Refused(f"{folder} is a folder", "give the `name` of a file within it")
        yield write_file(facts.system, str(path), parameters.content, int(parameters.mode, 8))


class Copy(OperationParameters):
    to: str = Field(min_length=1, description="the files component whose folder gets the copies")
    pattern: str = Field("*", min_length=1, description="which files, by name or by path within the folder")
    under: str = Field("", description="a folder within the target, such as a date; made where it is not there")
    newest: int | None = Field(None, gt=0, description="only so many of the newest")


@operation(
    "files.copy",
    Risk.SAFE,
    of="files",
    idempotent=True,
    parameters=Copy,
    doc="Copies files of a folder into another one and proves each copy by its SHA-256; a manifest SHA256SUMS, written "
    "last, names them all. A file of the same name with another content is refused, never overwritten. Undo removes "
    "what it copied.",
)
class _Copy(Repeatable):
    async def plan(self, parameters: Copy, facts: Facts) -> AsyncIterator[Change]:
        source, target = _folder(facts, parameters.of), _folder(facts, parameters.to)
        if not source.path.is_dir():
            raise Refused(f"{source.path} is no folder", "name a files component that is one")
        into = _inside(target.path, parameters.under) if parameters.under else target.path
        found = [
            one
            for one in await source.files(parameters.pattern)
            if fnmatchcase(one.path, parameters.pattern) or fnmatchcase(Path(one.path).name, parameters.pattern)
        ]
        found = sorted(found, key=lambda one: (-one.modified, one.path))[: parameters.newest or MOST_FILES + 1]
        if not found:
            raise Refused(f"no file of {source.path} matches {parameters.pattern!r}", "look what is there")
        if len(found) > MOST_FILES:
            raise Refused(f"more than {MOST_FILES:,} files match", "choose a narrower pattern")
        names = sorted(one.path for one in found)
        assert isinstance(source.component, FilesComponent)
        effect = {"from": str(source.path), "to": str(into), "files": names}
        evidence = {"files": len(found), "bytes": sum(one.size for one in found)}
        back = Change("copy", {**effect, "remove": True})
        yield Change("copy", effect, evidence, inverse=back)
