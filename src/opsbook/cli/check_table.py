"""How a sweep looks in a terminal: by component, worst first, the cause before what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.book.units import show
from opsbook.checks.evaluate import Result, State
from opsbook.checks.formats import by_component, worst_first
from opsbook.checks.sweep import Sweep
from opsbook.observations.registry import observations
from opsbook.store.history import Point

MARK = {State.OK: "✓", State.WARNING: "!", State.CRITICAL: "✗", State.UNKNOWN: "?"}
STYLE = {State.OK: "green", State.WARNING: "yellow", State.CRITICAL: "bold red", State.UNKNOWN: "magenta"}
BARS = "▁▂▃▄▅▆▇█"
NARROW = 100
"""Below this width the thresholds give way, so that the values stay on one line."""


def print_sweep(system: System, sweep: Sweep, everything: bool) -> None:
    """To standard output, as wide as it is."""
    console = Console(highlight=False)
    console.print(sweep_view(system, sweep, everything, console.width))


def sweep_view(system: System, sweep: Sweep, everything: bool, width: int) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_table(sweep, everything, width)]
    causes = [r for r in worst_first(sweep.results) if r.state is not State.OK and r.cause is None]
    parts += [_cause(result, sweep, everything) for result in causes]
    parts.append(_summary(system, sweep))
    return Group(*parts)


def _table(sweep: Sweep, everything: bool, width: int) -> Table:
    wide = width >= NARROW
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("check", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    if wide:
        table.add_column("warning", style="dim", no_wrap=True)
        table.add_column("critical", style="dim", no_wrap=True)
        table.add_column("what", style="dim", no_wrap=True, overflow="ellipsis")
    for component, results in by_component(sweep).items():
        shown = [result for result in results if everything or result.cause is None]
        if shown:
            table.add_row("", Text(component, style="bold"))
        for result in shown:
            mark = Text(MARK[result.state], style=STYLE[result.state])
            name = Text("  " + result.check.id, style="" if result.state is State.OK else STYLE[result.state])
            limits = [str(limit or "") for limit in (result.warning, result.critical)]
            what = f"follows from {result.cause}" if result.cause else result.check.title
            table.add_row(mark, name, Text(result.shown), *([Text(text) for text in (*limits, what)] if wide else []))
    return table


def _cause(result: Result, sweep: Sweep, everything: bool) -> RenderableType:
    what = result.check.title or result.spec.name
    mark = (f"{MARK[result.state]} {result.check.of}: ", STYLE[result.state])
    lines = [Text.assemble(mark, (what, "bold"), f" — {result.sentence}")]
    followers = [r.check.id for r in sweep.results if r.cause == result.check.id]
    if followers:
        names = ", ".join(followers if everything else followers[:6]) + (
            " …" if len(followers) > 6 and not everything else ""
        )
        count = len(followers)
        lines.append(
            Text(
                f"  {count} other{'s' if count > 1 else ''} follow{'' if count > 1 else 's'} from it: {names}",
                style="dim",
            )
        )
    if result.check.procedure:
        lines.append(Text(f"  → opsbook run {result.check.procedure}", style="cyan"))
    return Padding(Group(*lines), (1, 0, 0, 0))


def _summary(system: System, sweep: Sweep) -> RenderableType:
    counts = [(f"{count} {state}", STYLE[state]) for state, count in sweep.totals().items() if count]
    text = Text()
    for n, (words, style) in enumerate(counts):
        text.append((" · " if n else "") + words, style=style)
    title = system.model.title or sweep.system
    text.append(f" of {len(sweep.results)} checks in {sweep.seconds:.2f} s — {title}, {sweep.environment}", style="dim")
    return Padding(text, (1, 0, 0, 0))


def sparkline(values: list[float | None]) -> str:
    """One bar per value, scaled between the least and the greatest; a gap where there was none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(" " if value is None else BARS[int((value - low) / step)] for value in values)


def print_history(system: System, check: Check, points: list[Point]) -> None:
    """The values of a check as a line, and when its state changed."""
    console = Console(highlight=False)
    spec = observations()[check.observe].spec
    if not points:
        console.print(f"{check.id}: nothing stored yet in {system.name}; `opsbook check` keeps every result")
        return
    width = max(10, console.width - 4)
    recent = points[-width:]
    known = [point.value for point in recent if point.value is not None]
    console.print(
        f"[bold]{check.id}[/bold] {spec.name} of {check.of}, {len(points)} results since {_when(points[0].at)}"
    )
    console.print(f"  [cyan]{sparkline([point.value for point in recent])}[/cyan]")
    if known:
        figures = (("least", min(known)), ("greatest", max(known)), ("last", known[-1]))
        console.print("  " + ", ".join(f"{word} {show(value, spec.dimension)}" for word, value in figures))
    before = ""
    for point in points:
        if point.state != before:
            mark = Text(f"  {MARK[State(point.state)]} {_when(point.at)} ", style=STYLE[State(point.state)])
            console.print(mark.append(point.sentence, style="default"))
            before = point.state


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
