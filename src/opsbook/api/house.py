"""What the API serves: one book in the environment that is watched, and its other environments as they are stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from opsbook.api.oidc import Provider
from opsbook.api.problems import NotFound
from opsbook.api.rates import Rates
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.book.words import nearest
from opsbook.catalogue import catalogue
from opsbook.engine.access import Actor
from opsbook.engine.service import Service
from opsbook.errors import OpsbookError
from opsbook.watch.contract import Part, Watch
from opsbook.watch.public import Page
from opsbook.watch.status_page import Known

T = TypeVar("T")
Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Limits:
    """What one asker may cost. Rates are requests a second, with what they may save up."""

    body: int = 1 << 20
    """Bytes of a request's body."""
    large_body: int = 8 << 20
    """The same, where a server sends many alerts at once."""
    address: tuple[float, float] = (100.0, 400.0)
    token: tuple[float, float] = (50.0, 200.0)
    streams: int = 100
    """Streams that are open at once, of everybody."""
    streams_each: int = 10


@dataclass
class House:
    """Everything that a route needs."""

    watch: Watch
    hosts: frozenset[str] = frozenset()
    """Names under which it answers; empty: any. On loopback a page of another site must not reach it by a name of its
    own that leads here (DNS rebinding).
    """
    limits: Limits = Limits()
    parts: Sequence[Part] = ()
    """The parts of the watch that run beside it."""
    provider: Provider | None = None
    closing: bool = False
    """Whether the server ends: streams do then."""
    public: tuple[float, Page] | None = None
    """The public status page as it was gathered last, and when."""
    known_days: Known = field(default_factory=dict)
    """Its days that do not change any more."""
    rates: Rates = field(init=False)
    _systems: dict[str, tuple[Stamp, System]] = field(default_factory=dict)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.rates = Rates(self.watch.setting.clock.monotonic)
        oidc = self.watch.system.model.access.oidc
        if self.provider is None and oidc is not None:
            self.provider = Provider(oidc, self.watch.setting.clock)

    @property
    def name(self) -> str:
        """Of the system."""
        return self.watch.system.model.system

    @property
    def usual(self) -> str:
        """The environment that is meant where none is named: the one that is watched."""
        return self.watch.system.name

    def system(self, environment: str = "") -> System:
        """The book as it is now in an environment; read anew when its files have changed. Blocking.

        Raises NotFound, or InvalidBook where somebody has just broken the book.
        """
        name = environment or self.usual
        if name not in self.watch.system.model.environments:
            raise NotFound(
                f"there is no environment named {name!r}", nearest(name, self.watch.system.model.environments)
            )
        with self._loading:
            before, known = self._systems.get(name, ((), self.watch.system))
            written = known.model.environments[name].env_file
            stamp = _stamp(known.book.path, *([known.folder / written] if written else []))
            if stamp != before:
                known = in_environment(load_book(known.book.path, catalogue()), name)
                self._systems[name] = (stamp, known)
            return known

    def last_system(self, environment: str = "") -> System:
        """The book as it was read last: who may come in does not depend on a book that is being written."""
        try:
            return self.system(environment)
        except NotFound:
            raise
        except OpsbookError:
            return self._systems.get(environment or self.usual, ((), self.watch.system))[1]

    def service(self, system: System, actor: Actor) -> Service:
        """The engine, acting for somebody."""
        return Service(self.watch.setting, system, actor)

    async def act(self, call: Callable[[], T]) -> T:
        """Change something: in the one thread that writes."""
        return await self.watch.setting.in_writer(call)


def _stamp(*files: Path) -> Stamp:
    found: list[int] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found += (0, 0, 0)
        else:
            found += (status.st_mtime_ns, status.st_size, status.st_ino)
    return tuple(found)
