"""How a sweep looks in a terminal: by component, worst first, the cause before what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.book.units import show
from opsbook.checks.evaluate import Result, State
from opsbook.checks.formats import by_component, worst_first
from opsbook.checks.sweep import Sweep
from opsbook.cli.terminal import screen
from opsbook.cli.terminal import show as show_view
from opsbook.observations.registry import observations
from opsbook.store.history import Point

MARK = {State.OK: "✓", State.WARNING: "!", State.CRITICAL: "✗", State.UNKNOWN: "?"}
STYLE = {State.OK: "green", State.WARNING: "yellow", State.CRITICAL: "bold red", State.UNKNOWN: "magenta"}
BARS = "▁▂▃▄▅▆▇█"
GAP = 2
"""Spaces between columns."""
MARGIN = 2
"""Mark and space before a check; what goes on below its line stands under its name."""
LEAST_TITLE = 12
"""Columns below which a title says nothing."""
FEW = 6
"""Consequences that are named; `--all` names every one."""


def print_sweep(system: System, sweep: Sweep, everything: bool) -> None:
    """To standard output, as wide as it is."""
    console = screen()
    show_view(console, sweep_view(system, sweep, everything, console.width))


def sweep_view(system: System, sweep: Sweep, everything: bool, width: int) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_table(sweep, everything, width)]
    causes = [r for r in worst_first(sweep.results) if r.state is not State.OK and r.cause is None]
    if causes:
        parts += [Text(), *(_cause(system, result, sweep, everything) for result in causes)]
    return Group(*parts, Text(), _summary(system, sweep))


def _table(sweep: Sweep, everything: bool, width: int) -> Table:
    groups = [
        (component, [result for result in results if everything or result.cause is None])
        for component, results in by_component(sweep).items()
    ]
    limited, titled = _room([result for _, results in groups for result in results], width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("check", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    if limited:
        table.add_column("warning", no_wrap=True)
        table.add_column("critical", no_wrap=True)
    if titled:
        table.add_column("what", style="dim", no_wrap=True, overflow="ellipsis", max_width=titled)
    for component, results in groups:
        if results:
            table.add_row("", Text(component, style="bold"))
        for result in results:
            table.add_row(*_row(result, limited, titled))
    return table


def _row(result: Result, limited: bool, titled: int) -> list[Text]:
    loud = "" if result.state is State.OK else STYLE[result.state]
    cells = [
        Text(MARK[result.state], style=STYLE[result.state]),
        Text("  " + result.check.id, style=loud),
        Text(result.shown, style=loud),
    ]
    if limited:
        for limit in (result.warning, result.critical):
            # The threshold that it met stands out among those that it did not.
            met = limit is not None and limit is result.threshold
            cells.append(Text(str(limit or ""), style=loud if met else "dim"))
    if titled:
        cells.append(Text(f"follows from {result.cause}" if result.cause else result.check.title))
    return cells


def _room(results: Sequence[Result], width: int) -> tuple[bool, int]:
    """Whether there is room for the thresholds, and the columns left for a title. Ids and values never give way."""
    columns = {
        "check": ["  " + result.check.id for result in results],
        "value": [result.shown for result in results],
        "warning": [str(result.warning or "") for result in results],
        "critical": [str(result.critical or "") for result in results],
    }
    taken = 1 + GAP + sum(max(map(cell_len, [head, *cells])) + GAP for head, cells in columns.items())
    left = width - taken
    return left >= -GAP, left if left >= LEAST_TITLE else 0


def _cause(system: System, result: Result, sweep: Sweep, everything: bool) -> RenderableType:
    """What is wrong, what follows from it, and what to run; indented, so that the next mark is easy to find."""
    head = Text.assemble((result.check.id, f"bold {STYLE[result.state]}"))
    if result.check.title:
        head.append(f"  {result.check.title}", style="bold")
    lines = [head.append(f" — {result.sentence}")]
    if followers := [r.check.id for r in sweep.results if r.cause == result.check.id]:
        named = followers if everything else followers[:FEW]
        left = len(followers) - len(named)
        names = ", ".join(named) + (f" and {left} more" if left else "")
        follow = "follows from it" if len(followers) == 1 else "follow from it"
        lines.append(Text(f"{len(followers)} {follow}: {names}", style="dim"))
    procedure = result.check.procedure
    if procedure and system.has_procedure(procedure):
        lines.append(Text(f"→ opsbook run {procedure}", style="cyan"))
    table = Table.grid(padding=(0, MARGIN - 1, 0, 0))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    table.add_row(Text(MARK[result.state], style=STYLE[result.state]), Group(*lines))
    return table


def _summary(system: System, sweep: Sweep) -> RenderableType:
    counts = [(f"{count} {state}", STYLE[state]) for state, count in sweep.totals().items() if count]
    text = Text()
    for n, (words, style) in enumerate(counts):
        text.append((" · " if n else "") + words, style=style)
    title = system.model.title or sweep.system
    checks = "check" if len(sweep.results) == 1 else "checks"
    text.append(
        f" of {len(sweep.results)} {checks} in {sweep.seconds:.2f} s — {title}, {sweep.environment}", style="dim"
    )
    return text


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
    console = screen()
    spec = observations()[check.observe].spec
    if not points:
        console.print(f"{check.id}: nothing stored yet in {system.name}; `opsbook check` keeps every result")
        return
    width = max(10, console.width - 4)
    recent = points[-width:]
    known = [point.value for point in recent if point.value is not None]
    console.print(
        f"[bold]{escape(check.id)}[/bold] {spec.name} of {check.of}, {len(points)} results since {_when(points[0].at)}"
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
