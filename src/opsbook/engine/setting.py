"""What runs need around them: the store and its one writer, the clock, the book's systems, the audit chain's head."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine

from opsbook.book.environments import RiskPolicy
from opsbook.book.load import load_book
from opsbook.book.references import MissingSecret, Reference, SecretReference
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.clock import Clock, SystemClock
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import open_connections
from opsbook.engine.policy import BackupAges
from opsbook.errors import OpsbookError, UsageError
from opsbook.store.audit_export import Export
from opsbook.store.audit_head import HeadFile
from opsbook.store.database import open_store, store_address, writing

T = TypeVar("T")
Write = Callable[[Connection], object]


@dataclass
class Setting:
    """Shared by all runs that this process plans, executes or shows."""

    store: Engine
    head: HeadFile
    folder: Path
    """Where the store lies: the owner's lock and the durable engine's own file are beside it."""
    clock: Clock = field(default_factory=SystemClock)
    system_name: str = ""
    """The system whose book this process was given."""
    book: Path | None = None
    """That book. Workers of a shared store execute runs of its system by it: their own copy may lie elsewhere."""
    packaged: Callable[[System], Mapping[str, str]] = lambda _: {}
    """The texts of the procedures that come with opsbook for a system, by name; handed down by a higher room."""
    backup_ages: BackupAges | None = None
    """How old the backups of a system are; handed down by a higher room. None: nothing is known of backups."""
    export: Export | None = None
    """Where the audit chain is copied to."""
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "opsbook-store"))

    @property
    def embedded(self) -> bool:
        """Whether the store is a file that one process owns."""
        return self.store.dialect.name == "sqlite"

    def now(self) -> float:
        """UTC seconds since 1970."""
        return self.clock.now().timestamp()

    def write(self, writes: Sequence[Write]) -> None:
        """All of them in one transaction. Raises StoreFailed; nothing of it stays then."""
        with writing(self.store) as connection:
            for one in writes:
                one(connection)

    async def in_writer(self, call: Callable[[], T]) -> T:
        """Call something that waits for the disk, in the one thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, call)

    def write_head(self) -> None:
        """Sign the newest record of the audit chain outside the store, and copy what is new. Raises HeadFailed."""
        self.head.write(self.store, self.now())
        if self.export is not None:
            self.export.append(self.store, self.head, self.now())

    def check_audit(self) -> None:
        """Before something is begun that must be recorded: its record can be signed and copied. Raises HeadFailed."""
        self.head.check()
        if self.export is not None:
            self.export.check(self.store, self.now())

    def system(self, book: str, environment: str) -> System:
        """The system of a run, as its book says now."""
        own = None if self.embedded else self.book
        return in_environment(load_book(own or Path(book), catalogue()), environment)

    def backups(self, system: System, rule: RiskPolicy) -> Mapping[str, timedelta] | None:
        """The ages of backups, where a rule asks for them. Blocking. What cannot be seen is not relied on."""
        if rule.backup_within is None or self.backup_ages is None:
            return None
        try:
            return self.backup_ages(system, self.clock.now())
        except OpsbookError:
            return None

    def connections(self, system: System) -> AbstractAsyncContextManager[Connections]:
        """Connections of one run, closed when it ends or waits."""
        return open_connections(system, self.head, self.store.url.render_as_string(hide_password=False))

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown(wait=True)
        self.store.dispose()


def open_setting(
    system: System,
    packaged: Callable[[System], Mapping[str, str]] = lambda _: {},
    backup_ages: BackupAges | None = None,
) -> Setting:
    """The setting that goes with a book. Raises StoreFailed."""
    address = store_address(system.folder)
    store = open_store(address)
    path = Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite") else None
    folder = path.parent if path else system.folder / ".opsbook"
    beside = path or folder / "store"
    written = system.model.audit
    key = written.key
    given = None if key is None else lambda: system.resolve(key)
    head = HeadFile(beside.with_name(beside.name + ".key"), _head_path(system, beside), given)
    export = None if written.export_to is None else Export(lambda: _export_path(system))
    return Setting(
        store, head, folder, packaged=packaged, backup_ages=backup_ages, export=export,
        system_name=system.model.system, book=system.book.path.absolute(),
    )  # fmt: skip


def _head_path(system: System, beside: Path) -> Path:
    written = system.model.audit.head
    if written is None:
        return beside.with_name(beside.name + ".head")
    scheme, separator, rest = written.text.partition(":")
    if separator and scheme != "file":
        raise UsageError(
            f"`audit.head`: {written} cannot be written yet", "name a file, as in file:/var/log/opsbook.head"
        )
    return system.path(rest if separator else written.text)


def _export_path(system: System) -> Path:
    written = system.model.audit.export_to
    assert written is not None
    scheme, separator, rest = written.text.partition(":")
    if separator and scheme.isalnum() and scheme != "file":
        raise UsageError(
            f"`audit.export_to`: {written} cannot be written yet", "name a folder, as in file:/var/log/opsbook"
        )
    return system.path(rest if scheme == "file" and separator else written.text)


def book_revision(system: System) -> str:
    """SHA-256 of the book's file: an approval is bound to the book that it was given on."""
    return hashlib.sha256(system.book.path.read_bytes()).hexdigest()


def secrets_of(system: System, more: Sequence[str] = ()) -> list[str]:
    """The values that must not be shown: what the book's components refer to, and these further references."""
    values: list[Reference] = []
    for component in system.components.values():
        values += [value for _, value in component if isinstance(value, Reference)]
    found: list[str] = []
    for reference in [*values, *(Reference(text) for text in more)]:
        if not (reference.refers or reference.literal_secret):
            continue
        try:
            value = system.resolve(reference)
        except MissingSecret:
            continue
        found += _secret_parts(value, whole=isinstance(reference, SecretReference))
    return found


def _secret_parts(value: str, *, whole: bool) -> list[str]:
    """Of an address only its password is secret, unless it is one of those that are secret as a whole."""
    parts = [value] if whole or "://" not in value else []
    try:
        password = urlsplit(value).password
    except ValueError:
        return parts
    return [*parts, password, unquote(password)] if password else parts
