"""The report of recovery as one HTML page for an auditor, in the dress of the rendered manual. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from opsbook.book.units import Dimension, show
from opsbook.connectors.backups.pruning import Chosen, Pruning
from opsbook.manual.render.html import as_html as manual_as_html
from opsbook.manual.render.pieces import (
    Block,
    Code,
    Items,
    Line,
    Link,
    Manual,
    Mark,
    Row,
    Section,
    Text,
    Tone,
    Trend,
    line,
    table,
)
from opsbook.manual.render.words import moment
from opsbook.recovery.generations import PERIODS
from opsbook.recovery.objectives import TREND, Promise, clock, duration
from opsbook.recovery.outlook import sentence
from opsbook.recovery.pruning import NAMES, mark, rules, timeline, zone_of
from opsbook.recovery.pruning import Mark as Stands
from opsbook.recovery.report import Kept, Promised, Report
from opsbook.store.drills import DrillRow

TONE: dict[str, Tone] = {"proven": "good", "unproven": "care", "missed": "bad"}
BACKUP_TONE: dict[Stands, Tone] = {
    Stands.HELD: "quiet", Stands.PROVEN: "good", Stands.UNPROVEN: "care", Stands.DAMAGED: "bad",
    Stands.GOING: "quiet", Stands.NONE: "quiet",
}  # fmt: skip
SHOWN = {"daily": ("days", 31), "weekly": ("weeks", 27), "monthly": ("months", 24)}
EVIDENCE = (
    "Every figure was measured by a run that restored a stored backup and verified it; the run is named beside it, and "
    "its record is part of the signed audit chain: opsbook audit verify."
)


def as_html(report: Report) -> str:
    """The whole page."""
    sections = [_promises(report), _unproven(report), *(_objective(report, one) for one in report.promises)]
    sections += [_backups(report), *_holds(report)]
    title = report.system.model.title or report.system.model.system
    lead: tuple[Block, ...] = (
        Text(line(summary(report))),
        Text(line(f"{moment(report.at.astimezone(UTC))} UTC in {report.system.name}.")),
        Text(line(EVIDENCE)),
    )
    return manual_as_html(Manual(f"{title}: recovery", lead, tuple(sections), flowing=True))


def summary(report: Report) -> str:
    """How many promises stand, in a sentence."""
    found = [promise.standing for one in report.promises for promise in one.judged.promises]
    if not found:
        return "The book promises nothing about recovery."
    told = [f"{found.count(state)} {state}" for state in dict.fromkeys(found)]
    return f"{len(found)} promises: {', '.join(told)}."


def _promises(report: Report) -> Section:
    rows: list[Row] = []
    for one in report.promises:
        for promise in one.judged.promises:
            last = one.judged.last
            rows.append((
                line(Link(f"{one.judged.name} {promise.figure.upper()}", f"objective-{one.judged.name}")),
                line(clock(promise.target)),
                line(duration(promise.measured) if promise.measured is not None else ""),
                _standing(promise),
                line(moment(last.at) if last else "never"),
                line(promise.why if promise.standing != "proven" else ""),
            ))  # fmt: skip
    head = "promise | promised | measured | standing | last proof (UTC) | why"
    return Section("Promises", (table("Promises about recovery", head, rows),) if rows else ())


def _standing(promise: Promise) -> Line:
    return (Mark(str(promise.standing), TONE[str(promise.standing)]),)


def _unproven(report: Report) -> Section:
    if not report.unproven:
        return Section("What is unproven", (Text(line("Nothing: every promise and every backup has its proof.")),))
    return Section("What is unproven", (Items(tuple(line(one) for one in report.unproven)),))


def _objective(report: Report, one: Promised) -> Section:
    judged, facts = one.judged, []
    if judged.last is not None:
        result = "restored and verified" if judged.last.good else "; ".join(judged.last.problems)
        facts.append((line("last drill"), line(f"{moment(judged.last.at)} UTC: {result}")))
        facts.append((line("evidence"), line(Code(judged.last.run))))
    else:
        facts.append((line("last drill"), line("never")))
    if judged.source is not None:
        age = duration((report.at - judged.source.data_time).total_seconds())
        facts.append((line("recoverable now"), line(f"data {age} old, of ", Code(judged.source.name))))
    else:
        facts.append((line("recoverable now"), line("nothing")))
    facts.append((line("forecast"), line(sentence(one.forecast, one.objective, report.at))))
    blocks: list[Block] = [table(f"About {judged.name}", " | ", facts)]
    blocks += [_trend(promise, one.drills) for promise in judged.promises if one.drills]
    if one.drills:
        blocks.append(_drills(one.drills))
    marks = (Mark(str(judged.standing), TONE[str(judged.standing)]),)
    return Section(judged.name, tuple(blocks), key=f"objective-{judged.name}", marks=marks)


def _trend(promise: Promise, rows: tuple[DrillRow, ...]) -> Trend:
    shown, figure = rows[-TREND:], promise.figure
    points = tuple((row.at, getattr(row, f"{figure}_seconds") if row.good else None) for row in shown)
    known = [value for _, value in points if value is not None]
    failed = sum(value is None for _, value in points)
    told = f"{figure.upper()} of {len(points)} drills against the promise of {clock(promise.target)}: " + (
        f"{duration(min(known))} to {duration(max(known))}" if known else "none came to its end"
    )
    days = [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in (points[0][0], points[-1][0])]
    return Trend(
        told + (f", {failed} failed" if failed else ""), points, promise.target,
        f"{figure.upper()} promised: {clock(promise.target)}", (days[0], days[1]),
        duration(known[-1]) if known else "",
    )  # fmt: skip


def _drills(rows: tuple[DrillRow, ...]) -> Block:
    written: list[Row] = []
    for row in reversed(rows[-TREND:]):
        problems = json.loads(row.problems)
        result = line(Mark("good", "good")) if row.good else line(Mark("failed", "bad"), f" {'; '.join(problems[:2])}")
        written.append((
            line(moment(datetime.fromtimestamp(row.at, UTC))), result, _seconds(row.rto_seconds),
            _seconds(row.rpo_seconds), line(f"{row.lost_rows:,}" if row.lost_rows is not None else ""),
            line(Code(row.stamp)) if row.stamp else (), line(Code(row.run)),
        ))  # fmt: skip
    return table("Drills", "drill (UTC) | result | RTO | RPO | rows lost | backup | run", written)


def _seconds(value: float | None) -> Line:
    return line(duration(value)) if value is not None else ()


def _backups(report: Report) -> Section:
    if not report.kept:
        return Section("Backups", (Text(line("The book has no backups.")),))
    return Section("Backups", (), tuple(_backup(report, one) for one in report.kept))


def _backup(report: Report, one: Kept) -> Section:
    backup = one.backup
    facts: list[Row] = [
        (line("what"), line(f"{backup.method} of {backup.of}")),
        (line("keeps"), line(rules(backup.keep))),
        (line("taken"), line("continuously" if backup.continuous else Code(backup.schedule or "by hand"))),
        (line("encrypted"), line("age" if backup.encrypt else "no")),
        (line("store"), line(Code(one.stores[0].address)) if one.stores else line(one.problem or "its own tool's")),
        (line("second store"), line(Code(one.stores[1].address)) if len(one.stores) > 1 else ()),
    ]
    if one.stored:
        total = sum(each.size for each in one.stored)
        facts.append((line("stored"), line(f"{len(one.stored)}, {show(total, Dimension.SIZE)}")))
    blocks: list[Block] = [table(f"About {backup.id}", " | ", [row for row in facts if row[1]])]
    if one.stored:
        blocks += _generations(report, one, one.stores[0])
    return Section(backup.id, tuple(blocks))


def _generations(report: Report, kept: Kept, pruning: Pruning) -> Iterable[Block]:
    zone, marks = zone_of(report.system, kept.backup), set()
    rows: list[Row] = []
    for unit, _ in PERIODS:
        if unit in SHOWN:
            name, periods = SHOWN[unit]
            found = timeline(pruning.chosen, unit, periods, report.at, zone)
            marks |= set(found)
            rows.append((line(f"{periods} {name}"), line(Code("".join(found)))))
    yield table(f"Generations of {kept.backup.id}, the newest at the right", " | ", rows)
    yield Text(line(", ".join(f"{one} {NAMES[one]}" for one in Stands if one in marks)))
    stay = [one for one in pruning.chosen if one.kept]
    yield table(
        f"Backups of {kept.backup.id} that are kept", "backup | size | standing | kept because",
        [_stored(one, report.at) for one in stay],
    )  # fmt: skip
    if going := len(pruning.chosen) - len(stay):
        yield Text(line(f"{going} more are kept by no rule, and go with the next prune."))


def _stored(one: Chosen, now: datetime) -> Row:
    manifest, stands = one.stored.manifest, mark(one, now)
    proof = one.stored.verified()
    told = f" {proof.kind} {proof.at:%Y-%m-%d}" if proof else ""
    return (
        line(Code(manifest.stamp)), line(show(manifest.stored, Dimension.SIZE)),
        line(Mark(NAMES[stands], BACKUP_TONE[stands]), told), line(one.why),
    )  # fmt: skip


def _holds(report: Report) -> list[Section]:
    if not report.holds:
        return []
    rows: list[Row] = [
        (line(Code(one.folder)), line(one.hold.reason), line(one.hold.by), line(moment(one.hold.at)),
         line(moment(one.hold.until) if one.hold.until else "it is released"))
        for one in report.holds
    ]  # fmt: skip
    return [Section("Holds", (table("Holds", "backup | why | by | since (UTC) | until", rows),))]
