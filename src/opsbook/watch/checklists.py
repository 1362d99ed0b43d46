"""Checklists: opened by schedules, incidents, windows, deploys and shifts; ticked by people, checks and runs; kept.

A line that names a check is ticked by its first good result after the list was opened, one that names a procedure by
the first run of it that was asked for after that and came to its end. A list that is late is a warning until it is
done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.planned import Checklist
from opsbook.book.rotations import stretches
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.engine.access import Actor, watch_actor
from opsbook.engine.identity import new_run_id
from opsbook.engine.record import procedure_from_json
from opsbook.engine.states import RunState
from opsbook.errors import UsageError
from opsbook.store import alerts, audit, due, history, incidents, run_lists
from opsbook.store import checklists as store
from opsbook.store.checklists import Item, Opened
from opsbook.store.database import reading
from opsbook.store.due import Due
from opsbook.watch import calendars
from opsbook.watch.acting import act, must_be
from opsbook.watch.contract import Signal, Watch, soonest
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part
from opsbook.watch.silences import here

OPENED, TICKED, NOTED, DONE = "checklist opened", "checklist ticked", "checklist noted", "checklist done"
LOOK = timedelta(seconds=30)
"""How often it is seen whether checks and runs have ticked something."""
MISSED = timedelta(days=1)
"""A list that came due while nothing ran is still opened so much later, and no list of the days before."""
AT_ONCE = 200
"""Lists that one tick opens; in a storm the others come with the next ones."""
SHIFT = timedelta(hours=12)
"""A shift that began longer ago is under way; nobody opens its list any more."""


@dataclass(frozen=True)
class Reason:
    """What opens a list: `key` once and for all, `subject` for people and for reports."""

    key: str
    subject: str = ""
    at: datetime | None = None
    """When it came due, where that was before now."""


def open_list(connection: Connection, system: System, name: str, reason: Reason, now: datetime) -> str:
    """Open a checklist of the book, once for each reason; its id, also where it was open already.

    Raises UsageError where the book has none of this name.
    """
    if name not in system.model.checklists:
        raise UsageError(f"there is no checklist named {name!r}", "write it in `checklists` of the book")
    if found := store.by_key(connection, _key(system, name, reason)):
        return found.id
    (opened,) = _open(connection, system, [(name, reason)], now)
    return opened


def _open(connection: Connection, system: System, wanted: Sequence[Wanted], now: datetime) -> list[str]:
    """Open lists that nobody has opened yet: in a storm many at once, by a few statements. Their ids."""
    opened = [_new(system, name, reason, now) for name, reason in _unknown(connection, system, wanted)]
    store.add_all(connection, here(system), opened)
    acts = [
        act(
            system, watch_actor(f"checklist {one.name}"), now, OPENED,
            {"checklist": one.id, "name": one.name, "subject": one.subject},
        )
        for one in opened
    ]  # fmt: skip
    audit.append(connection, acts)
    return [one.id for one in opened]


def _new(system: System, name: str, reason: Reason, now: datetime) -> Opened:
    written, begun = system.model.checklists[name], reason.at or now
    by = (begun + written.within).timestamp() if written.within else None
    items = tuple(Item(one.text, one.check or "", one.procedure or "", one.optional) for one in written.items)
    return Opened(
        f"c{new_run_id(now)}", _key(system, name, reason), name, written.title or name, items, reason.subject,
        written.assign or "", begun.timestamp(), by,
    )  # fmt: skip


def open_on(connection: Connection, system: System, kind: str, subject: str, now: datetime) -> list[str]:
    """Open every checklist of the book that this kind of event opens (incident, deploy, window, shift); their ids."""
    names = [name for name, one in system.model.checklists.items() if one.on == kind]
    return [open_list(connection, system, name, Reason(subject, subject), now) for name in names]


def tick(
    connection: Connection, system: System, actor: Actor, name: str, number: int, note: str, now: datetime
) -> Opened:
    """Tick a line by its number (from 1), recorded. Raises UsageError, and Refused where they may not."""
    must_be(system, actor, "responder", "tick a checklist")
    one, item = _line(connection, system, name, number)
    if item.ticked:
        raise UsageError(f"line {number} is ticked already, by {item.by}", "add a note to it: opsbook checklist note")
    changed = replace(item, by=actor.name, at=now.timestamp(), note=note or item.note)
    return _keep(connection, system, actor, one, {number: changed}, TICKED, now)


def note(
    connection: Connection, system: System, actor: Actor, name: str, number: int, text: str, now: datetime
) -> Opened:
    """Write beside a line, ticked or not; notes before it stay. Raises UsageError, and Refused where they may not."""
    must_be(system, actor, "responder", "write into a checklist")
    one, item = _line(connection, system, name, number)
    told = "; ".join(part for part in (item.note, f"{text} ({actor.name})") if part)
    return _keep(connection, system, actor, one, {number: replace(item, note=told)}, NOTED, now)


def find(connection: Connection, system: System, name: str) -> Opened:
    """The opened list that a person means: by its id, or by its name the newest that is not done. Raises UsageError."""
    found = store.named(connection, here(system), name)
    by_name = [one for one in found if one.name == name]
    if by_name:
        return by_name[-1]
    if len(found) != 1:
        told = f"{name!r} means {len(found)} checklists" if found else f"there is no open checklist {name!r}"
        raise UsageError(told, "`opsbook checklist list` shows them")
    return found[0]


def as_json(one: Opened, now: float) -> dict[str, object]:
    """For `--format json`, reports and the API."""
    moments = {name: getattr(one, name) for name in ("opened_at", "due_at", "done_at")}
    return {
        **{name: getattr(one, name) for name in ("id", "name", "title", "subject", "assignee")},
        **{
            name: datetime.fromtimestamp(at, UTC).isoformat() if at is not None else None
            for name, at in moments.items()
        },
        "state": "done" if one.done_at is not None else "late" if one.late(now) else "open",
        "items": [{"number": n, **vars(item)} for n, item in enumerate(one.items, start=1)],
    }


Wanted = tuple[str, Reason]
"""A list's name, and why it is opened."""


