"""Objectives: recovery time, recovery point, service levels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import duration
from opsbook.manual.document import Document, Heading, ListItem, Paragraph, Prose, Quote, Row, Table
from opsbook.manual.facts import Objective
from opsbook.manual.outline import split_pair, within
from opsbook.manual.vocabulary import says

_KINDS: tuple[tuple[str, str], ...] = (
    (
        "RTO",
        r"\bRTO\b|recovery[- ]time[- ]objective|tiempo de recuperación|tempo de recuperação|"
        r"Wiederherstellungszeit|целевое время восстановления|恢复时间目标|目標復旧時間|복구 ?시간 ?목표",
    ),
    (
        "RPO",
        r"\bRPO\b|recovery[- ]point[- ]objective|punto de recuperación|ponto de recuperação|"
        r"Wiederherstellungspunkt|целевая точка восстановления|恢复点目标|目標復旧時点|복구 ?시점 ?목표",
    ),
)
_KIND = tuple((kind, re.compile(words, re.I)) for kind, words in _KINDS)
_SLO = re.compile(r"\b(?:SLO|SLA)\b|service[- ]level", re.I)
_AVAILABLE = re.compile(
    r"\W*(?:availability|uptime|verfügbarkeit|disponibilidad|disponibilidade|disponibilité)\b[^<>]{0,20}9\d", re.I
)
_NOTHING = re.compile(r"\W*(?:near[- ]?zero|zero|none|no data loss|0)\b", re.I)
_PERCENT = re.compile(r"\d{2,3}(?:\.\d+)?\s?%")
# Talk about an objective is not the objective: measured figures, checklists, questions.
_TALK = re.compile(
    r"\b(?:actual|measured|achieved|elapsed|took|met|missed|exceed\w*|timer|remaining|review|test\w*|verify|document)\b",
    re.I,
)


def objectives(document: Document) -> list[Objective]:
    """All objectives of a manual, in order; one that is said twice in the same place is given once."""
    found: list[Objective] = []
    for block in document.walk():
        if isinstance(block, Table):
            found.extend(_of_table(block))
        elif isinstance(block, (Paragraph, ListItem, Heading)):
            found.extend(_of_prose(block))
    found.extend(_of_service_levels(document))
    return _distinct(sorted(found, key=lambda objective: objective.line))


def _kinds_in(text: str) -> list[str]:
    return [kind for kind, pattern in _KIND if pattern.search(text)]


def _of_prose(block: Prose) -> Iterable[Objective]:
    for line in block.lines or ():
        kinds = _kinds_in(line.text)
        if kinds:
            yield from _of_line(line.text, line.line, kinds, block)
    if isinstance(block, ListItem) and not _kinds_in(block.text.split("\n")[0]):
        kinds = _kinds_in(block.section_path[-1]) if block.section_path else []
        pair = split_pair(block.text.split("\n")[0], block.strong)
        length = duration(pair[1]) if pair else None
        if len(kinds) == 1 and pair and length is not None and length.start <= 24:
            yield Objective(line=block.line, kind=kinds[0], scope=pair[0].lower(), value=length.text)


def _of_line(text: str, line: int, kinds: list[str], block: Prose) -> Iterable[Objective]:
    """`RTO: 4 hours`, `RTO <1h and RPO <24h`, `Database RTO of 2 hours`."""
    if isinstance(block, ListItem) and block.checked is not None:
        return
    for kind in kinds:
        pattern = next(pattern for name, pattern in _KIND if name == kind)
        hits = list(pattern.finditer(text))
        after = text[hits[-1].end() :]
        other = [match.start() for name, each in _KIND if name != kind and (match := each.search(after))]
        after = after[: min(other)] if other else after
        length = duration(after)
        if (
            length is None
            or length.start > 60
            or _TALK.search(after[: length.start])
            or _TALK.search(text[: hits[0].start()])
        ):
            continue
        if re.search(r"[.;。]\s", after[: length.start]):
            continue
        yield Objective(
            line=line, kind=kind, value=length.text, scope=_scope(text[: hits[0].start()], after[: length.start])
        )


def _scope(before: str, between: str) -> str:
    words = re.sub(r"[^\w\s/-]", " ", before).strip().lower()
    words = re.sub(r"^(?:(?:the|our|with|target|and|for|el|la|los|der|die|das|le|les|o|os)(?:\s+|$))+", "", words)
    spoken = re.search(r"\s(?:an?|the|of|is|un|una|ein|eine|el|with|and)$|^(?:we|it|this|wir|nous)\s", words)
    words = re.sub(r"\s+target$", "", words)
    if 0 < len(words.split()) <= 3 and not spoken and words not in ("target", "goal", "objective", "current"):
        return words
    named = re.search(r"\bfor\s+(?:the\s+)?([\w /-]{2,30}?)\s*(?:is|:|\)|$)", between, re.I)
    if named:
        return named[1].strip().lower()
    return "system"


def _of_table(table: Table) -> Iterable[Objective]:
    columns = {
        index: kinds[0] for index, cell in enumerate(table.header.cells) if len(kinds := _kinds_in(cell.text)) == 1
    }
    by_column = {index: kind for index, kind in columns.items() if index or len(columns) > 1}
    if by_column:
        for row in table.rows:
            for index, kind in by_column.items():
                value = _value(row.text(index))
                if value:
                    scope = row.text(0).lower() if 0 not in by_column else "system"
                    yield Objective(line=row.line, kind=kind, value=value, scope=scope or "system")
        return
    if any(_TALK.search(cell.text) for cell in table.header.cells) or re.search(
        r"condition|trigger|action", table.header.text(0), re.I
    ):
        return
    for row in (table.header, *table.rows):
        yield from _of_row(row, table)


def _value(text: str) -> str:
    """The length that a cell gives; none at all, where it says so."""
    length = duration(text)
    if length is not None:
        return length.text
    return "0s" if _NOTHING.match(text) else ""


def _of_row(row: Row, table: Table) -> Iterable[Objective]:
    kinds = _kinds_in(row.text(0))
    if len(kinds) == 1 and not _TALK.search(row.text(0)):
        for index in range(1, len(row.cells)):
            value = _value(row.text(index))
            if value:
                header = table.header.text(index) if row is not table.header else ""
                scope = (
                    header.lower()
                    if len(row.cells) > 2
                    and header
                    and not re.search(r"target|value|objective|目标|目標|valor|wert", header, re.I)
                    else "system"
                )
                yield Objective(line=row.line, kind=kinds[0], value=value, scope=scope)
                if scope == "system":
                    return
        return
    # A row under a heading that names the kind: Database | 2 hours
    path = table.section_path[-1] if table.section_path else ""
    heading = _kinds_in(path)
    if len(heading) == 1 and row is not table.header:
        for index in range(1, len(row.cells)):
            length = duration(row.text(index))
            if length is not None:
                yield Objective(line=row.line, kind=heading[0], value=length.text, scope=row.text(0).lower())
                return


def _of_service_levels(document: Document) -> Iterable[Objective]:
    """Percentages in sections and lines that speak of an SLO or SLA."""
    for block in within(tuple(block for block in document.blocks if not isinstance(block, Quote))):
        if not isinstance(block, ListItem) or block.checked is not None:
            continue
        percent = _PERCENT.search(block.text)
        titled = bool(block.section_path) and bool(_SLO.search(block.section_path[-1]))
        titled = titled or bool(_AVAILABLE.match(block.text))
        if (
            percent
            and (titled or _SLO.search(block.text))
            and not says(block.text, "alert")
            and not re.search(r"[<>]\s*SL[AO]", block.text)
        ):
            pair = split_pair(block.text.split("\n")[0], block.strong)
            yield Objective(
                line=block.line, kind="SLO", value=percent[0], scope=(pair[0] if pair else "system").lower()
            )


def _distinct(found: list[Objective]) -> list[Objective]:
    seen: dict[tuple[int, str, str], Objective] = {}
    for objective in found:
        seen.setdefault((objective.line, objective.kind, objective.scope), objective)
    return list(seen.values())
