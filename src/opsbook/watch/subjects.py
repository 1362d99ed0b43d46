"""Whether somebody will ever say again how the thing of an alert is. Pure.

What was taken out of the book has no source any more: its alert would be bad for ever. And who was on call again, or a
channel that is no longer there, is told of by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from opsbook.book.system import System
from opsbook.watch.contract import Alert
from opsbook.watch.recipients import addresses, settings_of

GONE = "it is no longer in the book"

IN_THE_BOOK: dict[str, Callable[[System], Iterable[str]]] = {
    "beat": lambda system: (one.id for one in system.model.jobs if system.holds(one.environments)),
    "slo": lambda system: (one.id for one in system.model.slos),
    "capacity": lambda system: (one.id for one in system.model.capacity),
    "backup-age": lambda system: (one.id for one in system.model.backups if system.holds(one.environments)),
    "certificate": lambda system: (one.id for one in system.model.certificates if system.holds(one.environments)),
    "rotation": lambda system: (one.id for one in system.model.rotations if system.holds(one.environments)),
}
"""Beginning of a fingerprint → the names that may follow it."""


class Subjects:
    """The things that a book has at a moment, asked for many alerts."""

    def __init__(self, system: System, now: datetime) -> None:
        self.system, self.now = system, now
        self._checks = {check.id for check in system.checks}
        self._known = {kind: set(names(system)) for kind, names in IN_THE_BOOK.items()}

    def over(self, alert: Alert) -> str:
        """Why nobody will say any more that it is well; empty where somebody will."""
        if alert.source == "check":
            return "" if alert.check in self._checks else "its check is no longer in the book"
        if alert.source not in ("beat", "opsbook"):
            return ""
        kind, _, name = alert.fingerprint.partition(":")
        if kind == "channel":
            return self._channel(name)
        return GONE if name and name not in self._known.get(kind, {name}) else ""

    def _channel(self, name: str) -> str:
        kind, _, target = name.partition(":")
        if kind == "nobody":
            book = self.system.model
            if target not in book.channels and target not in book.oncall and target not in book.contacts:
                return GONE
            return f"{target} has an address again" if addresses(book, target, self.now) else ""
        return "" if settings_of(self.system.model, name) is not None else GONE
