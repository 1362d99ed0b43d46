"""Silences: alerts that are known and not told. People make them, and so do the book, windows and runs.

Every silence has an end, and ends with the work that it belongs to, at the latest with its window. What is still bad
then is told as if it fired now: the desk of alerts looks at the silences each time it decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from opsbook.book import people
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.book.words import nearest
from opsbook.engine.access import Actor, watch_actor
from opsbook.engine.identity import new_run_id
from opsbook.engine.record import procedure_from_json
from opsbook.engine.states import ENDED, RunState, StepState
from opsbook.errors import UsageError
from opsbook.store import audit, run_lists, runs
from opsbook.store import silences as store
from opsbook.store.database import reading
from opsbook.store.silences import EVERYTHING, Silence
from opsbook.watch.acting import act, must_be
from opsbook.watch.contract import Watch, soonest
from opsbook.watch.outbox import Message, enqueue
from opsbook.watch.registry import part

LONGEST = timedelta(days=30)
"""A silence that is forgotten is an alert that nobody gets. What is known for longer belongs into the book."""
MADE, ENDED_EARLY, CHANGED = "silence made", "silence ended", "silence changed"
LOOK = timedelta(seconds=15)
"""How often it is seen whether a run has entered or left maintenance, or has ended."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks for. `checks` may name groups; times are aware."""

    checks: tuple[str, ...]
    components: tuple[str, ...]
    reason: str
    until: datetime
    start: datetime | None = None
    run: str = ""
    """A run with whose end it ends at the latest."""


def make(connection: Connection, system: System, actor: Actor, wanted: Wanted, now: datetime) -> Silence:
    """A silence that a person asks for, recorded. Raises UsageError, and Refused where they may not."""
    must_be(system, actor, "responder", "silence alerts")
    start = wanted.start or now
    _must_be_sound(wanted, start, now)
    if not (wanted.checks or wanted.components):
        raise UsageError("a silence never covers everything", "name what with --check or --component")
    checks = ids_of(system, wanted.checks)
    _must_be_known(wanted.components, system.components, "component")
    origin = f"run:{_run(connection, system, wanted.run)}" if wanted.run else "cli"
    found = Silence(
        new_id(now), checks, wanted.components, wanted.reason.strip(), actor.name, origin, start.timestamp(),
        wanted.until.timestamp(),
    )  # fmt: skip
    _add(connection, system, actor, found, now)
    return found


def finish(connection: Connection, system: System, actor: Actor, name: str, now: datetime) -> Silence:
    """End one before its time, recorded. `name` is its id, its beginning or its end. Raises UsageError, Refused."""
    must_be(system, actor, "responder", "end a silence")
    where = here(system)
    found = store.named(connection, where, name)
    going = [one for one in found if one.end > now.timestamp()]
    if len(going) != 1:
        told = "is over" if found and not going else f"are {len(going)} silences" if going else "is no silence"
        raise UsageError(f"{name!r} {told}", "`opsbook silence list` shows them")
    _end(connection, system, actor, going[0], now, "")
    return replace(going[0], ended_at=now.timestamp())


def ids_of(system: System, names: Iterable[str]) -> tuple[str, ...]:
    """The checks that ids and groups mean, in the order of the book. Raises UsageError with the nearest name."""
    wanted = set(names)
    groups = {group for check in system.checks for group in check.groups}
    _must_be_known(wanted, {check.id for check in system.checks} | groups, "check or group")
    return tuple(check.id for check in system.checks if check.id in wanted or wanted & set(check.groups))


def here(system: System) -> dict[str, str]:
    """The columns that rows of this environment have."""
    return {"system": system.model.system, "environment": system.name}


def new_id(now: datetime) -> str:
    """Such as `s261121-1213-k7qa`."""
    return f"s{new_run_id(now)}"


def cover(
    connection: Connection, system: System, actor: Actor, origin: str, components: Sequence[str], reason: str,
    span: tuple[datetime, datetime], now: datetime,
) -> Silence:  # fmt: skip
    """The silence of a window or a run: made once, and given another end where that moved. None named: everything."""
    start, until = span
    mine = [one for one in store.made_by(connection, here(system), origin) if one.ended_at is None]
    mine = [one for one in mine if one.start == start.timestamp()]
    if not mine:
        names = tuple(components) or (EVERYTHING,)
        found = Silence(new_id(now), (), names, reason, actor.name, origin, start.timestamp(), until.timestamp())
        _add(connection, system, actor, found, now)
        return found
    if mine[0].until != until.timestamp():
        store.extend(connection, mine[0].id, until.timestamp())
        told = {"silence": mine[0].id, "until": until.isoformat()}
        audit.append(connection, [act(system, actor, now, CHANGED, told)])
    return replace(mine[0], until=until.timestamp())


