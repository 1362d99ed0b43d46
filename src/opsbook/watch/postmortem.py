"""The post-mortem of an incident as Markdown: what opsbook knows is filled in, what people must think about is asked.

Figures: to detect (from the first bad result to the incident), to acknowledge, to mitigate, to resolve.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from opsbook.book.load import shown
from opsbook.book.system import System
from opsbook.book.units import Dimension, show, show_duration
from opsbook.engine.access import Actor
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError, Refused
from opsbook.observations.registry import observations
from opsbook.printable import one_line
from opsbook.store import audit, history, rollups
from opsbook.store import incidents as store
from opsbook.store.actions import Action
from opsbook.store.database import reading
from opsbook.store.history import Point
from opsbook.store.incidents import Event
from opsbook.store.rollups import FIVE_MINUTES, HOUR, Rollup
from opsbook.watch.acting import act, must_be
from opsbook.watch.incident_acts import find
from opsbook.watch.incident_facts import where_of
from opsbook.watch.incident_views import View, view_of

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
MARGIN = timedelta(minutes=15)
"""How much before and after an incident its graphs show."""
MOST_GRAPHS = 8
WORST_FIRST = ("critical", "unknown", "warning", "ok")
ASKED = """\
## What happened

_In a few sentences, for somebody who was not there._

## Impact

_Who noticed what, for how long, and how many of them._

## Why it happened

_The chain of causes down to what can be changed. Ask why five times; blame no one._

## What went well, what did not