@part
class Checklists:
    """Opens what is due, ticks what checks and runs have shown, warns of what is late."""

    name = "checklists"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        setting, system = self.watch.setting, self.watch.system
        if not system.model.checklists:
            return now + timedelta(hours=1)

        def work() -> tuple[list[Opened], set[str], bool]:
            with reading(setting.store) as connection:
                seen = _first_seen(connection, system)
                new = {name: now.timestamp() for name in system.model.checklists if name not in seen}
                wanted = [*_due(system, {**new, **seen}, now), *_events(connection, system, now)]
                wanted = _unknown(connection, system, wanted)
                shown = _shown(connection, system)
            if new:
                rows = [Due(_seen_key(name), at, due.KNOWN, note="first seen") for name, at in new.items()]
                setting.write([lambda connection: due.add(connection, here(system), rows)])
            some = wanted[:AT_ONCE]
            if some:
                setting.write([lambda connection: _open(connection, system, some, now)])
            if shown:
                setting.write([lambda connection: _tick(connection, system, shown, now)])
            with reading(setting.store) as connection:
                names = [_fingerprint(name) for name in system.model.checklists]
                warned = {row["fingerprint"] for row in alerts.open_ones(connection, here(system), names)}
                return store.not_done(connection, here(system)), warned, len(wanted) > AT_ONCE

        going, warned, more = await setting.in_writer(work)
        await tell(self.watch, list(_signals(system, going, warned, now)))
        return now if more else soonest([_next(system, now)], now + LOOK)


def _first_seen(connection: Connection, system: System) -> dict[str, float]:
    """Since when each list of the book is watched: what came due before was nobody's to tick, and is not late."""
    found = {}
    for name in system.model.checklists:
        known = due.first(connection, here(system), _seen_key(name))
        opened = store.first_opened(connection, here(system), name)  # a store that is older than these rows
        moments = [one for one in (known.at if known else None, opened) if one is not None]
        if moments:
            found[name] = min(moments)
    return found


def _seen_key(name: str) -> str:
    return f"checklist/{name}"


def _due(system: System, seen: Mapping[str, float], now: datetime) -> Iterator[tuple[str, Reason]]:
    for name, one in system.model.checklists.items():
        if not one.every:
            continue
        moments = calendars.between(one.every, _zone(system, one), now - MISSED, now)
        if moments and moments[-1].timestamp() >= seen[name]:
            yield name, Reason(f"{moments[-1]:%Y-%m-%dT%H:%MZ}", "", moments[-1])


def _next(system: System, now: datetime) -> datetime | None:
    every = [(one.every, _zone(system, one)) for one in system.model.checklists.values() if one.every]
    return min((one for cron, zone in every if (one := calendars.first_after(cron, zone, now))), default=None)


def _zone(system: System, one: Checklist) -> str:
    return str(one.timezone or system.model.timezone)


def _events(connection: Connection, system: System, now: datetime) -> Iterator[tuple[str, Reason]]:
    """What incidents, shifts and deploys open. Windows open theirs themselves."""
    book = system.model
    kinds = {one.on for one in book.checklists.values()}
    named = book.incidents.checklist
    if named or "incident" in kinds:
        for incident in incidents.open_ones(connection, here(system)):
            subject = f"incident:{incident.id}"
            names = {name for name, one in book.checklists.items() if one.on == "incident"} | {named or ""} - {""}
            yield from ((name, Reason(subject, subject)) for name in sorted(names) if name in book.checklists)
    if "shift" in kinds:
        for rotation, one in book.oncall.items():
            begun = stretches(book, rotation, now - one.turn - SHIFT, now + timedelta(seconds=1))[-1]
            if begun.duty.who and begun.start > now - SHIFT:
                subject = f"shift:{rotation}/{begun.start:%Y-%m-%dT%H:%MZ}"
                yield from _all_on(system, "shift", subject)
    if "deploy" in kinds:
        begin = (now - MISSED).timestamp()
        for run in run_lists.between(connection, book.system, system.name, begin, now.timestamp() + 1):
            if run.state == RunState.DONE and (run.ended_at or 0) >= begin and _deploys(run.compiled):
                yield from _all_on(system, "deploy", f"run:{run.id}")