def release(connection: Connection, system: System, actor: Actor, origin: str, now: datetime, why: str) -> int:
    """End what was made by this origin. Returns how many."""
    mine = [one for one in store.made_by(connection, here(system), origin) if one.end > now.timestamp()]
    for one in mine:
        _end(connection, system, actor, one, now, why)
    return len(mine)


def as_json(one: Silence, now: float) -> dict[str, object]:
    """For `--format json` and the API."""
    state = "ended" if one.end <= now else "begins later" if one.start > now else "holds"
    return {
        **vars(one),
        "checks": list(one.checks),
        "components": list(one.components),
        "state": state,
        "start": datetime.fromtimestamp(one.start, UTC).isoformat(),
        "until": datetime.fromtimestamp(one.until, UTC).isoformat(),
        "ended_at": datetime.fromtimestamp(one.ended_at, UTC).isoformat() if one.ended_at is not None else None,
    }


@part
class Silences:
    """Keeps the silences of the book and of runs as they should be."""

    name = "silences"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        setting, system = self.watch.setting, self.watch.system

        def write() -> list[Silence]:
            setting.write([
                lambda connection: of_book(connection, system, now),
                lambda connection: of_runs(connection, system, now),
            ])  # fmt: skip
            with reading(setting.store) as connection:
                return store.not_over(connection, here(system), now.timestamp())

        going = await setting.in_writer(write)
        ends = [datetime.fromtimestamp(one.until, UTC) for one in going]
        return soonest([one for one in ends if one > now], now + LOOK)


def of_book(connection: Connection, system: System, now: datetime) -> None:
    """Make, change and end silences until they are what the book says now. One that a person ended stays ended."""
    where, actor = here(system), watch_actor("silences of the book")
    zone = ZoneInfo(str(system.model.timezone))
    written = {f"book:{one.id}": one for one in system.model.silences}
    known: dict[str, Silence] = {}
    for silence in store.made_by(connection, where, "book:", alike=True):
        known[silence.origin] = silence
        if silence.origin not in written and silence.end > now.timestamp():
            _end(connection, system, actor, silence, now, "the book has it no more")
    for origin, one in written.items():
        wanted = _of(system, origin, one, zone, now)
        before = known.get(origin)
        if before is not None and _same(before, wanted):
            continue
        if before is not None and before.end > now.timestamp():
            _end(connection, system, actor, before, now, "the book says otherwise")
        if wanted.until > now.timestamp():
            _add(connection, system, actor, wanted, now)


def of_runs(connection: Connection, system: System, now: datetime) -> None:
    """A run that entered maintenance silences everything until it has left or ended; it silences again while it goes
    back through a maintenance that it had left. What belongs to a run that has ended, ends."""
    actor, longest = watch_actor("silences of runs"), system.model.maintenance.longest
    for run in run_lists.going(connection, system.model.system, system.name, ENDED):
        origin = f"run:{run.id}"
        mine = [one for one in store.made_by(connection, here(system), origin) if one.author == actor.name]
        if in_maintenance(run.compiled, runs.steps_of(connection, run.id), back=goes_back(run)):
            if mine and mine[-1].ended_at is not None:
                if audit.last_actor(connection, ENDED_EARLY, mine[-1].id) != actor.name:
                    continue  # somebody wants to hear
                mine = []  # it ended when the run had left: this is another stay
            begun = datetime.fromtimestamp(mine[-1].start, UTC) if mine else now
            rounds = (now - begun) // longest  # it keeps its silence as long as it goes on, and somebody is asked
            until = begun + longest * (rounds + 1)
            if rounds:
                enqueue(connection, system, _goes_on(system, run, begun, rounds), now)
            reason = f"run {run.id} ({run.procedure}) has the system in maintenance"
            cover(connection, system, actor, origin, (), reason, (begun, until), now)
        elif mine:
            for one in mine:
                if one.end > now.timestamp():
                    _end(connection, system, actor, one, now, "its run has left maintenance")
    for one in store.not_over(connection, here(system), now.timestamp()):
        kind, _, run_id = one.origin.partition(":")
        if kind == "run" and ((row := runs.run_of(connection, run_id)) is None or row.state in ENDED):
            _end(connection, system, actor, one, now, "its run has ended")


