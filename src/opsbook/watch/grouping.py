"""Which alerts open an incident, how severe it is, and which incident an alert belongs to. Pure.

Invariant: the same fault has the same group key whoever saw it: a check of opsbook and a rule of Prometheus that name
the same check make one incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from opsbook.book.model import BookModel
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.store.incidents import Incident
from opsbook.watch.contract import Alert
from opsbook.watch.escalation import Rung, path_of

CHANNEL = "channel"
"""How fingerprints of alerts about a way to people begin: `channel:` and its name."""
DELIVERY = "delivery"
"""The group key of all ways that do not take messages: what stops several of them is one fault, as the network."""
TOGETHER = timedelta(minutes=15)
"""Faults of components that need each other, within this time, are taken for one until somebody parts them."""


def opens(book: BookModel, alert: Alert) -> bool:
    """Whether an alert is work for people, and not only a figure to look at by day."""
    return str(alert.state) in book.incidents.open_for


def severity_of(book: BookModel, alert: Alert) -> str:
    """The severity of the book: the alert's own, that of its state, or the first for critical and the last for others.

    Empty where the book has none."""
    grades = list(book.severities)
    if alert.severity and (alert.severity in grades or not grades):
        return alert.severity
    if named := book.incidents.severity.get(str(alert.state)):  # type: ignore[call-overload]
        return str(named)
    if not grades:
        return ""
    return grades[0] if alert.state is State.CRITICAL else grades[-1]


def more_urgent(book: BookModel, one: str, other: str) -> bool:
    """Whether a severity is more urgent than another. One that the book does not know never is."""
    grades = list(book.severities)
    if one not in grades:
        return False
    return other not in grades or grades.index(one) < grades.index(other)


def path_for(book: BookModel, severity: str) -> tuple[Rung, ...]:
    """The path of a severity: its own, or the book's."""
    grade = book.severities.get(severity)
    return path_of(grade.escalation if grade is not None and grade.escalation else book.escalation)


def key_of(book: BookModel, alert: Alert) -> str:
    """What alerts that share an incident have in common."""
    own = f"check:{alert.check}" if alert.check else alert.fingerprint
    if book.incidents.group_by == "check":
        return own
    if is_of_channel(alert.fingerprint):
        return DELIVERY
    if book.incidents.group_by == "component":
        return f"component:{alert.component}" if alert.component else own
    if alert.cause:
        return alert.cause
    if alert.check or not alert.component:
        return own
    # A rule of somebody else's that names only the component.
    return f"component:{alert.component}"


def is_of_channel(fingerprint: str) -> bool:
    """Whether an alert is about a way that does not take messages. That nobody is on call is another fault."""
    kind, _, name = fingerprint.partition(":")
    return kind == CHANNEL and not name.startswith("nobody:")


class Going:
    """The incidents that are open, found by id, by group key and by component."""

    def __init__(self, found: Iterable[Incident] = ()) -> None:
        self.by_id: dict[str, Incident] = {}
        self._keys: dict[str, str] = {}
        self._components: dict[str, str] = {}
        for one in found:
            self.put(one)

    def put(self, one: Incident) -> None:
        """One that is new, or as it is now."""
        self.by_id[one.id] = one
        self._keys.setdefault(one.group_key, one.id)
        if one.component and one.kind == "fault":
            self._components.setdefault(one.component, one.id)

    def of_key(self, key: str) -> Incident | None:
        """The one of a group key."""
        return self.by_id.get(self._keys.get(key, ""))

    def of_components(self, components: Iterable[str], since: float) -> Incident | None:
        """The first of one of these components that was opened since a moment."""
        found = (self.by_id[self._components[name]] for name in components if name in self._components)
        return next((one for one in found if one.opened_at >= since), None)


def home(
    system: System, alert: Alert, going: Going, causes: Mapping[str, str], near: Sequence[str], now: datetime
) -> Incident | None:
    """The open incident that an alert joins; None where it needs one of its own.

    `causes` tells the incident of each fingerprint that explains something, `near` the components that the alert's own
    needs or is needed by.
    """
    explained = causes.get(alert.cause) if alert.cause else None
    if explained in going.by_id:
        return going.by_id[str(explained)]
    if found := going.of_key(key_of(system.model, alert)):
        return found
    return going.of_components(near, now.timestamp() - TOGETHER.total_seconds())


def near(system: System, component: str) -> tuple[str, ...]:
    """A component, those that it needs, and those that need it; none where alerts are not grouped by their cause."""
    if system.model.incidents.group_by != "cause" or not component:
        return ()
    known = system.components
    if component not in known:
        return (component,)
    needing = [name for name in known if component in system.upstream(name)]
    return (component, *system.upstream(component), *needing)


def worst(book: BookModel, severities: Sequence[str]) -> str:
    """The most urgent of some."""
    found = ""
    for one in severities:
        if not found or more_urgent(book, one, found):
            found = one
    return found
