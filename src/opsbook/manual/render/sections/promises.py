"""What is promised, and whether it was ever proven: objectives, service levels, backups, retention."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from opsbook.book.recovery import Backup, Generations, Objective, Retention
from opsbook.book.system import System
from opsbook.manual.render.facts import Facts, Measurement
from opsbook.manual.render.pieces import Code, Line, Mark, Row, Section, Text, line, table
from opsbook.manual.render.words import cron, duration, moment

KINDS = (("rto", "serves again within (RTO)"), ("rpo", "loses at most (RPO)"))


def promises(system: System, facts: Facts) -> Section | None:
    """Recovery objectives and service levels, each proven by a measurement or shown as unproven."""
    model = system.model
    rows = list(_objectives(system, facts))
    parts = []
    if rows:
        head = "of | promise | target | proven | last measured | to be drilled"
        told = (
            "A promise is proven by a drill that measured it. Until one has, it stands here as unproven: "
            "it is what the team aims at, not what is known."
        )
        parts.append(Section("Recovery", (Text((told,)), table("Recovery objectives", head, rows)), key="recovery"))
    if model.slos:
        levels: list[Row] = [
            (line(one.title or one.id), line(Code(one.check)), line(f"{one.target * 100:.6g} %"),
             line(duration(one.over)), _proof(facts.measured.get(one.id), None, None, facts)[0])
            for one in model.slos
        ]  # fmt: skip
        head = "promise | counted from | target | over | proven"
        parts.append(Section("Service levels", (table("Service levels", head, levels),), key="service-levels"))
    if model.capacity:
        full: list[Row] = [
            (line(Code(one.check)), line(one.limit), line(duration(one.warn_before))) for one in model.capacity
        ]
        parts.append(Section("Capacity", (table("What fills up", "check | full at | warned before", full),)))
    return Section("Promises", (), tuple(parts), key="promises") if parts else None


def unproven(system: System, facts: Facts) -> tuple[int, int]:
    """How many recovery promises are unproven, and how many there are."""
    marks = [row[3] for row in _objectives(system, facts)]
    return sum(mark != (Mark("proven", "good"),) for mark in marks), len(marks)


def _objectives(system: System, facts: Facts) -> Iterator[tuple[Line, ...]]:
    for name, one in system.model.objectives.items():
        for kind, words in KINDS:
            target: timedelta | None = getattr(one, kind)
            if target is None:
                continue
            mark, last = _proof(facts.measured.get(f"{name}.{kind}"), target, one, facts)
            drilled = cron(one.drill)
            yield line(name), line(words), line(duration(target)), mark, last, drilled or line("never")


def _proof(
    found: Measurement | None, target: timedelta | None, objective: Objective | None, facts: Facts
) -> tuple[Line, Line]:
    if found is None:
        return (Mark("unproven", "care"),), line("never")
    told = line(
        f"{duration(timedelta(seconds=found.seconds))} on {moment(found.at)}", found.evidence and " by ", found.evidence
    )
    if target is not None and found.seconds > target.total_seconds():
        return (Mark("missed", "bad"),), told
    now: datetime = facts.now or found.at
    if objective is not None and now - found.at > objective.prove_within:
        return (Mark("unproven: too long ago", "care"),), told
    return (Mark("proven", "good"),), told


def backups(system: System) -> Section | None:
    """What is backed up, how often, and how long it is kept."""
    found = [one for one in system.model.backups if system.holds(one.environments)]
    if not found:
        return None
    head = "backup | of | how | when | kept | where to | encrypted | copy"
    rows: list[Row] = [_backup(one) for one in found]
    return Section("Backups", (table("Backups", head, rows),), key="backups")


def _backup(one: Backup) -> tuple[Line, ...]:
    when = line("continuously") if one.continuous else cron(one.schedule, one.timezone or "") or line("by hand")
    encrypted = line(Mark("yes", "good")) if one.encrypt else line("no")
    return (
        line(Code(one.id)),
        line(one.of),
        line(one.method),
        when,
        line(_kept(one.keep)),
        line(Code(str(one.to)) if one.to else ""),
        encrypted,
        line(Code(str(one.copy_to)) if one.copy_to else ""),
    )


def _kept(keep: Generations) -> str:
    counted = [f"{getattr(keep, name)} {name}" for name in ("hourly", "daily", "weekly", "monthly", "yearly")
               if getattr(keep, name)]  # fmt: skip
    newest = [f"the last {keep.last}"] if keep.last else []
    within = [f"all of {duration(keep.within)}"] if keep.within else []
    return ", ".join([*within, *newest, *counted]) or "all"


def retention(system: System) -> Section | None:
    """How long data is kept."""
    found = system.model.retention
    if not found:
        return None
    head = "data | its age by | of | kept | older goes to | cleaned"
    return Section("Retention", (table("Retention", head, [_rule(one) for one in found]),), key="retention")


def _rule(one: Retention) -> Row:
    return (
        line(Code(one.table or one.path)),
        line(Code(one.column) if one.column else ""),
        line(one.of),
        line(duration(one.keep)),
        line(Code(str(one.archive_to)) if one.archive_to else ""),
        cron(one.schedule) or line("by hand"),
    )
