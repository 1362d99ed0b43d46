"""A rehearsal as one HTML page, in the dress of the rendered manual. Pure."""

from __future__ import annotations

from collections import Counter

from opsbook.book.units import show_duration
from opsbook.manual.render.html import as_html as manual_as_html
from opsbook.manual.render.pieces import (
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
    joined,
    line,
    table,
)
from opsbook.manual.render.words import moment
from opsbook.rehearsal.model import Outcome, Rehearsal, Verdict

TONE: dict[Verdict, Tone] = {
    Verdict.WORKS: "good",
    Verdict.FAILS: "bad",
    Verdict.NEEDS: "care",
    Verdict.BY_HAND: "quiet",
    Verdict.LEFT_OUT: "quiet",
}
TOLD_SECONDS = 0.05
"""What took less did not happen: it was only looked at."""
STATE: dict[str, Tone] = {"ok": "good", "warning": "care", "critical": "bad", "unknown": "bad"}


def as_html(rehearsal: Rehearsal) -> str:
    """The whole page."""
    sections = (_results(rehearsal), _details(rehearsal), *_silence(rehearsal))
    lead = [
        Text(line(f"{rehearsal.totals}.")),
        Text(
            line(f"{moment(rehearsal.at)} UTC in {rehearsal.environment}, {_took(rehearsal.seconds)}, {rehearsal.id}.")
        ),
        *(Text(line(note)) for note in rehearsal.notes),
    ]
    return manual_as_html(Manual(f"{rehearsal.title}: rehearsal", tuple(lead), sections))


def _results(rehearsal: Rehearsal) -> Section:
    titles = Counter(one.title for one in rehearsal.outcomes)
    rows = [
        (line(Link(one.title if titles[one.title] == 1 else one.procedure, f"procedure-{one.procedure}")),
         _verdict(one), line(_what(one)), line(_took(one.seconds)), line(one.undo.sentence if one.run else ""))
        for one in rehearsal.outcomes
    ]  # fmt: skip
    return Section("Results", (table("Results by procedure", "procedure | result | why | took | undo", rows),))


def _details(rehearsal: Rehearsal) -> Section:
    return Section("Procedures", (), tuple(_procedure(one) for one in rehearsal.outcomes))


def _procedure(one: Outcome) -> Section:
    given = [line(f"{sample.name} = {sample.value} ({sample.origin})") for sample in one.samples]
    facts: list[Row] = [
        (line("result"), line(*_verdict(one), " ", _what(one))),
        (line("steps"), line(str(one.steps) if one.steps else "")),
        (line("parameters"), joined([piece for words in given for piece in words])),
        (line("run"), line(one.run)),
        (line("undo"), line(one.undo.sentence if one.run else "")),
        (line("took"), line(_took(one.seconds))),
    ]
    blocks = [table(f"About {one.title}", " | ", [row for row in facts if row[1]])]
    if one.checks:
        rows: list[Row] = [
            (line(seen.check), _state(seen.before), _state(seen.after), _state(seen.restored), line(seen.sentence))
            for seen in one.checks
        ]
        blocks.append(table(f"Checks of {one.title}", "check | before | after | undone | it says", rows))
    said = [line(f"step {other.step}: {other.sentence}") for other in one.deviations]
    said += [line(f"no undo of {text}") for text in one.undo.impossible]
    said += [line(text) for text in one.notes]
    remarks = (Items(tuple(said)),) if said else ()
    return Section(one.title, (*blocks, *remarks), key=f"procedure-{one.procedure}")


def _silence(rehearsal: Rehearsal) -> list[Section]:
    if not rehearsal.silent:
        return []
    of = {"check": rehearsal.checks, "alert": rehearsal.alerts}
    counted = [(sum(one.kind == kind for one in rehearsal.silent), kind) for kind in of]
    told = " and ".join(
        f"{n} of {of[kind]} {'checks' if kind == 'check' else 'alert rules'}" for n, kind in counted if n
    )
    since = f"in {rehearsal.rehearsals} rehearsals since {rehearsal.since:%Y-%m-%d}"
    why = "What never fired was never seen to work: break what it watches in a rehearsal."
    rows: list[Row] = []
    for kind, about in dict.fromkeys((one.kind, one.about) for one in rehearsal.silent):
        names = [Code(one.name) for one in rehearsal.silent if (one.kind, one.about) == (kind, about)]
        rows.append((line(about), joined(names), line("" if kind == "check" else "alert rules")))
    listed = table("Never fired", "of | never fired | ", rows)
    return [Section("Never fired", (Text(line(f"{told} never fired {since}. {why}")), listed))]


def _verdict(one: Outcome) -> Line:
    return (Mark(str(one.verdict), TONE[one.verdict]),)


def _what(one: Outcome) -> str:
    """The sentence without its verdict, which stands beside it."""
    if one.verdict in (Verdict.LEFT_OUT, Verdict.BY_HAND):
        return one.message
    return one.sentence.removeprefix(str(one.verdict)).strip(" ,")


def _state(state: str) -> Line:
    return (Mark(state, STATE.get(state, "quiet")),) if state else ()


def _took(seconds: float) -> str:
    return show_duration(round(seconds, 1)) if seconds >= TOLD_SECONDS else ""
