"""A run on the terminal: its steps with their times and the end of its output, live; elsewhere plain lines."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from opsbook.engine.states import RunState, StepState
from opsbook.engine.views import state_told
from opsbook.printable import one_line
from opsbook.store.runs import last_output, output_of

if TYPE_CHECKING:
    from opsbook.engine.setting import Setting
    from opsbook.engine.views import View

MARK = {
    "": ("·", "dim"),
    StepState.RUNNING: ("▸", "cyan"),
    StepState.WAITING: ("?", "yellow"),
    StepState.DONE: ("✔", "green"),
    StepState.SKIPPED: ("-", "dim"),
    StepState.FAILED: ("✘", "red"),
    StepState.CANCELLED: ("✘", "yellow"),
    StepState.AMBIGUOUS: ("?", "magenta"),
    StepState.UNDONE: ("↶", "yellow"),
}
INTERRUPTED = ("‖", "yellow")
"""Of a step that was begun, and that no process goes on with."""
RUN_STYLE = {
    RunState.DONE: "bold green",
    RunState.FAILED: "bold red",
    RunState.AMBIGUOUS: "bold magenta",
    RunState.APPROVAL: "bold yellow",
    RunState.PERSON: "bold yellow",
    RunState.QUEUED: "bold yellow",
    RunState.UNDONE: "bold yellow",
    RunState.CANCELLED: "bold yellow",
    RunState.REFUSED: "bold red",
}
TAIL_LINES = 8
REFRESH_SECONDS = 0.2


class RunView:
    """Shows a run while it goes on. Use as a context manager; call it with each look at the run."""

    def __init__(self, setting: Setting, quiet_until_now: str = "") -> None:
        self.setting = setting
        self.screen = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._states: dict[str, str] = {}
        self._shown_state = ""
        self._after = last_output(setting.store, quiet_until_now) if quiet_until_now else 0
        self._tail: list[str] = []
        self._drawn = 0.0

    def __enter__(self) -> RunView:
        if self.screen.is_terminal:
            self._live = Live(console=self.screen, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, text: str) -> None:
        """A sentence between."""
        self.screen.print(Text(f"opsbook: {text}", style="dim"))

    def __call__(self, view: View) -> None:
        if self._live is None:
            self._lines(view)
        elif time.monotonic() - self._drawn >= REFRESH_SECONDS:
            self._drawn = time.monotonic()
            self._read_output(view.run.id)
            tail = [Text(f"    {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in self._tail]
            self._live.update(Group(steps_table(view), *tail), refresh=True)

    def _lines(self, view: View) -> None:
        """Each change of state once, and the output as it comes."""
        for text in self._new_output(view.run.id):
            self.screen.out(text, end="", highlight=False)
        for step in view.procedure.steps:
            row = view.steps.get(step.id)
            if row and self._states.get(step.id) != row.state:
                self._states[step.id] = row.state
                told = f": {one_line(row.message)}" if row.message else ""
                # The step's own time: whoever follows a run that went on for hours is told when it was.
                at = row.ended_at or row.started_at or time.time()
                self.screen.print(Text(f"{_clock(at)} {step.id} {row.state}{told}"), soft_wrap=True)
        if view.run.state != self._shown_state:
            begun = (view.run.started_at or view.run.requested_at) if not self._shown_state else time.time()
            self._shown_state = view.run.state
            told = f": {one_line(view.run.message)}" if view.run.message else ""
            when = _clock(view.run.ended_at or begun)
            self.screen.print(Text(f"{when} run {view.run.id} {view.run.state}{told}"), soft_wrap=True)

    def _read_output(self, run: str) -> None:
        for text in self._new_output(run):
            self._tail = [*self._tail, *text.splitlines()][-TAIL_LINES:]

    def _new_output(self, run: str) -> list[str]:
        rows = output_of(self.setting.store, run, after=self._after, limit=200)
        if rows:
            self._after = rows[-1].id
        return [printable(row.text) for row in rows]


def steps_table(view: View, *, executed: bool = True) -> RenderableType:
    """The steps of a run, one a line. `executed`: whether a process goes on with it."""
    from opsbook.engine.parameters import names_of_parameters
    from opsbook.engine.waiting import told_with  # all of the engine: a list of runs needs none of it

    lines: list[Text] = [headline(view, executed=executed)]
    now = time.time()
    names = names_of_parameters(view.procedure, json.loads(view.run.parameters))
    for step in view.procedure.steps:
        row = view.steps.get(step.id)
        mark, style = MARK[StepState(row.state) if row else ""]
        spent = ""
        if row and row.state == StepState.RUNNING and not executed:
            (mark, style), spent = INTERRUPTED, "interrupted"
        elif row and row.started_at:
            spent = duration((row.ended_at or now) - row.started_at)
        title = one_line(told_with(step.title, names) or step.id)
        line = Text.assemble((f"  {mark} ", style), (title, "" if row else "dim"), (f"  {spent}", "dim"))
        if row and row.message:
            line.append(f"  {one_line(row.message)}", style=style)
        lines.append(line)
    return Group(*lines)


def headline(view: View, *, executed: bool = True) -> Text:
    """The run in one line."""
    run = view.run
    style, told = RUN_STYLE.get(view.state, "bold cyan"), state_told(run)
    if not executed and view.state in (RunState.RUNNING, RunState.UNDOING):
        style, told = "bold yellow", f"{told}, interrupted"
    return Text.assemble((one_line(run.title), "bold"), f" — {run.environment}, run {run.id}: ", (told, style))


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def moment(at: float | None) -> str:
    """A time of day for people, in their own zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def printable(text: str) -> str:
    """Output without what would steer the terminal."""
    return "".join(one for one in text if one in "\n\t" or one.isprintable())


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")