def _goes_on(system: System, run: runs.RunRow, begun: datetime, rounds: int) -> Message:
    title, since = system.model.title or system.model.system, begun.astimezone(ZoneInfo(str(system.model.timezone)))
    body = (
        f"Run {run.id} ({run.procedure}) has it in maintenance since {since:%Y-%m-%d %H:%M}, and alerts are silent.\n"
    )
    body += f"See: opsbook runs show {run.id}. End: opsbook runs cancel {run.id}."
    subject = f"{title}: does the maintenance go on?"
    key = f"maintenance/{run.id}/{begun.timestamp():.0f}/{rounds}"
    return Message(key, "notice", system.model.maintenance.notify or first_called(system), subject, "warning", body)


def first_called(system: System) -> tuple[str, ...]:
    """Who is asked about planned work where the book names nobody for it: the first that a fault would call."""
    return tuple(level.notify for level in system.model.escalation[:1])


def goes_back(run: runs.RunRow) -> bool:
    """Whether it is being undone, also where it waits meanwhile for somebody to say what became of a change."""
    return bool(run.verdict) and run.state != RunState.RUNNING and run.state not in ENDED


def in_maintenance(compiled: str, steps: Sequence[runs.StepRow], *, back: bool = False) -> bool | None:
    """Whether a run has left the system in maintenance, by the steps that were done, in their order; None where none of
    them entered or left it. A run that goes `back` closes the system again before anything else of that time is undone;
    its steps are done until all of it is over."""
    inside: bool | None = None
    done = {row.step: row.state for row in steps}
    for step in procedure_from_json(json.loads(compiled)).steps:
        operation = step.body.get("operation")
        if done.get(step.id) == StepState.DONE and operation in ("maintenance.enter", "maintenance.leave"):
            inside = operation == "maintenance.enter" or bool(back and inside)
    return inside


def _of(system: System, origin: str, one: people.Silence, zone: ZoneInfo, now: datetime) -> Silence:
    groups = {group for check in system.checks for group in check.groups}
    known = {check.id for check in system.checks} | groups
    checks = ids_of(system, [name for name in one.checks if name in known])
    start = _aware(one.start, zone).timestamp() if one.start else now.timestamp()
    until = _aware(one.until, zone).timestamp()
    return Silence(new_id(now), checks, one.components, one.reason, "the book", origin, start, until)


def _same(before: Silence, wanted: Silence) -> bool:
    told = (before.checks, before.components, before.reason, before.until)
    return told == (wanted.checks, wanted.components, wanted.reason, wanted.until)


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _add(connection: Connection, system: System, actor: Actor, one: Silence, now: datetime) -> None:
    store.add(connection, here(system), one)
    told = {
        "silence": one.id,
        "origin": one.origin,
        "checks": list(one.checks),
        "components": list(one.components),
        "reason": one.reason,
        "until": datetime.fromtimestamp(one.until, UTC).isoformat(),
    }
    audit.append(connection, [act(system, actor, now, MADE, told)])


def _end(connection: Connection, system: System, actor: Actor, one: Silence, now: datetime, why: str) -> None:
    if store.end(connection, one.id, now.timestamp()):
        told = {"silence": one.id, "origin": one.origin} | ({"because": why} if why else {})
        audit.append(connection, [act(system, actor, now, ENDED_EARLY, told)])


def _must_be_sound(wanted: Wanted, start: datetime, now: datetime) -> None:
    if not wanted.reason.strip():
        raise UsageError("a silence has a reason", "say it with --reason: who wonders at night reads it")
    if wanted.until <= max(start, now):
        raise UsageError("the silence would be over before it begins", "give a later --until, or a longer --for")
    if wanted.until - start > LONGEST:
        longest = write_duration(LONGEST.total_seconds())
        raise UsageError(f"a silence lasts {longest} at most", "write a longer one in `silences` of the book")


def _must_be_known(names: Iterable[str], known: Iterable[str] | Mapping[str, object], what: str) -> None:
    all_known = set(known)
    for name in names:
        if name not in all_known:
            raise UsageError(f"there is no {what} named {name!r}", nearest(name, all_known))


def _run(connection: Connection, system: System, run: str) -> str:
    row = runs.run_of(connection, run)
    if row is None or row.environment != system.name:
        raise UsageError(f"there is no run {run!r} in {system.name}", "`opsbook runs` lists them")
    if row.state in ENDED:
        raise UsageError(f"run {run} has ended", "leave --run out")
    return row.id
