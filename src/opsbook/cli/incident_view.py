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

from opsbook.cli.terminal import hang, screen, show
from opsbook.cli.times import ago
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


def print_list(
    found: Sequence[tuple[Incident, tuple[Clock, ...]]], now: datetime, zone: str, *, everything: bool
) -> None:
    """The incidents, those that go on first: each with its most urgent clock, and its title below."""
    console = screen()
    if not found:
        console.print("there was none yet" if everything else "none is open; --all shows those that are over")
        return
    rows = [[Text(word, style="dim") for word in ("incident", "sev", "state", "for", "clock", "who")]]
    for one, clocks in found:
        lasts = ago((one.resolved_at or now.timestamp()) - one.opened_at)
        cells = (one.id, one.severity, Text(one.state, STYLE.get(one.state, "")), lasts, _clock(clocks), one.assignee)
        rows.append([cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in cells])
    widths = [max(row[column].cell_len for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = Text("  ").join(_filled(cell, width) for cell, width in zip(row, widths, strict=True))
        line.rstrip()
        # The last column alone is cut: what stands in the others is copied, or decides what is done first.
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)
        if number:
            hang(console, Text("  "), one_line(found[number - 1][0].title), most=2)


def _filled(cell: Text, width: int) -> Text:
    return Text.assemble(cell, " " * (width - cell.cell_len))


def print_incident(view: View, now: datetime, zone: str) -> None:
    """One incident in full."""
    console, one = screen(), view.incident
    head = Text.assemble((one.id, "bold"), "  ", (one.severity, "bold"), "  ", (one.state, STYLE.get(one.state, "")))
    console.print(head)
    hang(console, Text(), one_line(one.title), style="bold")
    facts = {
        "component": [one.component],
        "opened": [
            f"{clock_time(one.opened_at, zone, now)} by {one.opened_by}"
            + (f", reopened {_times(one.reopened)}" if one.reopened else "")
        ],
        "who": [one.assignee],
        "roles": [", ".join(f"{role}: {who}" for role, who in one.people.items())],
        "clocks": [clock.told for clock in view.clocks],
        "next page": [clock_time(view.next_page, zone, now) if view.next_page else ""],
        "update due": [clock_time(view.update_due, zone, now) if view.update_due else ""],
        "part of": [one.merged_into],
        "post-mortem": [one.postmortem],
    }
    for name, values in facts.items():
        for number, value in enumerate(value for value in values if value):
            hang(console, Text(f"  {'' if number else name:12}", style="dim"), one_line(value))
    _section(console, "alerts")
    for alert in view.alerts[:20]:
        state = alert["phase"] if alert["phase"] == "resolved" else alert["state"]
        told = ": ".join(part for part in (alert["title"], alert["sentence"]) if part)
        style = "green" if state == "resolved" else ""
        hang(console, Text(f"  {state:9} ", style=style), one_line(told), style=style)
    if len(view.alerts) > 20:
        console.print(Text(f"  … and {len(view.alerts) - 20} more", style="dim"))
    if not view.alerts:
        console.print(Text("  none: a person opened it", style="dim"))
    _timeline(console, view, zone, now)
    _messages(console, view, zone, now)
    _evidence(console, view)
    print_actions(view.actions, zone, now, console)
    if one.procedure and not one.over:
        console.print()
        _do(console, f"opsbook run {one.procedure}", "the procedure for this")
    if one.state in DO:
        command, why = DO[one.state]
        _do(console, command.format(id=one.id), why)


def _timeline(console: Console, view: View, zone: str, now: datetime) -> None:
    _section(console, "timeline")
    times = [clock_time(event.at, zone, now) for event in view.events]
    width = max(map(len, times), default=0)
    for event, at in zip(view.events, times, strict=True):
        lines = lines_of(event.text) or [""]
        for number, line in enumerate(lines):
            last = number == len(lines) - 1
            lead = Text(f"  {'' if number else at:{width}}  ", style="dim")
            hang(console, lead, line, one_line(event.actor) if last else "")


def _do(console: Console, command: str, why: str) -> None:
    hang(console, Text("  → "), command, why, style="bold")


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
        words = (Text(one_line(word)) for word in (at, one.kind, one.target, one.channel))
        table.add_row(*words, Text(one.state, style=style), Text(one_line(more)))
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
        hang(console, Text(f"  {one.name:32} "), one_line(told), style="red" if one.error else "dim")
    console.print(Text(f"  opsbook incident evidence {view.incident.id} shows it", style="dim"))


def print_actions(found: Sequence[Action], zone: str, now: datetime, console: Console | None = None) -> None:
    """Actions, those that are open first. `console`: within the view of their incident; else each names its own."""
    if not found:
        return
    listed = console is None
    console = console or screen()
    if not listed:
        _section(console, "actions")
    digits = max(len(str(one.id)) for one in found)
    for one in sorted(found, key=lambda action: (action.done_at is not None, action.id)):
        mark, style = ("✓", "green") if one.done_at is not None else ("○", "")
        late = one.due_at is not None and one.done_at is None and one.due_at < now.timestamp()
        due = f"{'late, ' if late else ''}due {clock_time(one.due_at, zone, now)}"
        facts = [one.incident if listed else "", one_line(one.owner), due if one.due_at and one.done_at is None else ""]
        lead = Text(f"  {mark} {one.id:{digits}}  ", style=style)
        hang(console, lead, one_line(one.text), "  ".join(fact for fact in facts if fact))


def clock_time(at: float | None, zone: str, now: datetime) -> str:
    """A moment in the book's time zone: the time alone where it is today."""
    if at is None:
        return ""
    there, today = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    return f"{there:%H:%M:%S}" if there.date() == today.date() else f"{there:%Y-%m-%d %H:%M}"


def _clock(clocks: Sequence[Clock]) -> Text:
    """The one that hurries most: what is late longest, then what runs out first, then what was missed."""
    if not clocks:
        return Text()
    rank = {"late": 0, "runs": 1, "missed": 2, "kept": 3}
    clock = min(clocks, key=lambda one: (rank[one.standing], one.left))
    lasts = ago(abs(clock.left.total_seconds()))
    words = {"runs": f"{clock.name} in {lasts}", "late": f"{clock.name} late {lasts}"}
    return Text(words.get(clock.standing, f"{clock.name} {clock.standing}"), CLOCK_STYLE[clock.standing])


def _table(*columns: str, folded: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number < len(columns) - folded, overflow="fold")
    return table


def _section(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="dim"))
