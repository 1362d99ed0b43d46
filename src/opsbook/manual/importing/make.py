"""Importing: manuals of one system become a book, its procedures, and a report of what became of each command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsbook.book.catalogue import Catalogue
from opsbook.book.system import System
from opsbook.manual.document import Document, read_document
from opsbook.manual.importing import sections
from opsbook.manual.importing.book import HEAD, Draft, loaded
from opsbook.manual.importing.components import inventory
from opsbook.manual.importing.digest import marked
from opsbook.manual.importing.openings import FILE, Opening, as_file, openings
from opsbook.manual.importing.people import contacts, escalation, severities
from opsbook.manual.importing.procedures import Written, names_of, proven, written
from opsbook.manual.importing.rule_checks import checks_of_rules
from opsbook.manual.importing.sources import Notes, Open, Source
from opsbook.manual.importing.thresholds import checks_of
from opsbook.manual.lift.backups import Backups
from opsbook.manual.lift.context import Checks, Context
from opsbook.manual.lift.inventory import Inventory, Part, slug, unique
from opsbook.manual.lift.model import Form, Step
from opsbook.manual.lint.engine import Choice, lint_documents
from opsbook.manual.lint.finding import Finding
from opsbook.manual.lint.fix import apply_fixes
from opsbook.manual.reading import extract

CompileIn = Callable[[str, str, System], list[tuple[int, str]]]
FIXED = re.compile(r"OB(?:103|104|2(?:01|02|03|12|16|22)|30[1-4])$")
"""Rules whose fix is taken into what is lifted: names, flags and forms that the tool does not have as written."""
MENDED = frozenset(
    [
        "OB113",
        "OB114",
        "OB115",
        "OB117",
        "OB118",
        "OB119",
        "OB204",
        "OB205",
        "OB210",
        "OB211",
        "OB212",
        "OB215",
        "OB216",
        "OB217",
        "OB218",
        "OB303",
        "OB304",
        "OB310",
        "OB311",
        "OB313",
        "OB330",
        "OB331",
        "OB506",
        "OB544",
        "OB601",
        "OB602",
        "OB603",
        "OB604",
        "OB605",
        "OB611",
        "OB630",
        "OB631",
        "OB632",
        "OB634",
    ]
)
"""Rules whose fault an operation or check cannot have: it knows the namespace, the database, the scope, the queue."""
OF_BACKUPS = frozenset({"OB110", "OB111", "OB112", "OB332", "OB523", "OB525", "OB530", "OB531", "OB532"})
"""Rules whose fault a backup of the book cannot have, and a restore beside the database that is used."""
BACKUPS = frozenset({"backup.take", "backup.verify", "postgres.restore", "postgres.switch_database"})


@dataclass
class Import:
    """What an import made. `files` are the texts by path below the book's folder."""

    system: str
    sources: list[Source]
    inventory: Inventory
    checks: Checks
    draft: Draft
    procedures: list[Written]
    files: dict[str, str]
    notes: Notes
    mended: list[Open] = field(default_factory=list)
    remaining: list[Open] = field(default_factory=list)
    lint: list[Finding] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)

    @property
    def steps(self) -> list[tuple[Written, Step]]:
        """Every step that a command of the manuals became, in order."""
        return [(one, step) for one in self.procedures for step in one.steps]


