"""A report as a page, in the dress of the rendered manual: HTML with a print style, or Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from opsbook.book.units import show_duration
from opsbook.engine.states import RunState
from opsbook.manual.render.html import as_html as manual_as_html
from opsbook.manual.render.markdown import as_markdown as manual_as_markdown
from opsbook.manual.render.pieces import (
    Block,
    Code,
    Items,
    Line,
    Manual,
    Mark,
    Row,
    Section,
    Text,
    Tone,
    line,
    table,
)
from opsbook.printable import one_line
from opsbook.store.incidents import Incident
from opsbook.store.silences import EVERYTHING, Silence
from opsbook.watch.brought import with_versions
from opsbook.watch.clocks import Clock
from opsbook.watch.reports.facts import Checked, Facts, failed
from opsbook.watch.reports.spans import TITLE, Kind
from opsbook.watch.slos import Share

STATE_TONE: dict[str, Tone] = {
    "ok": "good", "done": "good", "kept": "good", "proven": "good", "warning": "care", "late": "bad", "missed": "bad",
    "unknown": "care", "critical": "bad", "failed": "bad", "unproven": "care", "open": "care", "refused": "care",
    "undone": "care", "runs": "care",
}  # fmt: skip
MOST = 60
"""Rows of one table; the JSON has all, and the page says so."""


def as_html(facts: Facts) -> str:
    """One file, nothing loaded from anywhere."""
    return manual_as_html(manual(facts))


def as_markdown(facts: Facts) -> str:
    """For a repository, a ticket or a mail."""
    return manual_as_markdown(manual(facts))


def manual(facts: Facts) -> Manual:
    """The page before it is HTML or Markdown."""
    model = facts.system.model
    title = f"{model.title or model.system}: {TITLE[facts.kind]}"
    lead = (
        Text(line(summary(facts))),
        Text(line(f"{facts.span.told(str(model.timezone))} in {facts.system.name}.")),
    )
    sections = tuple(section for make in SECTIONS[facts.kind] for section in make(facts))
    return Manual(title, lead, sections, flowing=True)


def summary(facts: Facts) -> str:
    """The report in a sentence or two."""
    bad = failed(facts)
    runs = _count(len(facts.changes), "run") + (f" ({bad} not well)" if bad else "")
    parts = [_count(len(facts.incidents), "incident"), _count(facts.alerts, "alert"), runs]
    broken = [one for one in facts.kept if one.level.budget_left is not None and one.level.budget_left < 0]
    if broken:
        parts.append(f"{_count(len(broken), 'promise')} of service missed")
    late = [one for one in facts.checklists if one.late(facts.span.end.timestamp())]
    if late:
        parts.append(f"{_count(len(late), 'checklist')} late")
    return ", ".join(parts) + "."


def _now(facts: Facts) -> Iterator[Section]:
    """What the next one takes over."""
    now = facts.now
    rows: list[Row] = []
    for bad in now.bad:
        if not bad.cause:
            hidden = " (silenced)" if bad.silence else ""
            rows.append((_mark(str(bad.state)), line(f"{_clean(bad.title)}{hidden}"), line(_clean(bad.sentence)),
                         line(_time(facts, bad.since)), line(bad.who)))  # fmt: skip
    blocks: list[Block] = [Text(line("Nobody watches: this is what was stored last."))] if not now.watched.lives else []
    blocks.append(table("What is bad now", "state | what | says | since | who has it", rows) if rows
                  else Text(line("Nothing fires.")))  # fmt: skip
    if now.unseen:
        names = ", ".join(now.unseen[:MOST]) + (" …" if len(now.unseen) > MOST else "")
        blocks.append(Text(line(f"Not measured lately, so that nothing is known of them: {names}.")))
    waiting = [line(Code(run.id), f" {run.procedure}: {run.state}, asked for by {run.requester}") for run in now.going]
    if waiting:
        blocks += [Text(line("Runs that go on or wait:")), Items(tuple(waiting))]
    if now.silences:
        told = [line(f"{_covered(one)} until {_time(facts, one.until)}: {_clean(one.reason)}") for one in now.silences]
        blocks += [Text(line("Silent:")), Items(tuple(told))]
    coming = [line(f"{_clean(one.title)}: {one.when} ({one.state})") for one in now.windows]
    if coming:
        blocks += [Text(line("Maintenance:")), Items(tuple(coming))]
    if now.on_call:
        rows = [(line(one.rotation), line(one.who or "nobody"), line(_time(facts, one.until))) for one in now.on_call]
        blocks.append(table("Who is on call", "rotation | who | until", rows))
    yield Section("To take over", tuple(blocks))


def _promises(facts: Facts) -> Iterator[Section]:
    if not facts.kept:
        return
    rows: list[Row] = []
    for one in facts.kept:
        left = one.level.budget_left
        stands = "unproven" if left is None else "missed" if left < 0 else "kept"
        rows.append((
            line(one.level.slo.title or one.level.slo.id), line(_percent(one.level.slo.target)),
            line(_share(one.share)),
            line(f"{_share(one.level.whole)} in {show_duration(one.level.slo.over.total_seconds())}"),
            line("" if left is None else "spent" if left < 0 else f"{left:.0%}"), _mark(stands),
        ))  # fmt: skip
    head = "service | promised | in this time | in the time of the promise | budget left | stands"
    note = Text(line("Times without a result count neither way; they are told with the checks."))
    yield Section("Availability against the promise", (table("Availability", head, rows), note))


def _incidents(facts: Facts) -> Iterator[Section]:
    if not facts.incidents:
        yield Section("Incidents", (Text(line("None.")),))
        return
    rows: list[Row] = [
        (
            line(Code(one.id)), line(_clean(one.title)), line(one.severity), line(_time(facts, one.opened_at)),
            line(_after(one, one.acknowledged_at)), line(_after(one, one.mitigated_at)),
            line(_after(one, one.resolved_at) or one.state), _clock_marks(clocks), line(one.assignee),
        )
        for one, clocks in facts.incidents[:MOST]
    ]  # fmt: skip
    head = (
        "incident | what | severity | opened | acknowledged after | mitigated after | resolved after | promises | who"
    )
    blocks: list[Block] = [table("Incidents", head, rows), *_cut(facts.incidents, "newest")]
    closed = [one.resolved_at - one.opened_at for one, _ in facts.incidents if one.resolved_at is not None]
    answered = [one.acknowledged_at - one.opened_at for one, _ in facts.incidents if one.acknowledged_at is not None]
    means = [f"mean time to {word}: {show_duration(sum(times) / len(times))}"
             for word, times in (("acknowledge", answered), ("resolve", closed)) if times]  # fmt: skip
    if means:
        blocks.append(Text(line(f"{'; '.join(means).capitalize()}.")))
    yield Section("Incidents", tuple(blocks))


def _checks(facts: Facts) -> Iterator[Section]:
    bad = [one for one in facts.checked if one.alerts or one.share.bad or one.share.unknown or not one.share.known]
    good = len(facts.checked) - len(bad)
    blocks: list[Block] = [Text(line(f"{good} of {len(facts.checked)} checks were ok all the time."))]
    if bad:
        worst = sorted(bad, key=lambda one: (one.share.ok if one.share.ok is not None else 2.0, one.id))
        rows: list[Row] = [
            (line(one.title), line(one.component), line(_share(one.share)), line(str(one.alerts or "")),
             line(_gap(one)))
            for one in worst[:MOST]
        ]  # fmt: skip
        blocks.append(table("Checks that were not always ok", "check | component | ok | fired | no data", rows))
        blocks += _cut(worst, "worst")
    yield Section("Checks", tuple(blocks))


def _changes(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = [
        (
            line(_time(facts, one.run.ended_at or 0)), line(with_versions(one.run.procedure, one.run.parameters)),
            line(Code(one.run.id)), line(one.run.requester + (" (glass broken)" if one.run.break_glass else "")),
            line(", ".join(one.approvers)),
            (*_mark(one.run.state), *line(f" {_clean(one.run.message)}" if one.run.state != RunState.DONE else "")),
        )
        for one in facts.changes[-MOST:]
    ]  # fmt: skip
    head = "ended | procedure | run | asked for by | approved by | outcome"
    blocks: list[Block] = [table("Runs", head, rows) if rows else Text(line("No run ended in this time."))]
    blocks += _cut(facts.changes, "newest")
    if facts.revisions:
        told = [line(f"{_time(facts, at)}: the book became ", Code(revision[:12])) for at, revision in facts.revisions]
        blocks += [Text(line("Configuration:")), Items(tuple(told))]
    windows: list[Row] = [
        (line(_clean(one.title)), line(_time(facts, one.start)),
         line(_time(facts, one.closed_at) if one.closed_at else ""), line(one.state), line(_clean(one.note)))
        for one in facts.windows
    ]  # fmt: skip
    if windows:
        blocks.append(table("Windows", "window | began | closed | state | note", windows))
    made: list[Row] = [
        (line(_covered(one)), line(_time(facts, one.start)), line(_time(facts, one.end)),
         line(_clean(one.reason)), line(one.author))
        for one in facts.silences
    ]  # fmt: skip
    if made:
        blocks.append(table("Silences", "silenced | from | until | why | by", made))
    yield Section("Changes", tuple(blocks))


def _recovery(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = []
    for one in facts.now.backups:
        mine = [each.run for each in facts.changes if each.run.procedure == f"backup-{one.backup}"]
        bad = sum(1 for run in mine if run.state != RunState.DONE)
        rows.append((line(one.backup), line(one.component), line(_time(facts, one.at) if one.at else "never by a run"),
                     line(f"{len(mine) - bad} good, {bad} failed")))  # fmt: skip
    blocks: list[Block] = []
    if rows:
        blocks.append(table("Backups", "backup | of | last good one | in this time", rows))
    promised: list[Row] = [
        (line(one.name), _mark(str(one.standing)), line(_time(facts, one.last.at) if one.last else "never"),
         line("; ".join(dict.fromkeys(each.why for each in one.promises if each.standing != "proven"))))
        for one in facts.now.promises
    ]  # fmt: skip
    if promised:
        blocks.append(table("Promises about recovery", "objective | stands | last drill | why", promised))
    if facts.drills:
        drilled: list[Row] = [
            (line(_time(facts, row.at)), line(row.objective), line(Code(row.run)),
             line(show_duration(row.rto_seconds) if row.rto_seconds is not None else ""),
             _mark("done" if row.good else "failed"))
            for row in facts.drills
        ]  # fmt: skip
        blocks.append(table("Drills", "drill | objective | run | RTO | outcome", drilled))
    yield Section("Backups and drills", tuple(blocks) or (Text(line("The book has no backups.")),))


def _certificates(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = [
        (line(one.title), line(one.component),
         line("" if one.seconds_left is None else show_duration(one.seconds_left)), line(_clean(one.sentence)),
         line(_time(facts, one.at)))
        for one in facts.certificates
    ]  # fmt: skip
    if rows:
        head = "certificate | component | left | says | seen"
        yield Section("Certificates", (table("Certificates", head, rows),))


def _capacity(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = [
        (line(one.capacity.id), line(one.check.of), _mark(str(one.state(facts.span.end))),
         line(one.sentence(facts.span.end)))
        for one in facts.growing
    ]  # fmt: skip
    if rows:
        yield Section("Capacity", (table("What fills up", "what | component | state | outlook", rows),))


def _checklists(facts: Facts) -> Iterator[Section]:
    if not facts.checklists:
        return
    end = facts.span.end.timestamp()
    rows: list[Row] = []
    for one in facts.checklists[-MOST:]:
        stands = "done" if one.done_at is not None else "late" if one.late(end) else "open"
        lacks = "; ".join(item.text for item in one.missing)
        who = ", ".join(dict.fromkeys(item.by for item in one.items if item.by))
        rows.append((line(one.title), line(_time(facts, one.opened_at)), _mark(stands),
                     line(f"{one.ticked} of {len(one.items)}"), line(who), line(lacks)))  # fmt: skip
    made = table("Checklists", "list | opened | stands | ticked | by | missing", rows)
    yield Section("Checklists", (made, *_cut(facts.checklists, "newest")))


def _actions(facts: Facts) -> Iterator[Section]:
    if not facts.actions:
        yield Section("Open actions", (Text(line("None.")),))
        return
    end = facts.span.end.timestamp()
    rows: list[Row] = [
        (line(_clean(one.text)), line(one.owner), line(Code(one.incident)), line(_time(facts, one.made_at)),
         _mark("late") if one.due_at is not None and one.due_at < end else
         line(_time(facts, one.due_at) if one.due_at is not None else ""))
        for one in facts.actions[:MOST]
    ]  # fmt: skip
    made = table("Open actions", "action | owner | of | made | due", rows)
    yield Section("Open actions", (made, *_cut(facts.actions, "first")))


def _access(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = [(line(role), line(", ".join(names) or "nobody by name")) for role, names in facts.roles]
    every = facts.system.model.access.everybody
    if every is not None:
        rows.append((line("everybody else"), line(every)))
    elif not any(names for _, names in facts.roles):
        rows = [(line("everybody"), line("may do everything: the book gives nobody a role"))]
    blocks: list[Block] = [table("Roles of the book", "role | who", rows)]
    held: list[Row] = [
        (line(one.name), line(one.owner), line(one.role), line(_time(facts, one.made_at)),
         line(_time(facts, one.expires_at)), line(_time(facts, one.used_at) if one.used_at else "never used"))
        for one in facts.tokens
    ]  # fmt: skip
    if held:
        blocks.append(table("Tokens that let somebody in", "token | owner | role | made | expires | used", held))
    yield Section("Access", tuple(blocks))


def _audit(facts: Facts) -> Iterator[Section]:
    rows: list[Row] = [(line(actor), line(event), line(f"{count:,}")) for actor, event, count in facts.acts]
    blocks: list[Block] = [Text(line(f"The audit chain: {facts.chain}."))]
    if rows:
        blocks.append(table("Acts", "who | did | times", rows))
    yield Section("Acts", tuple(blocks))


SECTIONS: dict[Kind, tuple[Callable[[Facts], Iterator[Section]], ...]] = {
    "handover": (_now, _incidents, _changes, _checklists, _recovery),
    "daily": (_now, _promises, _incidents, _checks, _changes, _recovery, _certificates, _checklists),
    "weekly": (
        _promises, _incidents, _checks, _changes, _recovery, _certificates, _capacity, _checklists, _actions,
    ),
    "monthly": (
        _promises, _incidents, _checks, _changes, _recovery, _certificates, _capacity, _checklists, _actions, _access,
    ),
    "audit": (_audit, _changes, _access),
}  # fmt: skip
"""Kind → what it tells, in its order."""


def _cut(found: Sized, which: str) -> Iterator[Block]:
    """What is said below a table that has not all of it."""
    if len(found) > MOST:
        yield Text(line(f"These are the {which} {MOST} of {len(found):,}; the report as JSON has all of them."))


def _clock_marks(found: tuple[Clock, ...]) -> Line:
    marks: list[Mark | str] = []
    for clock in found:
        marks += [" "] if marks else []
        marks.append(Mark(f"{clock.name} {clock.standing}", STATE_TONE.get(clock.standing, "plain")))
    return tuple(marks)


def _covered(one: Silence) -> str:
    return "everything" if EVERYTHING in one.components else ", ".join([*one.components, *one.checks])


def _mark(state: str) -> Line:
    return (Mark(state, STATE_TONE.get(state, "quiet")),)


def _after(one: Incident, moment: float | None) -> str:
    return "" if moment is None else show_duration(max(0.0, moment - one.opened_at))


def _gap(one: Checked) -> str:
    if not one.share.known:
        return "all of it"
    return f"{one.share.unknown:,} results" if one.share.unknown else ""


def _share(found: Share) -> str:
    return "no data" if found.ok is None else _percent(found.ok)


def _percent(share: float) -> str:
    return "100 %" if share == 1 else f"{min(share * 100, 99.999):.3f} %"


def _time(facts: Facts, at: datetime | float) -> str:
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return f"{moment.astimezone(ZoneInfo(str(facts.system.model.timezone))):%Y-%m-%d %H:%M}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _clean(text: str) -> str:
    return one_line(text)