def _all_on(system: System, kind: str, subject: str) -> Iterator[tuple[str, Reason]]:
    yield from ((name, Reason(subject, subject)) for name, one in system.model.checklists.items() if one.on == kind)


def _deploys(compiled: str) -> bool:
    steps = procedure_from_json(json.loads(compiled)).steps
    return any(step.body.get("operation") in ("workload.deploy", "side.bring_up") for step in steps)


def _unknown(connection: Connection, system: System, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Those that were not opened yet."""
    keys = {_key(system, name, why): (name, why) for name, why in wanted}
    known = store.known_keys(connection, list(keys))
    return [one for key, one in keys.items() if key not in known]


def _key(system: System, name: str, why: Reason) -> str:
    return "/".join((system.model.system, system.name, name, why.key))


Ticks = dict[int, Item]


def _shown(connection: Connection, system: System) -> list[tuple[Opened, Ticks]]:
    """The lines that checks and runs have ticked since their list was opened."""
    found: list[tuple[Opened, Ticks]] = []
    going = store.not_done(connection, here(system))
    asked = [one.opened_at for one in going for item in one.items if item.check and not item.ticked]
    points = history.latest(connection, system.model.system, system.name, min(asked)) if asked else {}
    for one in going:
        proven = ((n, _proven(connection, system, one, item, points)) for n, item in enumerate(one.items, start=1))
        ticks = {n: item for n, item in proven if item}
        if ticks:
            found.append((one, ticks))
    return found


def _proven(
    connection: Connection, system: System, one: Opened, item: Item, points: Mapping[str, history.Point]
) -> Item | None:
    if item.ticked:
        return None
    if item.check:
        point = points.get(item.check)
        if point and point.at >= one.opened_at and point.state == State.OK:
            return replace(item, by=f"check {item.check}", at=point.at, note=item.note or point.sentence)
    if item.procedure:
        run = run_lists.ended_well(connection, system.model.system, system.name, item.procedure, one.opened_at)
        if run and run.ended_at is not None:
            return replace(item, by=f"run {run.id}", at=run.ended_at)
    return None


def _tick(connection: Connection, system: System, shown: Sequence[tuple[Opened, Ticks]], now: datetime) -> None:
    for one, ticks in shown:
        _keep(connection, system, watch_actor(f"checklist {one.name}"), one, ticks, TICKED, now)


def _line(connection: Connection, system: System, name: str, number: int) -> tuple[Opened, Item]:
    one = find(connection, system, name)
    if not 1 <= number <= len(one.items):
        raise UsageError(f"{one.title} has no line {number}", f"its lines are 1 to {len(one.items)}")
    return one, one.items[number - 1]


def _keep(
    connection: Connection, system: System, actor: Actor, one: Opened, changed: Ticks, event: str, now: datetime
) -> Opened:
    items = tuple(changed.get(n, item) for n, item in enumerate(one.items, start=1))
    after = replace(one, items=items)
    done_at = one.done_at if one.done_at is not None or after.missing else now.timestamp()
    if not store.keep_items(connection, one, items, done_at):
        if actor.name == "opsbook":
            return one  # somebody ticks at this moment; the next tick sees both
        raise UsageError("somebody else has just changed this checklist", "look at it again, and repeat")
    lines = {str(n): item.by or item.note for n, item in changed.items()}
    acts = [act(system, actor, now, event, {"checklist": one.id, "name": one.name, "lines": lines})]
    if done_at is not None and one.done_at is None:
        acts.append(act(system, actor, now, DONE, {"checklist": one.id, "name": one.name}))
    audit.append(connection, acts)
    return replace(after, done_at=done_at)


def _fingerprint(name: str) -> str:
    return f"checklist:{name}"


def _signals(system: System, going: Sequence[Opened], warned: set[str], now: datetime) -> Iterator[Signal]:
    """A warning for each list that has one that is late; an ok where the warning is no longer true."""
    for name, written in system.model.checklists.items():
        late = [one for one in going if one.name == name and one.late(now.timestamp())]
        title, mark = f"Checklist: {written.title or name}", _fingerprint(name)
        if late:
            lacks = [item.text for one in late for item in one.missing]
            many = "1 line is" if len(lacks) == 1 else f"{len(lacks)} lines are"
            sentence = f"{many} not ticked: {'; '.join(lacks[:5])}"
            notify = (written.assign,) if written.assign else ()
            yield Signal(mark, "opsbook", now, State.WARNING, title, f"late; {sentence}", notify=notify)
        elif mark in warned:
            yield Signal(mark, "opsbook", now, State.OK, title, "done")