def make(
    manuals: Sequence[tuple[str, str]],
    catalogue: Catalogue,
    compile_: CompileIn,
    environments: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path = Path("ops"),
    rules: Sequence[tuple[str, str]] = (),
) -> Import:
    """Make a book of manuals and of Prometheus' rule files, given as names and texts.

    `compile_` proves procedures; `environments` are added to the manuals' own.
    """
    documents = [read_document(text, name) for name, text in manuals]
    notes = Notes()
    choice = Choice(broken=lambda text: notes.ask("lint", text))
    findings = lint_documents([(document, None) for document in documents], choice)
    sources = [_source(document, text, findings, notes) for document, (_, text) in zip(documents, manuals, strict=True)]
    fixed = [one for source in sources for one in source.fixed]
    parts = inventory(sources, notes)
    checks = Checks(catalogue)
    levels = checks_of(sources, parts, checks, notes)
    names = names_of(sources)
    _alerts(rules, list(names.values()), parts, checks, notes)
    backups = Backups(sections.backups(sources, parts, notes))
    made: list[Written] = []
    for number, source in enumerate(sources):
        for procedure in source.manual.procedures:
            context = Context(catalogue, parts, checks, source.name, backups=backups)
            made.append(written(procedure, source, names[number, procedure.line], context))
    draft = _draft(sources, parts, checks, levels, notes, environments or {}, backups)
    head = HEAD.format(title=_title(sources), manuals=" and ".join(source.name for source in sources))
    text, system = loaded(draft, head, folder / "book.yaml", catalogue, notes)
    files = {"book.yaml": marked(text, "", "#")}
    for one in made:
        files[f"procedures/{one.name}.md"] = proven(
            one, lambda t, name: compile_(t, name, system), lambda t, place: marked(t, place, "<!--")
        )
    open_ = openings(draft, made)
    kinds = {name: str(value.get("kind")) for name, (value, _) in draft.mappings["components"].items()}
    files[FILE] = marked(as_file(system.model.system, open_, kinds), "", "#")
    result = Import(system.model.system, sources, parts, checks, draft, made, files, notes, fixed, [], findings, open_)
    _mending(result)
    _contradictions(result)
    return result


def _alerts(
    rules: Sequence[tuple[str, str]], procedures: Sequence[str], parts: Inventory, checks: Checks, notes: Notes
) -> None:
    """The checks of rule files; they are asked of a Prometheus, which the manuals need not name."""
    if not rules:
        return
    part = parts.one("prometheus")
    if part is None:
        name = unique("prometheus", parts.parts)
        part = parts.parts[name] = Part(name, "prometheus", {"url": "${PROMETHEUS_URL}"}, sources=[rules[0][0]])
    found = checks_of_rules(rules, checks.catalogue, part.name, procedures, checks.found)
    for check, place in found.checks:
        checks.found[check["id"]], checks.sources[check["id"]] = check, place
    notes.decide += found.decide


def _source(document: Document, text: str, findings: list[Finding], _notes: Notes) -> Source:
    """The manual with what lint knows how to write rightly; lines stay what they are."""
    own = [f for f in findings if f.path == document.name]
    usable = [
        f for f in own if FIXED.match(f.rule) and f.fix and f.fix.edits and not any("\n" in e.text for e in f.fix.edits)
    ]
    after = apply_fixes(text.removeprefix("\ufeff"), usable, unsafe=True)
    mended = read_document(after.text, document.name)
    name = Path(document.name).name or "manual.md"
    source = Source(name, mended, extract(mended), own)
    source.fixed = [Open(source.place(f.line), f.message) for f in after.applied]
    return source


def _title(sources: list[Source]) -> str:
    return next((source.manual.system.name for source in sources if source.manual.system.name), sources[0].name)


def _draft(
    sources: list[Source],
    parts: Inventory,
    checks: Checks,
    levels: list[tuple[str, str, str]],
    notes: Notes,
    environments: Mapping[str, Mapping[str, Any]],
    backups: Backups,
) -> Draft:
    title = _title(sources)
    draft = Draft({"opsbook": 1, "system": slug(title, "system"), "title": title})
    notes.ask(
        sources[0].place(1), "the time zone in which schedules and windows are meant (`timezone`); UTC until then"
    )
    people, channels = contacts(sources, notes)
    path = escalation(sources, people, notes)
    for part in parts.parts.values():
        if part.kind == "workload" and not part.workload:
            notes.ask(part.sources[0] if part.sources else "", f"{part.name}: its name in the runtime, as `workload`")
    draft.mappings = {
        "environments": _environments(parts, sources, environments),
        "components": {
            part.name: ({"kind": part.kind, **part.keys}, ", ".join(dict.fromkeys(part.sources[:3])))
            for part in parts.parts.values()
        },
        "objectives": sections.objectives(sources, parts, notes),
        "severities": severities(sources, notes),
        "contacts": people,
        "channels": channels,
        "checklists": sections.checklists(sources, notes),
        "scaling": sections.scaling(sources, parts),
    }
    draft.lists = {
        "backups": backups.found,
        "escalation": path,
        "windows": sections.windows(sources, notes),
        "retention": sections.retention(sources, parts, notes),
    }
    _levels(levels, parts, checks, draft, notes)
    if not checks.found:
        _something(parts, checks, notes, sources)
    draft.lists["checks"] = [(check, checks.sources[identity]) for identity, check in checks.found.items()]
    if len(draft.mappings["environments"]) > 1:
        draft.keys["default_environment"] = next(iter(draft.mappings["environments"]))
    return draft


