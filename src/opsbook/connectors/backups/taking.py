"""Taking one backup: its streams written in parallel, each read back, the manifest published last.

Blocking: it is called from threads. Whatever ends it before the manifest leaves nothing that is listed, and removes
what it has written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from opsbook import __version__
from opsbook.clock import Clock
from opsbook.connectors.backups.attempts import Attempt, reserve, sweep
from opsbook.connectors.backups.manifest import Manifest, Part
from opsbook.connectors.backups.pipeline import Codec, Pace, Source, Stopped, Written, write_object
from opsbook.connectors.backups.reading import check_object
from opsbook.connectors.backups.signing import Signer
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.objectstore.contract import ObjectStore

LATER = timedelta(days=1)
"""Added to the time-out of an attempt before it counts as dead."""


class TooSmall(ChangeFailed):
    """What was written is smaller than a backup of this can be."""


class PartStream(Protocol):
    """One part that can be written."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Any: ...
    @property
    def table_name(self) -> str: ...
    @property
    def order(self) -> int: ...


class Subject(Protocol):
    """What is backed up, held still while its streams are read."""

    @property
    def tool(self) -> str: ...
    @property
    def data_time(self) -> datetime: ...
    @property
    def streams(self) -> Sequence[Any]:
        """The largest first."""
        ...

    def source(self, stream: Any, /) -> AbstractContextManager[Source]:
        """The bytes of a stream."""
        ...

    def wrote(self, stream: Any, written: Written, /) -> None:
        """A stream lies in the store; called on the thread that wrote it."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Fields of the manifest that are known once all streams are written."""
        ...


@dataclass(frozen=True)
class Order:
    """One backup that is to be taken."""

    system: str
    environment: str
    backup: str
    component: str
    method: str
    key: str
    codec: Codec
    jobs: int = 1
    smallest: float = 0
    lasts: timedelta = timedelta(hours=6)
    book_revision: str = ""
    copy_to: str = ""


@dataclass
class Taking:
    """One attempt."""

    order: Order
    store: ObjectStore
    signer: Signer
    clock: Clock
    pace: Pace = field(default_factory=Pace)
    tell: Callable[[str], None] = lambda _: None

    def run(self, subject: Callable[[], AbstractContextManager[Subject]]) -> Manifest:
        """The manifest that was published. Raises what store and subject raise."""
        started = self.clock.now()
        for folder in sweep(self.store, self.order.backup, started, self.order.key):
            self.tell(f"removed what a died attempt had left: {folder}\n")
        attempt = reserve(self.store, self.order.backup, self.order.key, started, self.order.lasts + LATER)
        try:
            with subject() as one:
                parts = self._written(attempt, one)
                facts = {"tool": one.tool, "data_time": one.data_time, **one.facts()}
            manifest = self._manifest(attempt, started, parts, facts)
            self._believe(manifest)
            attempt.publish(manifest, self.signer)
        except BaseException:
            discard(attempt)
            raise
        return manifest

    def _written(self, attempt: Attempt, subject: Subject) -> list[Part]:
        def write(stream: PartStream) -> Part:
            key = attempt.key(stream.name)
            with subject.source(stream) as source:
                written = write_object(self.store, f"{attempt.folder}/{key}", source, self.order.codec, self.pace)
            part = Part(
                key=key,
                role=stream.role,
                stored=written.stored,
                sha256=written.sha256,
                plain=written.plain,
                plain_sha256=written.plain_sha256,
                table=stream.table_name,
                order=stream.order,
            )
            check_object(self.store, attempt.folder, part)
            subject.wrote(stream, written)
            return part

        return sorted(at_once(self.order.jobs, subject.streams, write, self.pace.stop), key=lambda one: one.key)

    def _manifest(
        self, attempt: Attempt, started: datetime, parts: Sequence[Part], facts: Mapping[str, Any]
    ) -> Manifest:
        order = self.order
        return Manifest(
            system=order.system,
            environment=order.environment,
            backup=order.backup,
            component=order.component,
            method=order.method,
            stamp=attempt.stamp,
            attempt=attempt.id,
            started=started,
            finished=self.clock.now(),
            opsbook=__version__,
            book_revision=order.book_revision,
            compression=order.codec.compression,
            encryption="age" if order.codec.recipients else "none",
            recipient=order.codec.recipients,
            parts=tuple(parts),
            copied_to=(order.copy_to,) if order.copy_to else (),
            **facts,
        )

    def _believe(self, manifest: Manifest) -> None:
        if manifest.stored < self.order.smallest:
            raise TooSmall(
                f"the backup has {manifest.stored:,} bytes, and `smallest` says that {self.order.smallest:,.0f}"
                " are the least that can be believed",
                f"is {manifest.component} what it should be? else correct `smallest` of {manifest.backup}",
            )


def discard(attempt: Attempt) -> None:
    """Remove what an attempt has written; what cannot be removed now is swept later."""
    from opsbook.errors import OpsbookError

    try:
        attempt.discard()
    except OpsbookError:
        return


def at_once(jobs: int, items: Sequence[Any], work: Callable[[Any], Any], stop: threading.Event) -> list[Any]:
    """Results of the work on each, so many at a time. The first error stops the others, and is raised."""
    with ThreadPoolExecutor(max(1, jobs), "opsbook-backup") as pool:
        futures: list[Future[Any]] = [pool.submit(work, one) for one in items]
        with _stopping(futures, stop):
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [one for one in done if one.exception() is not None]
            if not failed:
                return [one.result() for one in futures]
        # Others may have been stopped because of the one that failed first.
        errors = [error for one in failed if (error := one.exception()) is not None]
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])


@contextmanager
def _stopping(futures: Sequence[Future[Any]], stop: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        if any(one.done() and not one.cancelled() and one.exception() for one in futures):
            stop.set()
            for one in futures:
                one.cancel()
