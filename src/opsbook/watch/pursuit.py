"""Follows incidents that are not over: pages the next level, ends those of which all is well, says when a promise runs
out and when an update is due. Everything is decided from rows and the time: a tick that is done again tells nothing
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.engine.access import watch_actor
from opsbook.store import audit, messages
from opsbook.store import incidents as store
from opsbook.store.database import reading
from opsbook.store.incidents import Event, Incident
from opsbook.store.watch_tables import actions, incidents
from opsbook.watch.acting import act
from opsbook.watch.clocks import Clock, clocks, counted_from, moment, update_due, updates_missed
from opsbook.watch.contract import Watch, soonest
from opsbook.watch.incident_facts import facts_of, paged, pages, responsible, where_of
from opsbook.watch.outbox import Message, Urgency, enqueue_all
from opsbook.watch.registry import part
from opsbook.watch.waking import TELLING, wake

REST = timedelta(seconds=10)
"""How long it rests where nothing is due: another process may have opened one."""
LATE = 2 * store.LONGEST_LOOK
"""Seconds: what is to be looked at later than this was put down before the clock was set back."""
REMINDERS = timedelta(days=1)
"""How often somebody is reminded of a post-mortem or an action that is late."""
MOOT = ("page", "practice", "reminder")
"""Messages that need not be sent any more once an incident is over."""
REMINDED = timedelta(days=30)
"""After so long nobody is reminded of a post-mortem any more."""


@part
class Pursuit:
    """The part of the watch that follows incidents."""

    name = "incidents"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._reminded: date | None = None

    async def tick(self, now: datetime) -> datetime:
        """Do what is due, and say when to come again."""
        setting, system = self.watch.setting, self.watch.system

        def look() -> float | None:
            with reading(setting.store) as connection:
                return store.next_look(connection, self.watch.where)

        following: list[datetime | None] = []

        def write(connection: Connection) -> None:
            following.append(pursue(connection, system, now))

        first = await setting.in_writer(look)
        if self._reminded != now.date() or (first is not None and not now.timestamp() < first < now.timestamp() + LATE):
            await setting.in_writer(lambda: setting.write([write]))
            self._reminded = now.date()
        elif first is not None:
            following.append(moment(first))
        return max(now + timedelta(seconds=0.2), min(soonest(following, now + REST), now + REST))


def pursue(connection: Connection, system: System, now: datetime) -> datetime | None:
    """One round over the incidents at which it is time to look; when the next thing is due."""
    going = store.to_look_at(connection, where_of(system), now.timestamp())
    ids = [one.id for one in going]
    told = messages.told_by_incident(connection, ids, "page") if ids else {}
    for id, keys in (messages.told_by_incident(connection, ids, "practice") if ids else {}).items():
        told.setdefault(id, set()).update(keys)
    bad = store.still_bad(connection, ids) if ids else set()
    round_ = _Round(connection, system, now)
    looks: list[tuple[Incident, float]] = []
    latest = now + timedelta(seconds=store.LONGEST_LOOK)
    for one in going:
        round_.following.clear()
        round_.follow(one, told.get(one.id, set()), one.id in bad)
        looks.append((one, min([*round_.following, latest]).timestamp()))
    round_.remind()
    round_.close()
    store.look_again(connection, looks)
    following = store.next_look(connection, where_of(system))
    return None if following is None else moment(following)


@dataclass
class _Round:
    connection: Connection
    system: System
    now: datetime
    told: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    acts: list[audit.Act] = field(default_factory=list)
    following: list[datetime] = field(default_factory=list)
    keyed: list[tuple[Event, Callable[[], Message], audit.Act | None]] = field(default_factory=list)

    def follow(self, one: Incident, told: set[str], bad: bool) -> None:
        one = self._set_back(one)
        if one.well_since is not None and not bad:
            over = moment(one.well_since) + self.system.model.incidents.resolve_after
            if over <= self.now:
                self._resolve(one, told)
                return
            # While all is well nobody further is called.
            self.following.append(over)
            return
        if one.well_since is not None:
            store.change(self.connection, one.id, well_since=None)
        made, following = pages(self.system, one, told, self.now, self._why(one) if told else "")
        self.told += made
        self.events += [replace(paged(one, message), at=self.now.timestamp()) for message in made]
        if following is not None:
            self.following.append(moment(following))
        for clock in clocks(self.system.model, one, self.now):
            self._clock(one, clock)
        self._update(one)

    def _set_back(self, one: Incident) -> Incident:
        """Where the clock was set back, nothing waits until it is again as late as it was."""
        now = self.now.timestamp()
        later: dict[str, Any] = {
            name: now for name in ("round_at", "well_since", "updated_at") if (getattr(one, name) or now) > now
        }
        if counted_from(one) > self.now:
            later["clocks_from"] = now
        if not later:
            return one
        store.change(self.connection, one.id, **later)
        return replace(one, **later)

    def _why(self, one: Incident) -> str:
        passed = show_duration((self.now - counted_from(one)).total_seconds())
        return f"Nobody has acknowledged for {passed}. See what is known: opsbook incident show {one.id}"

    def _resolve(self, one: Incident, told: set[str]) -> None:
        if not store.change(
            self.connection, one.id, only_in=store.GOING, state="resolved", open_key=None,
            resolved_at=self.now.timestamp(), resolved_by="opsbook",
        ):  # fmt: skip
            return
        why = ended_by(self.connection, one)
        self.told += resolved_messages(self.connection, one, why, self.now)
        key = f"resolved|{one.id}|{one.rounds}"
        self.events.append(Event(one.id, self.now.timestamp(), "opsbook", "resolved", f"resolved: {why}", "", key))
        detail = {"incident": one.id, "pages": len(told)}
        self.acts.append(act(self.system, watch_actor("alerts"), self.now, "incident resolved", detail))
        messages.drop(self.connection, one.id, MOOT, "it was resolved before this was sent")

    def _clock(self, one: Incident, clock: Clock) -> None:
        if clock.ended is not None:
            return
        for at, what, urgency in ((clock.nearly, "runs out", "warning"), (clock.deadline, "missed", "page")):
            if at > self.now:
                self.following.append(at)
                continue
            if what == "runs out" and clock.deadline <= self.now:
                continue
            key = f"clock|{one.id}|{one.rounds}|{one.severity}|{clock.name}|{what}"
            over = f"{clock.name}: the promised {show_duration(clock.promised.total_seconds())} are over"
            told = over if what == "missed" else f"{clock.told}: it runs out"
            event = Event(one.id, self.now.timestamp(), "opsbook", "clock", told, key=key)
            grave: Urgency = "page" if urgency == "page" else "warning"
            message = partial(self._reminder, one, key, f"{one.title}: {told}", told, grave)
            record = None
            if what == "missed":
                detail = {"incident": one.id, "clock": clock.name}
                record = act(self.system, watch_actor("clocks"), self.now, "promise missed", detail)
            self.keyed.append((event, message, record))

    def _reminder(self, one: Incident, key: str, subject: str, text: str, urgency: Urgency) -> Message:
        """Made only where it was not told yet: to whom it goes is asked of the store."""
        to = responsible(self.connection, self.system, one)
        return Message(key, "reminder", to, subject, urgency, text, one.id, one.severity, facts_of(one))

    def _update(self, one: Incident) -> None:
        due = update_due(self.system.model, one)
        if due is None:
            return
        if due > self.now:
            self.following.append(due)
            return
        number, following = updates_missed(self.system.model, one, due, self.now)
        key = f"update|{one.id}|{one.rounds}|{due.timestamp():.0f}|{number}"
        text = f"a status update is due: opsbook incident update {one.id} TEXT"
        event = Event(one.id, self.now.timestamp(), "opsbook", "reminder", text, key=key)
        message = partial(self._reminder, one, key, f"{one.title}: update due", text, "warning")
        self.keyed.append((event, message, None))
        self.following.append(following)

    def remind(self) -> None:
        """Actions and post-mortems that are late, once a day."""
        day = int(self.now.timestamp() // REMINDERS.total_seconds())
        known = {*self.system.model.contacts, *self.system.model.channels, *self.system.model.oncall}
        late = (
            select(actions.c.id, actions.c.incident, actions.c.text, actions.c.owner)
            .join(incidents, incidents.c.id == actions.c.incident)
            .where(
                incidents.c.system == self.system.model.system,
                incidents.c.environment == self.system.name,
                actions.c.done_at.is_(None),
                actions.c.due_at <= self.now.timestamp(),
                actions.c.owner.in_(known),
            )
            .order_by(actions.c.due_at)
            .limit(50)
        )
        for row in self.connection.execute(late):
            subject = f"action {row.id} of {row.incident} is late: {row.text}"
            self.told.append(Message(f"action|{row.id}|{day}", "reminder", (row.owner,), subject, "info"))
        for one in store.unwritten(self.connection, where_of(self.system), *self._reviewed()):
            text = f"its post-mortem is late: opsbook incident postmortem {one.id}"
            key, targets = f"postmortem|{one.id}|{day}", responsible(self.connection, self.system, one)
            subject, facts = f"{one.title}: {text}", facts_of(one)
            self.told.append(Message(key, "reminder", targets, subject, "info", text, one.id, one.severity, facts))

    def _reviewed(self) -> tuple[list[str], float, float]:
        """The severities that need a post-mortem, and the moments between which one must have been over."""
        book, now = self.system.model, self.now.timestamp()
        within = book.incidents.postmortem_within.total_seconds()
        grades = [name for name, grade in book.severities.items() if grade.postmortem]
        return grades, now - within - REMINDED.total_seconds(), now - within

    def close(self) -> None:
        known = self._known(one.key or "" for one, _, _ in self.keyed)
        for event, message, record in self.keyed:
            if event.key in known:
                continue
            self.events.append(event)
            self.told.append(message())
            self.acts += [record] if record else []
        told = enqueue_all(self.connection, self.system, self.told, self.now)
        store.tell(self.connection, self.events)
        audit.append(self.connection, self.acts)
        if told:
            wake(*TELLING)

    def _known(self, keys: Iterable[str]) -> set[str]:
        return store.known_keys(self.connection, list(keys))


def ended_by(connection: Connection, one: Incident) -> str:
    """Why nothing of an incident is bad any more. It was well only where that was measured."""
    ended = store.alerts_ended(connection, one.id)
    if ended.well and not (ended.silent or ended.unseen):
        return "everything has been well"
    told = [f"{ended.well} well"] if ended.well else []
    told += [f"{ended.silent} bad still, and silenced"] if ended.silent else []
    why = "; ".join(dict.fromkeys(filter(None, ended.unseen)))
    told += [f"{len(ended.unseen)} not measured any more" + (f" ({why})" if why else "")] if ended.unseen else []
    return f"of its alerts {', '.join(told)}" if told else "nothing of it fires any more"


def resolved_messages(connection: Connection, one: Incident, why: str, now: datetime) -> Sequence[Message]:
    """Whoever was told of it is told that it is over."""
    told = {
        target: urgency
        for kind in ("page", "update", "practice")
        for target, urgency in ((name, kind) for name in messages.told(connection, one.id, kind).values())
    }
    lasted = int((now.timestamp() - one.opened_at) // 60)
    return [
        Message(
            f"resolved|{one.id}|{one.rounds}", "resolved", (target,), f"{one.title}: resolved after {lasted} min",
            "info", f"{why}. It lasted {lasted} min.", one.id, one.severity, facts_of(one),
        )
        for target in told
    ]  # fmt: skip
