"""Incidents on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from opsbook.book.units import show_duration
from opsbook.cli.terminal import screen, show
from opsbook.printable import lines_of, one_line

if TYPE_CHECKING:
    from opsbook.store.actions import Action
    from opsbook.store.incidents import Incident
    from opsbook.watch.clocks import Clock
    from opsbook.watch.incident_views import View

STYLE = {"open": "bold red", "acknowledged": "yellow", "mitigated": "cyan", "resolved": "green", "merged": "dim"}
CLOCK_STYLE = {"kept": "green", "runs": "", "late": "bold red", "missed": "red"}
DO = {
    "open": ("opsbook incident ack {id}", "say that you have it"),
    "acknowledged": ("opsbook incident update {id} TEXT", "tell the others how it stands"),
    "mitigated": ("opsbook incident resolve {id}", "when it is over"),
    "resolved": ("opsbook incident postmortem {id}", "write down what is learnt"),
}
"""State → the next thing to do, and why."""


def print_list(found: Sequence[tuple[Incident, tuple[Clock, ...]]], now: datetime, zone: str) -> None:
    """A table of incidents, those that go on first."""
    console = screen()
    if not found:
        console.print("no incidents")
        return
    table = _table("incident", "severity", "state", "since", "lasts", "who", "clocks", "", folded=2)
    # What is copied into the next command is never cut.
    table.columns[0].min_width = max(len(one.id) for one, _ in found)
    for one, clocks in found:
        lasts = show_duration((one.resolved_at or now.timestamp()) - one.opened_at)
        table.add_row(
            one.id, one.severity, Text(one.state, style=STYLE.get(one.state, "")), clock_time(one.opened_at, zone, now),
            lasts, one.assignee, _clocks(clocks), Text(one_line(one.title)),
        )  # fmt: skip
    show(console, table)


def print_incident(view: View, now: datetime, zone: str) -> None:
    """One incident in full."""
    console, one = screen(), view.incident
    head = Text.assemble((one.id, "bold"), "  ", (one.severity, "bold"), "  ", (one.state, STYLE.get(one.state, "")))
    console.print(head)
    console.print(Text(one_line(one.title), style="bold"))
    facts = {
        "component": one.component,
        "opened": f"{clock_time(one.opened_at, zone, now)} by {one.opened_by}"
        + (f", reopened {_times(one.reopened)}" if one.reopened else ""),
        "who": one.assignee,
        "roles": ", ".join(f"{role}: {who}" for role, who in one.people.items()),
        "clocks": "; ".join(clock.told for clock in view.clocks),
        "next page": clock_time(view.next_page, zone, now) if view.next_page else "",
        "update due": clock_time(view.update_due, zone, now) if view.update_due else "",
        "part of": one.merged_into,
        "post-mortem": one.postmortem,
    }
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {name:12}", "dim"), one_line(value)))
    _section(console, "alerts")
    for alert in view.alerts[:20]:
        state = alert["phase"] if alert["phase"] == "resolved" else alert["state"]
        told = f"  {state:9} {alert['title']}: {alert['sentence']}"
        console.print(Text(one_line(told), style="green" if state == "resolved" else ""))
    if len(view.alerts) > 20:
        console.print(Text(f"  … and {len(view.alerts) - 20} more", style="dim"))
    if not view.alerts:
        console.print(Text("  none: a person opened it", style="dim"))
    _section(console, "timeline")
    for event in view.events:
        lines = lines_of(event.text) or [""]
        console.print(
            Text.assemble((f"  {clock_time(event.at, zone, now)}  ", "dim"), lines[0], (f"  {event.actor}", "dim"))
        )
        for line in lines[1:]:
            console.print(Text("            " + line))
    _messages(console, view, zone, now)
    _evidence(console, view)
    print_actions(view.actions, zone, now, console)
    if one.procedure and not one.over:
        console.print()
        console.print(Text.assemble("  → ", (f"opsbook run {one.procedure}", "bold"), "  the procedure for this"))
    if one.state in DO:
        command, why = DO[one.state]
        console.print(Text.assemble("  → ", (command.format(id=one.id), "bold"), f"  {why}"))


def _messages(console: Console, view: View, zone: str, now: datetime) -> None:
    if not view.messages:
        return
    _section(console, "messages")
    table = _table("", "", "to", "by", "", "")
    table.show_header = False
    for one in view.messages:
        at = clock_time(one.delivered_at or one.made_at, zone, now)
        style = {"delivered": "green", "failed": "red", "dropped": "dim"}.get(one.state, "yellow")
        more = one.receipt if one.state == "delivered" else one.error
        table.add_row(at, one.kind, one.target, one.channel, Text(one.state, style=style), Text(one_line(more)))
    show(console, Padding(table, (0, 0, 0, 2)))


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _evidence(console: Console, view: View) -> None:
    if not view.evidence:
        return
    _section(console, "evidence")
    for one in view.evidence:
        lines = len(one.text.splitlines())
        told = one.error or f"{lines} line{'' if lines == 1 else 's'}"
        console.print(Text.assemble(f"  {one.name:32} ", (one_line(told), "red" if one.error else "dim")))
    console.print(Text(f"  opsbook incident evidence {view.incident.id} shows it", style="dim"))


def print_actions(found: Sequence[Action], zone: str, now: datetime, console: Console | None = None) -> None:
    """Actions, those that are open first."""
    if not found:
        return
    console = console or screen()
    _section(console, "actions")
    for one in sorted(found, key=lambda action: (action.done_at is not None, action.id)):
        mark, style = ("✓", "green") if one.done_at is not None else ("○", "")
        due = f"  due {clock_time(one.due_at, zone, now)}" if one.due_at and one.done_at is None else ""
        owner = f"  {one.owner}" if one.owner else ""
        console.print(Text.assemble((f"  {mark} {one.id}  ", style), one_line(one.text), (owner + due, "dim")))


def clock_time(at: float | None, zone: str, now: datetime) -> str:
    """A moment in the book's time zone: the time alone where it is today."""
    if at is None:
        return ""
    there, today = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    return f"{there:%H:%M:%S}" if there.date() == today.date() else f"{there:%Y-%m-%d %H:%M}"


def _clocks(clocks: Sequence[Clock]) -> Text:
    told = Text()
    for clock in clocks:
        if clock.standing == "runs":
            words = f"{clock.name} in {show_duration(clock.left.total_seconds())}"
        elif clock.standing == "late":
            words = f"{clock.name} late by {show_duration(-clock.left.total_seconds())}"
        else:
            words = f"{clock.name} {clock.standing}"
        told.append(", " if told else "").append(words, CLOCK_STYLE[clock.standing])
    return told


def _table(*columns: str, folded: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number < len(columns) - folded, overflow="fold")
    return table


def _section(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="dim"))