- _Found by a check or by a user? Was the right person called, with what they needed?_
- _What would have made it shorter?_
"""


class NotWritten(OpsbookError):
    """A post-mortem could not be written."""


def written(
    setting: Setting, system: System, actor: Actor, which: str, *, keep: bool = True, force: bool = False
) -> tuple[Path, str]:
    """The post-mortem of an incident, and where it was written. Raises Refused over a file that people may have
    worked on, and NotWritten."""
    must_be(system, actor, "responder", "write post-mortems")
    now = setting.clock.now()
    with reading(setting.store) as connection:
        view = view_of(connection, system, find(connection, system, which), now)
    text = filled(system, view, now, graphs(setting, system, view, now), _template(system))
    folder = system.path(system.model.incidents.folder).resolve()
    path = folder / f"{view.incident.id}.md"
    if not keep:
        return path, text
    if path.exists() and not force:
        raise Refused(
            f"{shown(path)} is there already", "work on in it; --force writes it anew, --print shows what it would be"
        )
    setting.check_audit()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise NotWritten(f"{shown(path)}: {error.strerror}", "check `incidents.folder` of the book") from error
    one, event = view.incident, Event(view.incident.id, now.timestamp(), actor.name, "postmortem", f"wrote {path.name}")
    record = act(system, actor, now, "post-mortem written", {"incident": one.id, "file": str(path)})
    setting.write(
        [
            lambda connection: store.change(connection, one.id, postmortem=path.name),
            lambda connection: store.tell(connection, [event]),
            lambda connection: audit.append(connection, [record]),
        ]
    )
    setting.write_head()
    return path, text


def filled(system: System, view: View, now: datetime, drawn: Sequence[str], template: str = "") -> str:
    """The whole text. Pure."""
    one, zone = view.incident, ZoneInfo(system.model.timezone)
    head = [
        f"# {_plain(one.title)}",
        "",
        f"Incident {one.id} · {one.severity or 'no severity'} · {one.state} · {system.model.title or one.system}, "
        f"{one.environment}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in figures(view, now, zone)),
        "",
    ]
    lines = [f"| {_at(event.at, zone)} | {_plain(event.actor)} | {_plain(event.text)} |" for event in view.events]
    timeline = [
        "## Timeline",
        "",
        f"Times in {system.model.timezone}.",
        "",
        "| time | who | what |",
        "|---|---|---|",
        *lines,
        "",
    ]
    graphs_ = ["## The checks", "", *drawn, ""] if drawn else []
    actions = ["## Actions", "", *(_action(action, zone) for action in view.actions)]
    if not view.actions:
        actions += [f"_None yet: `opsbook incident actions {one.id} --add TEXT --owner NAME --due DATE`_"]
    people = ", ".join(f"{role}: {who}" for role, who in one.people.items())
    roles = [f"People: {people}", ""] if people else []
    return "\n".join([*head, *roles, template or ASKED, *timeline, *graphs_, *actions]) + "\n"


def figures(view: View, now: datetime, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """What was measured, as rows. Pure."""
    one = view.incident
    first = min((alert["since"] for alert in view.alerts), default=one.opened_at)
    yield "began", _at(first, zone, day=True)
    yield "opened", f"{_at(one.opened_at, zone, day=True)} by {_plain(one.opened_by)}"
    for name, since, until in (
        ("to detect", first, one.opened_at),
        ("to acknowledge", one.opened_at, one.acknowledged_at),
        ("to mitigate", one.opened_at, one.mitigated_at),
        ("to resolve", one.opened_at, one.resolved_at),
    ):
        yield name, show_duration(max(0.0, until - since)) if until is not None else "—"
    for clock in view.clocks:
        yield f"promise: {clock.name}", clock.told.partition(": ")[2]
    pages = [message for message in view.messages if message.kind == "page"]
    if pages:
        yield "pages", f"{len(pages)}, to {', '.join(dict.fromkeys(message.target for message in pages))}"
    if one.procedure:
        yield "procedure", f"`{one.procedure}` is the one for this"
    if one.resolved_at is None:
        yield "still open after", show_duration(now.timestamp() - one.opened_at)


def graphs(setting: Setting, system: System, view: View, now: datetime) -> list[str]:
    """A small graph of each check of the incident, from before it until after."""
    one = view.incident
    since = min((alert["since"] for alert in view.alerts), default=one.opened_at) - MARGIN.total_seconds()
    until = min(now.timestamp(), (one.resolved_at or now.timestamp()) + MARGIN.total_seconds())
    zone = ZoneInfo(system.model.timezone)
    drawn = []
    for id in list(dict.fromkeys(alert["check_id"] for alert in view.alerts if alert["check_id"]))[:MOST_GRAPHS]:
        check = next((found for found in system.checks if found.id == id), None)
        points = _points(setting, where_of(system), id, since, until)
        spec = observations().get(check.observe) if check else None
        dimension = spec.spec.dimension if spec else Dimension.COUNT
        if points:
            drawn += [graph(id, check.title if check else "", points, since, until, dimension, zone), ""]
    return drawn


def _points(setting: Setting, where: Mapping[str, str], check: str, since: float, until: float) -> list[Point]:
    """What a check said, oldest first: its results, and before the oldest of those that are kept its rollups."""
    results = history.history(setting.store, where["system"], where["environment"], check, since)
    begin = min(results[0].at if results else until, until)
    # No slot of a graph is shorter than what is drawn in it.
    span = HOUR if until - since > WIDTH * HOUR else FIVE_MINUTES
    with reading(setting.store) as connection:
        rolled = rollups.figures(connection, where, check, span, since - span, begin)
    return [
        *(Point(check, max(one.start, since), _worst(one), one.most, "") for one in rolled),
        *(point for point in results if point.at <= until),
    ]


def _worst(one: Rollup) -> str:
    return next((state for state in WORST_FIRST if getattr(one, state)), "")


def graph(
    id: str, title: str, points: Sequence[Point], since: float, until: float, dimension: Dimension, zone: ZoneInfo
) -> str:
    """One check over time, as text that every reader of Markdown shows: its values, and below them its states. Pure."""
    span = max(until - since, 1.0)
    slots: list[list[Point]] = [[] for _ in range(WIDTH)]
    for point in points:
        slots[min(WIDTH - 1, max(0, int((point.at - since) / span * WIDTH)))].append(point)
    values = [max((p.value for p in slot if p.value is not None), default=None) for slot in slots]
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    bars = "".join(" " if value is None else _bar(value, low, high) for value in values)
    marks = {"critical": "!", "warning": "~", "unknown": "?", "ok": "."}
    states = "".join(next((marks[s] for s in WORST_FIRST if any(p.state == s for p in slot)), " ") for slot in slots)
    start, end = (datetime.fromtimestamp(at, zone) for at in (since, until))
    reach = f"{show(low, dimension)} … {show(high, dimension)}" if known else "no values"
    axis = f"{start:%H:%M}".ljust(WIDTH - 5) + f"{end:%H:%M}"
    legend = f"{reach}; `.` ok, `~` warning, `!` critical, `?` unknown; times in {zone.key}"
    return f"`{id}` {_plain(title)} ({legend})\n\n```text\n{bars}\n{states}\n{axis}\n```"


def _bar(value: float, low: float, high: float) -> str:
    return BARS[int((value - low) / (high - low) * (len(BARS) - 1))] if high > low else BARS[0]


def _action(action: Action, zone: ZoneInfo) -> str:
    due = f", due {_at(action.due_at, zone, day=True)[:10]}" if action.due_at and action.done_at is None else ""
    mark = "x" if action.done_at is not None else " "
    return f"- [{mark}] {_plain(action.text)} ({action.owner or 'nobody yet'}{due}; action {action.id})"


def _template(system: System) -> str:
    named = system.model.incidents.template
    if not named:
        return ""
    path = system.path(named)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise NotWritten(f"the template {path}: {reason}", "correct `incidents.template` of the book") from error


def _at(at: float, zone: ZoneInfo, *, day: bool = False) -> str:
    there = datetime.fromtimestamp(at, UTC).astimezone(zone)
    return f"{there:%Y-%m-%d %H:%M:%S}" if day else f"{there:%m-%d %H:%M:%S}"


def _plain(text: str) -> str:
    """Text of others inside Markdown: no table, no markup, no line break; nothing steers a terminal."""
    flat = one_line(" ".join(text.split()))
    for sign in "\\`*_[]<>|":
        flat = flat.replace(sign, "\\" + sign)
    return flat
