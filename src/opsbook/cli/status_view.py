"""The screen of the night: what must be known first stands first, and it fits a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from opsbook.checks.evaluate import State
from opsbook.cli.terminal import wrapped
from opsbook.cli.times import ago
from opsbook.engine.states import RunState
from opsbook.engine.views import state_told
from opsbook.printable import one_line

if TYPE_CHECKING:
    from opsbook.engine.locks import Held
    from opsbook.store.silences import Silence
    from opsbook.watch.status import Bad, Status

STATE_STYLE = {State.CRITICAL: "bold red", State.UNKNOWN: "bold magenta", State.WARNING: "yellow", State.OK: "green"}
CLOCK_STYLE = {"late": "bold red", "missed": "red", "kept": "green", "runs": ""}
MOST = 12
"""Lines of one kind that are shown; `--format json` has all."""
WIDEST = 110
"""A wider terminal shows no wider lines: eyes lose them."""
LINES = 4
"""Lines of one text; who wants more of it looks at the thing itself."""
WORD = 9
"""Columns of the first word of a line."""


class Page:
    """Lines of two columns: a word, and what is said; a second line of the same stands below it, dim."""

    def __init__(self, console: Console, now: datetime, zone: str) -> None:
        self.console, self.now, self.zone = console, now, ZoneInfo(zone)
        self.width = min(console.width, WIDEST)

    def head(self, title: str, told: str = "", style: str = "bold") -> None:
        self.console.print()
        self.console.print(Text.assemble((title, style), (f"  {told}" if told else "", "dim")))

    def line(self, word: str, style: str, told: str, right: str = "") -> None:
        """A line; `right` stands at its end where there is room, and never goes lost."""
        room = self.width - WORD - 4 - (len(right) + 2 if right else 0)
        text, tail = self._cut(one_line(told), room)
        beside = f"  {right}" if right else ""
        pad = " " * max(0, room - cell_len(text)) if right else ""
        self.console.print(Text.assemble("  ", (f"{word:<{WORD}}  ", style), text, pad, (beside, "dim")))
        for more in tail:
            self.below(more)

    def below(self, told: str, style: str = "dim") -> None:
        """Lines below a line, under its second column."""
        text, tail = self._cut(one_line(told), self.width - WORD - 4)
        for one in (text, *tail):
            self.console.print(Text(" " * (WORD + 4) + one, style=style), soft_wrap=True)

    def since(self, at: datetime | float | None) -> str:
        """How long ago."""
        if at is None:
            return "never"
        moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
        return ago((self.now - moment).total_seconds())

    def clock(self, at: datetime | float) -> str:
        """`02:00`, with its day where that is not today."""
        moment = (at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)).astimezone(self.zone)
        today = self.now.astimezone(self.zone).date()
        return f"{moment:%H:%M}" if moment.date() == today else f"{moment:%a %m-%d %H:%M}"

    def more(self, left: int) -> None:
        if left > 0:
            self.below(f"… and {left} more: opsbook status --format json")

    def _cut(self, told: str, room: int) -> tuple[str, list[str]]:
        lines = wrapped(told, room, LINES)
        return lines[0], lines[1:]


def print_status(console: Console, found: Status, held: dict[str, list[Held]]) -> None:
    """All of it, the most urgent first."""
    page = Page(console, found.at, str(found.system.model.timezone))
    _title(page, found)
    _bad(page, [one for one in found.bad if not one.silence], found)
    _incidents(page, found)
    _runs(page, found, held)
    _planned(page, found)
    _changed(page, found)
    _people(page, found)
    _recovery(page, found)


def _title(page: Page, found: Status) -> None:
    model, local = found.system.model, found.at.astimezone(page.zone)
    name = f"{model.title or model.system} · {found.system.name}"
    right = f"{local:%a %Y-%m-%d %H:%M} {page.zone.key}"
    name = one_line(name)
    gap = page.width - cell_len(name) - len(right)
    page.console.print(Text.assemble((name, "bold"), " " * gap if gap > 1 else "\n", (right, "dim")))
    watched = found.watched
    newest = f"newest result {page.since(watched.newest)} old" if watched.newest else "nothing was ever measured"
    if watched.lives:
        page.console.print(Text(f"watched by {watched.by}; {newest}", style="dim"))
    elif watched.by:
        page.console.print(Text(f"runs are executed by {watched.by}, but nothing is watched: {newest}", style="yellow"))
    else:
        page.console.print(Text(f"NOT WATCHED: no `opsbook serve` runs here; {newest}", style="bold yellow"))
        page.console.print(Text("what follows is what was stored last; what is so now: opsbook check", style="yellow"))


def _bad(page: Page, loud: Sequence[Bad], found: Status) -> None:
    roots, also = _once([one for one in loud if not one.cause])
    if not roots:
        quiet = sum(1 for one in found.bad if one.silence)
        told = f", {quiet} silenced" if quiet else ""
        told += f", {len(found.unseen)} not measured" if found.unseen else ""
        word = "nothing fires" if found.watched.lives else "nothing bad is stored"
        sure = found.watched.lives and not found.unseen
        page.head(f"{word}{told}", style="green" if sure else "yellow" if found.watched.lives else "dim")
        _not_measured(page, found)
        return
    silent = sum(1 for one in found.bad if one.silence)
    much = f"{len(roots)}{f', and {silent} that a silence hides' if silent else ''}"
    page.head("FIRES" if found.watched.lives else "LAST SEEN BAD", much, "bold red")
    for one in roots[:MOST]:
        value = f" ({one.shown})" if one.shown and one.shown not in one.sentence else ""
        page.line(str(one.state), STATE_STYLE[one.state], f"{one.title}{value}", page.since(one.since))
        page.below(one.sentence, "")
        explained = [each.title for each in loud if each.cause == one.title]
        who = f"{one.who} has it" if one.who else "nobody has it" if one.incident else ""
        facts = [
            f"of {one.component}" if one.component else "",
            "goes to and fro" if one.flapping else "",
            who,
            f"{', '.join(also[one.check])} says so too" if also.get(one.check) else "",
            f"explains {len(explained)} more: {', '.join(explained[:3])}" if explained else "",
        ]
        if words := "; ".join(fact for fact in facts if fact):
            page.below(words)
        if one.suggestion:
            page.below(f"→ {one.suggestion}", "cyan")
    page.more(len(roots) - MOST)
    _not_measured(page, found)


def _once(roots: Sequence[Bad]) -> tuple[list[Bad], dict[str, list[str]]]:
    """What is bad, each check once, the worst first; and for a check who else says the same of it."""
    kept: list[Bad] = []
    also: dict[str, list[str]] = {}
    for one in roots:
        if one.check and one.check in {each.check for each in kept}:
            also.setdefault(one.check, []).append(one.source)
        else:
            kept.append(one)
    return kept, also


def _not_measured(page: Page, found: Status) -> None:
    """What nothing is known of now: silence of these is no good news."""
    if found.unseen:
        more = f" and {len(found.unseen) - MOST} more" if len(found.unseen) > MOST else ""
        page.below(f"no result lately: {', '.join(found.unseen[:MOST])}{more}", "yellow")
    if found.slow:
        page.below(f"does not answer in time, and is asked less often: {', '.join(found.slow[:MOST])}", "yellow")


def _incidents(page: Page, found: Status) -> None:
    if not found.incidents:
        return
    page.head("INCIDENTS", f"{len(found.incidents)} open")
    for one, clocks in found.incidents[:MOST]:
        style = "bold red" if one.acknowledged_at is None else "yellow"
        page.line(one.severity or "–", style, one.title, f"{one.id} {page.since(one.opened_at)}")
        who = one.assignee or one.acknowledged_by
        page.below(f"{one.state}{f', {who}' if who else ''}")
        for clock in clocks:
            page.below(clock.told, CLOCK_STYLE.get(clock.standing, "") or "dim")
        if one.acknowledged_at is None:
            page.below(f"→ opsbook incident ack {one.id}", "cyan")
    page.more(len(found.incidents) - MOST)


def _runs(page: Page, found: Status, held: dict[str, list[Held]]) -> None:
    if not found.going:
        return
    page.head("RUNS NOW", str(len(found.going)))
    for run in found.going[:MOST]:
        state = RunState(run.state)
        style = "bold red" if state is RunState.AMBIGUOUS else "bold yellow" if state.parked else "bold cyan"
        since = run.started_at or run.requested_at
        if cut_off := found.interrupted(run):
            style = "bold red"
        word = "cut off" if cut_off else "waits" if state.parked or not found.watched.by else "runs"
        told = f"{run.procedure}: {run.state}{', interrupted' if cut_off else ''}"
        page.line(word, style, told, page.since(since))
        keeps = "holds " + ", ".join(one.path for one in held[run.id]) if run.id in held else ""
        page.below("; ".join(part for part in (f"{run.id} by {run.requester}", run.message, keeps) if part))
        if state is RunState.APPROVAL:
            page.below(f"→ opsbook approve {run.id}", "cyan")
        elif state.parked:
            page.below(f"→ opsbook runs show {run.id}", "cyan")
        elif not found.watched.by:
            page.below("its process is gone, and nobody goes on with it" if cut_off else "nobody executes it", "yellow")
            page.below(f"→ opsbook runs follow {run.id}", "cyan")
    page.more(len(found.going) - MOST)


def _planned(page: Page, found: Status) -> None:
    going = [one for one in found.windows if one.state in ("open", "overrun")]
    coming = [one for one in found.windows if one not in going][:2]
    own = [one for one in found.silences if not (going and one.origin.startswith("window:"))]
    if not (going or coming or own):
        return
    page.head("PLANNED")
    for one in going:
        style = "bold red" if one.state == "overrun" else "bold yellow"
        affects = ", ".join(one.components) or "everything"
        page.line("window", style, f"{one.title}, affects {affects}", f"until {page.clock(one.until)}")
        held = [each for each in found.silences if each.origin.startswith(f"window:{one.window}/")]
        told = [one.state == "overrun" and "beyond its end", one.note, _hidden(found, held)]
        if words := "; ".join(str(part) for part in told if part):
            page.below(words)
    for silence in own[:MOST]:
        covers = "everything" if "*" in silence.components else ", ".join([*silence.components, *silence.checks])
        hidden = _hidden(found, [silence])
        page.line("silence", "yellow" if hidden else "", covers, f"until {page.clock(silence.until)}")
        page.below(f"{silence.reason}{f'; {hidden}' if hidden else ''}")
    for one in coming:
        page.line("next", "dim", one.title, page.clock(one.start))


def _hidden(found: Status, held: Sequence[Silence]) -> str:
    """What is bad, and nobody is told of; empty where all that these silences cover is well."""
    ids = {one.id for one in held}
    bad = [f"{one.title} ({one.state})" for one in found.bad if one.silence in ids]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"hides {', '.join(bad[:3])}{more}" if bad else ""


def _changed(page: Page, found: Status) -> None:
    if not found.ended:
        page.head("CHANGED", "nothing in the last 12 h", "dim")
        return
    page.head("CHANGED", "runs that ended in the last 12 h")
    kept = [run for run in found.ended if not run.rehearsal]
    for run in kept[:MOST]:
        good = run.state == RunState.DONE
        page.line(state_told(run), "green" if good else "bold red", f"{run.procedure} by {run.requester}",
                  f"{page.since(run.ended_at)} ago")  # fmt: skip
        if not good and run.message:
            page.below(f"{run.message} → opsbook runs show {run.id}")
    page.more(len(kept) - MOST)
    if rehearsed := len(found.ended) - len(kept):
        page.below(f"and {rehearsed} runs of rehearsals")


def _people(page: Page, found: Status) -> None:
    late = [one for one in found.checklists if one.late(found.at.timestamp())]
    if not (found.on_call or found.checklists):
        return
    page.head("PEOPLE")
    for one in found.on_call:
        who = found.system.model.contacts.get(one.who)
        name = (who.name if who else "") or one.who or "nobody"
        reach = who.phone or who.email if who else ""
        told = f"{one.rotation}: {name}{f', {reach}' if reach else ''}"
        page.line("on call", "" if one.who else "bold red", told, f"until {page.clock(one.until)}")
    for checklist in late or found.checklists[:3]:
        told = f"{checklist.title}: {checklist.ticked} of {len(checklist.items)} ticked"
        page.line("checklist", "bold yellow" if checklist in late else "", told, "late" if checklist in late else "")


def _recovery(page: Page, found: Status) -> None:
    if not (found.backups or found.promises):
        return
    page.head("RECOVERY")
    for one in found.backups:
        style = "bold red" if one.failed_since else "yellow" if one.at is None else "green"
        age = f"{page.since(one.at)} old" if one.at else "none was taken by a run"
        page.line("backup", style, f"{one.backup} of {one.component}", age)
        if one.failed_since:
            page.below(f"a later one failed → opsbook runs show {one.failed_since}")
    for each in found.promises:
        style = {"proven": "green", "missed": "bold red"}.get(str(each.standing), "yellow")
        drilled = f"drilled {page.since(each.last.at)} ago" if each.last else "never drilled"
        page.line(str(each.standing), style, f"{each.name}: {_figures(each.promises)}", drilled)


def _figures(promises: Iterable[object]) -> str:
    from opsbook.recovery.objectives import Promise, clock

    return ", ".join(f"{one.figure.upper()} {clock(one.target)}" for one in promises if isinstance(one, Promise))
