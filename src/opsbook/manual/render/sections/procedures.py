"""The procedures: their own prose, their steps with risk, who approves them, when they last ran and were rehearsed."""

from __future__ import annotations

from opsbook.book.catalogue import Risk
from opsbook.book.system import System
from opsbook.manual.render.facts import LastRun, ParameterFact, ProcedureFact
from opsbook.manual.render.pieces import Block, Code, Line, Link, Mark, Prose, Row, Section, StepNote, Tone, line, table
from opsbook.manual.render.sections.inventory import approval, procedure_key
from opsbook.manual.render.words import moment

TONE: dict[Risk, Tone] = {Risk.READ: "quiet", Risk.SAFE: "good", Risk.DISRUPTIVE: "care", Risk.DESTRUCTIVE: "bad"}


def procedures(system: System, found: tuple[ProcedureFact, ...]) -> Section | None:
    """An overview, then each procedure in full."""
    if not found:
        return None
    rows: list[Row] = [
        (line(Link(one.title or one.name, procedure_key(one.name))), (Mark(one.risk.value, TONE[one.risk]),),
         _last(one.last_run), _rehearsed(one), line(one.owner))
        for one in found
    ]  # fmt: skip
    overview = table("Procedures", "procedure | risk | last run | last rehearsal | owner", rows)
    return Section("Procedures", (overview,), tuple(_procedure(system, one) for one in found), key="procedures")


def _procedure(system: System, one: ProcedureFact) -> Section:
    facts = [
        (line("run it"), line(Code(f"opsbook run {one.name}{_given(one.parameters)}"))),
        *((line(f"needs in {name}"), line(told)) for name, told in approval(system, one.name, one.risk.value)),
        (line("locks"), line(", ".join(one.lock) or ("nothing" if one.risk is Risk.READ else "the whole system"))),
        (line("proves"), line(one.objective)),
        (line("owner"), line(one.owner)),
        (line("last run"), _last(one.last_run)),
        (line("last rehearsal"), _rehearsed(one)),
    ]
    blocks: list[Block] = [table(f"About {one.title}", " | ", [row for row in facts if row[1]])]
    if one.parameters:
        head = "parameter | type | default | meaning"
        blocks.append(table(f"Parameters of {one.title}", head, [_parameter(given) for given in one.parameters]))
    body, before = _body(one.text)
    steps = {
        step.line - before: StepNote(step.number, step.kind, step.risk.value, TONE[step.risk], step.remarks)
        for step in one.steps
    }
    blocks.append(Prose(body, steps))
    return Section(
        one.title or one.name, tuple(blocks), key=procedure_key(one.name), marks=(Mark(one.risk.value, TONE[one.risk]),)
    )


def _given(parameters: tuple[ParameterFact, ...]) -> str:
    return "".join(f" {one.name}={one.example or '…'}" for one in parameters if one.required)


def _parameter(one: ParameterFact) -> tuple[Line, ...]:
    kind = one.type + (f" ({', '.join(one.choices)})" if one.choices else "")
    default = line("needed") if one.required else line(Code(one.default) if one.default else "none")
    return line(Code(one.name)), line(kind), default, line(one.doc)


def _last(run: LastRun | None) -> Line:
    if run is None:
        return (Mark("never", "quiet"),)
    return line(Mark(run.outcome, "good" if run.good else "bad"), f" {moment(run.at)} in {run.environment}")


def _rehearsed(one: ProcedureFact) -> Line:
    found = _last(one.last_rehearsal)
    return found if one.rehearsed_as_is else line(*found, ", and changed since")


def _body(text: str) -> tuple[str, int]:
    """The Markdown below the front matter, and how many lines stand before it."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---":
        return text, 0
    end = next((n for n, one in enumerate(lines[1:], 1) if one.strip() in ("---", "...")), None)
    return ("\n".join(lines[end + 1 :]), end + 1) if end is not None else (text, 0)