def _environments(
    parts: Inventory, _sources: list[Source], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Any, str]]:
    runtime: dict[str, Any] = {"kind": parts.runtime}
    if parts.runtime == "kubernetes":
        runtime["namespace"] = parts.namespace
    elif parts.runtime == "supervisor":
        runtime["config"] = "/etc/supervisor/supervisord.conf"
    found: dict[str, tuple[Any, str]] = {"production": ({"runtime": runtime, "policy": "strict"}, "")}
    for name, says in given.items():
        own = found.get(name, ({}, ""))[0]
        found[name] = ({**own, **says}, "--environment")
    return found


def _levels(levels: list[tuple[str, str, str]], parts: Inventory, checks: Checks, draft: Draft, notes: Notes) -> None:
    part = next((p for p in parts.of_kind("http") if p.role == "api"), parts.one("http", "proxy"))
    rows = []
    for name, target, place in levels:
        check = checks.want("http.up", part, place) if part else None
        if check is None or not target.endswith("%"):
            notes.ask(place, f"{name} {target}: the check whose good share is counted")
            continue
        rows.append(({"id": slug(name, "availability"), "title": name, "check": check, "target": target}, place))
    draft.lists["slos"] = rows


_UP = {
    "http": "http.up",
    "proxy": "http.up",
    "postgres": "postgres.up",
    "redis": "redis.up",
    "celery": "celery.up",
    "tcp": "tcp.open",
    "prometheus": "prometheus.up",
    "host": "host.disk_free",
}


def _something(parts: Inventory, checks: Checks, notes: Notes, sources: list[Source]) -> None:
    """A manual that holds nothing against a figure still has parts that answer or do not."""
    for part in parts.parts.values():
        if part.kind in _UP:
            checks.want(_UP[part.kind], part, sources[0].place(1))
    if not checks.found:
        for part in parts.with_workload():
            checks.want("workload.missing", part, sources[0].place(1))
    notes.ask(
        sources[0].place(1),
        "the manual holds no figure against a limit: which ones matter, and when somebody must look",
    )


def _mending(result: Import) -> None:
    """Which findings the lifted form no longer has, and which remain."""
    told: set[tuple[str, int]] = set()
    for one, step in result.steps:
        for sentence in step.mended:
            result.mended.append(Open(one.source.place(step.line), sentence))
        for finding in one.source.findings:
            lines = {finding.line, *finding.also}
            here = sorted(line for line in lines if step.line <= line <= max(step.end_line, step.line))
            for line in here:
                fits = MENDED | ({"OB201", "OB202", "OB203"} if step.form in (Form.OP, Form.CHECK) else set())
                fits |= OF_BACKUPS if step.form is Form.OP and BACKUPS & set(step.body) else frozenset()
                if (
                    step.form.lifted
                    and step.form is not Form.HTTP
                    and finding.rule in fits
                    and (finding.rule, line) not in told
                ):
                    told.add((finding.rule, line))
                    result.mended.append(Open(one.source.place(line), f"{finding.rule} {finding.message}"))
    result.mended = [o for n, o in enumerate(result.mended) if o not in result.mended[:n]]
    gone = {(o.place, o.text.partition(" ")[2]) for o in result.mended} | {(o.place, o.text) for o in result.mended}
    for source in result.sources:
        for finding in source.findings:
            if finding.severity.rank and (source.place(finding.line), finding.message) not in gone:
                result.remaining.append(Open(source.place(finding.line), f"{finding.rule} {finding.message}"))


def _contradictions(result: Import) -> None:
    """Between manuals, as lint sees them, besides what was settled already."""
    known = " ".join(one.place for one in result.notes.contradictions)
    for source in result.sources:
        for finding in source.findings:
            place = source.place(finding.line)
            if finding.rule in ("OB570", "OB571", "OB572", "OB573") and place not in known:
                result.notes.differ(place, finding.message)
    titles: dict[str, Written] = {}
    for one in result.procedures:
        other = titles.setdefault(one.title.lower(), one)
        if other is not one and other.source is not one.source:
            result.notes.differ(
                one.place,
                f"“{one.title}” is described at {other.place} too; the book has `{other.name}` and `{one.name}`",
            )
