"""What lies in a folder that tells of a running system. Names are taken, values never.

Values of variables are looked at for one thing only: whether they name another part as their host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from opsbook.book.kinds import slug

IGNORED = {
    "node_modules", "venv", "env", "site-packages", "__pycache__", "build", "dist", "target", "vendor", "tmp", "log",
    "logs", "htmlcov", "coverage", "fixtures", "testdata", "test", "tests", "examples",
}  # fmt: skip
DEEPEST = 5
MOST_FOLDERS = 3000
LARGEST = 2**20


@dataclass(frozen=True)
class Part:
    """Something that runs: one component of the book to be."""

    name: str
    kind: str
    source: str
    workload: str = ""
    replicas: int | None = None
    published: int | None = None
    """The port under which this machine reaches it."""
    health: str = ""
    needs: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    named_by: tuple[str, ...] = ()
    """Variables of other parts whose value names this one as host."""


@dataclass(frozen=True)
class Place:
    """A runtime that holds parts, as an environment of the book."""

    kind: str
    source: str
    settings: dict[str, str]
    parts: tuple[Part, ...]


@dataclass
class Found:
    """All that was found, the most telling place first."""

    root: Path
    places: list[Place] = field(default_factory=list)
    env_file: str = ""
    variables: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """Host names that are served with a certificate."""
    jobs: tuple[tuple[str, str], ...] = ()
    """Recurring jobs: name and cron line."""
    system: str = ""
    unread: list[str] = field(default_factory=list)
    """Files that could not be understood, each with the reason."""

    @property
    def parts(self) -> list[Part]:
        """Each part once; what the first place leaves open is filled from the others."""
        merged: dict[str, Part] = {}
        for place in self.places:
            for part in place.parts:
                known = merged.get(part.name)
                merged[part.name] = _filled(known, part) if known else part
        return list(merged.values())

    @property
    def names(self) -> list[str]:
        """Every variable that was seen somewhere."""
        seen = [*self.variables, *(name for part in self.parts for name in part.variables)]
        return list(dict.fromkeys(seen))

    @property
    def sources(self) -> list[str]:
        """The files that it was taken from."""
        return [place.source for place in self.places] + ([self.env_file] if self.env_file else [])


def _filled(known: Part, other: Part) -> Part:
    return replace(
        known,
        published=known.published or other.published,
        health=known.health or other.health,
        needs=known.needs or other.needs,
        variables=tuple(dict.fromkeys([*known.variables, *other.variables])),
        named_by=tuple(dict.fromkeys([*known.named_by, *other.named_by])),
    )


Reader = Callable[["Found", list[Path]], None]


def look(root: Path) -> Found:
    """Read what lies in the folder and below it."""
    from opsbook.book import discover_compose, discover_kubernetes, discover_processes

    found = Found(root)
    files = sorted(_files(root), key=lambda path: (len(path.parts), path))
    readers: tuple[Reader, ...] = (
        discover_kubernetes.read,
        discover_processes.read_supervisor,
        discover_compose.read,
        discover_processes.read_procfile,
        discover_processes.read_env,
    )
    for read in readers:
        read(found, files)
    found.system = found.system or slug(root.resolve().name)
    return found


def _files(root: Path) -> Iterator[Path]:
    for visited, (folder, folders, names) in enumerate(os.walk(root)):
        depth = len(Path(folder).relative_to(root).parts)
        below = [name for name in folders if name.lower() not in IGNORED and not name.startswith(".")]
        folders[:] = sorted(below) if depth < DEEPEST and visited < MOST_FOLDERS else []
        yield from (Path(folder) / name for name in names)


def text_of(found: Found, path: Path) -> str:
    """The text of a file, empty where it is none; why is noted."""
    try:
        if path.stat().st_size > LARGEST:
            raise OSError(f"larger than {LARGEST // 2**20} MiB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        note(found, path, getattr(error, "strerror", None) or str(error))
        return ""


def note(found: Found, path: Path, reason: str) -> None:
    """Remember that a file could not be understood."""
    found.unread.append(f"{relative(found, path)}: {' '.join(reason.split())[:160]}")


def relative(found: Found, path: Path) -> str:
    """The path from the folder that is looked at."""
    return path.relative_to(found.root).as_posix()


_HOST = re.compile(r"(?:^[a-z][a-z0-9+.-]*://(?:[^@/\s]*@)?|^)([A-Za-z0-9][A-Za-z0-9_.-]*)(?=[:/]|$)")


def linked(parts: Iterable[Part], values: dict[str, dict[str, str]]) -> tuple[Part, ...]:
    """Parts with what they need and who names them, from the hosts in the values of their variables."""
    parts = list(parts)
    by_host = {part.workload: part.name for part in parts} | {part.name: part.name for part in parts}
    named: dict[str, list[str]] = {}
    needs: dict[str, list[str]] = {}
    for owner, variables in values.items():
        for variable, value in variables.items():
            match = _HOST.match(value.strip())
            target = by_host.get(match[1].partition(".")[0]) if match else None
            if target and target != owner:
                needs.setdefault(owner, []).append(target)
                if "://" in value:
                    named.setdefault(target, []).append(variable)
    return tuple(
        replace(
            part,
            needs=tuple(dict.fromkeys([*part.needs, *needs.get(part.name, [])])),
            named_by=tuple(dict.fromkeys(named.get(part.name, []))),
        )
        for part in parts
    )
