"""The components of the book to be, and how the names of a manual lead to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Part:
    """One component: its keys in book.yaml besides `kind`, where the manual tells of it, and what it is for."""

    name: str
    kind: str
    keys: dict[str, object] = field(default_factory=dict)
    role: str = ""
    """What the manual's reader calls it: api, ui, worker, scheduler, database, cache, proxy, monitoring, queue."""
    sources: list[str] = field(default_factory=list)
    aliases: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    @property
    def workload(self) -> str:
        return str(self.keys.get("workload", ""))


@dataclass
class Inventory:
    """All components, and where the system runs."""

    parts: dict[str, Part] = field(default_factory=dict)
    runtime: str = "none"
    namespace: str = ""
    namespaces: tuple[str, ...] = ()

    def of_kind(self, *kinds: str) -> list[Part]:
        """The components of these kinds, in the book's order."""
        return [part for part in self.parts.values() if part.kind in kinds]

    def with_workload(self) -> list[Part]:
        return [part for part in self.parts.values() if part.workload]

    def workload(self, name: str) -> Part | None:
        """The component whose workload this is: a deployment, service, program, or one of its pods."""
        wanted = bare(name)
        for part in self.parts.values():
            if wanted and wanted in {bare(part.workload), *(bare(alias) for alias in part.aliases)}:
                return part
        return None

    def one(self, *kinds: str) -> Part | None:
        """The first component of these kinds."""
        return next(iter(self.of_kind(*kinds)), None)

    def at(self, url: str) -> tuple[Part, str] | None:
        """The component that answers at an address, and the path there."""
        split = urlsplit(url if "//" in url else f"http://{url}")
        host = split.netloc.rpartition("@")[2].lower()
        for part in self.parts.values():
            if host and host in part.hosts:
                path = split.path or "/"
                return part, path + (f"?{split.query}" if split.query else "")
        return None


_POD = re.compile(r"(?:-[0-9a-f]{6,10}-[a-z0-9]{5}|-\d{1,2}|-[x]{3,5}(?:-[x]{3,5})?)$")
_COMPOSED = re.compile(r"[_-]\d+$")


def bare(name: str) -> str:
    """A workload's name without what a runtime puts around it: type, namespace, number of the pod, `-service`."""
    name = name.strip().lower().rpartition("/")[2].partition(":")[0]
    name = _POD.sub("", name)
    name = _COMPOSED.sub("", name)
    return re.sub(r"(?:-service|-svc|-deployment|\.service)$", "", name)


def slug(text: str, otherwise: str = "") -> str:
    """A text as a name of a book."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or otherwise


def unique(wanted: str, taken: Iterable[str]) -> str:
    """A name that is not taken yet."""
    known, name, n = set(taken), wanted, 2
    while name in known:
        name, n = f"{wanted}-{n}", n + 1
    return name
