"""Severities: the classes of incidents and alerts, with the times promised for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from opsbook.manual.amounts import duration
from opsbook.manual.document import Document, Heading, ListItem, Table
from opsbook.manual.facts import Severity
from opsbook.manual.outline import Part, all_parts, named_values, split_pair, within
from opsbook.manual.vocabulary import says

_LEVEL = re.compile(
    r"\b(?:P|SEV|Sev|S)[ -]?([0-5])\b|\b(?:Severity|Priority|Level|Severidad|Prioridad|Nivel|Priorität|"
    r"Schweregrad|Stufe|Уровень|Приоритет)\s*[-:]?\s*([0-5])\b|(?:级别|等级|优先级|レベル|레벨)\s*([0-5])|"
    r"([1-4一二三四])\s*(?:级|급)",
    re.I,
)
_NAMED = re.compile(
    r"^\W*(critical|high|medium|low|minor|major|moderate|urgent|warning|info(?:rmational)?|blocker|emergency|"
    r"crític[oa]|alt[oa]|medi[oa]|média|baj[oa]|baix[oa]|kritisch|hoch|mittel|niedrig|критическ\w+|высок\w+|"
    r"средн\w+|низк\w+|紧急|严重|高|中|低|緊急|重大|警告|긴급|높음|중간|낮음)\b",
    re.I,
)
_RESPONSE = re.compile(
    r"response|respond|respuesta|resposta|reaktion|реакци|ответ|响应|対応|応答|응답|대응|acknowledg|\back\b", re.I
)
_RESOLVED = re.compile(r"\b(?:resol\w+|fix(?:ed)?|restor\w+|behoben|gelöst|resuelt[oa]|solucionad[oa])\b", re.I)
_BRACKET = re.compile(r"[(（]([^()（）]*)[)）]")


def severities(document: Document) -> list[Severity]:
    """All severities of a manual. What a list explains and a table times is one severity, where its times stand."""
    timed: list[Severity] = []
    plain: list[Severity] = []
    for part in all_parts(document):
        for block in within(part.blocks):
            if isinstance(block, Table):
                timed.extend(_of_table(block, part))
        titled = _of_title(part)
        if titled is not None:
            (timed if titled.response or titled.resolution else plain).append(titled)
        elif says(part.context, "severity") or says(part.context, "incident"):
            for made in _of_items(part):
                (timed if made.response or made.resolution else plain).append(made)
    return _merged(timed, plain)


def _merged(timed: list[Severity], plain: list[Severity]) -> list[Severity]:
    by_name: dict[str, Severity] = {}
    for severity in timed:
        key = _key(severity.name)
        if key in by_name:
            first = by_name[key]
            by_name[key] = replace(
                first, response=first.response or severity.response, resolution=first.resolution or severity.resolution
            )
        else:
            by_name[key] = severity
    unknown = [severity for severity in plain if _key(severity.name) not in by_name]
    if len(unknown) >= 2 or not timed:
        for severity in unknown:
            by_name.setdefault(_key(severity.name), severity)
    found = list(by_name.values())
    return sorted(found, key=lambda severity: severity.line) if len(found) >= 2 else []


def _key(name: str) -> str:
    level = _LEVEL.search(name)
    if level:
        return next(group for group in level.groups() if group)
    return re.sub(r"\W+", " ", name).strip().lower()


def _of_table(table: Table, part: Part) -> Iterable[Severity]:
    header = [cell.text for cell in table.header.cells]
    numbered = bool(header) and (says(header[0], "severity") or re.match(r"\W*sev\b", header[0], re.I) is not None)
    levelled = [
        row
        for row in table.rows
        if _LEVEL.search(row.text(0))
        or _NAMED.match(row.text(0))
        or (numbered and re.fullmatch(r"\W*[0-5]\W*", row.text(0)))
    ]
    if len(header) < 2 or len(levelled) * 2 <= len(table.rows) or len(levelled) < 2:
        return
    response = _column(header, _RESPONSE, 1)
    resolution = _column(
        header,
        re.compile(
            r"resol|fix|restor|solu[cç]|lösung|behebung|решен|устран|解决|修复|解決|復旧|해결|복구|mitigat", re.I
        ),
        1,
    )
    if (
        response is None
        and resolution is None
        and not says(" ".join(header), "severity")
        and not says(part.context, "severity")
    ):
        return
    if (
        response is None
        and resolution is None
        and not says(part.context, "incident")
        and not says(part.context, "severity")
    ):
        return
    for row in levelled:
        yield Severity(
            line=row.line,
            name=row.text(0),
            response=_time(row.text(response) if response is not None else ""),
            resolution=_time(row.text(resolution) if resolution is not None else ""),
            means=row.text(1) if response != 1 else "",
        )


def _column(header: list[str], pattern: re.Pattern[str], start: int) -> int | None:
    hits = [index for index, text in enumerate(header) if index >= start and pattern.search(text)]
    return hits[0] if hits else None


def _time(text: str) -> str:
    length = duration(text)
    return length.text if length else ("" if not re.search(r"\w", text) else text.strip() if len(text) < 30 else "")


def _of_title(part: Part) -> Severity | None:
    """`P1 - Critical (Response: Immediate)` over a list of what it means, or `Critical alerts (Response within 1
    hour)`."""
    title = part.title
    heading: Heading | None = part.section.heading
    if part.lead is None and heading is None:
        return None
    level = _LEVEL.match(re.sub(r"^\W+", "", title))
    alert = says(title, "alert") and _NAMED.match(title)
    inside = _BRACKET.findall(title)
    times = [(text, length) for text in inside if (length := duration(text)) is not None]
    if alert and times and _RESPONSE.search(title):
        return Severity(line=part.line, name=_BRACKET.sub("", title).strip(), response=times[0][1].text)
    if not level or not (says(part.context, "severity") or says(part.context, "incident")):
        return None
    if any(block.fences() for block in [part]):
        return None
    response, resolution = _times_below(part)
    if times and not response:
        response = times[0][1].text
    if (
        not times
        and not response
        and not says(" ".join(part.path[:-1] if part.lead is None else part.path), "severity")
    ):
        return None
    name = _BRACKET.sub(lambda m: "" if duration(m[1]) else m[0], title).strip(" :-")
    means = "; ".join(item.text for item in part.items())
    return Severity(line=part.line, name=name, response=response, resolution=resolution, means=means)


def _times_below(part: Part) -> tuple[str, str]:
    response, resolution = "", ""
    for block in within(part.blocks):
        if isinstance(block, ListItem) and (pair := split_pair(block.text.split("\n")[0], block.strong)):
            length = duration(pair[1])
            if length and _RESPONSE.search(pair[0]):
                response = response or length.text
            elif length and says(pair[0], "resolution"):
                resolution = resolution or length.text
    for name, value, _ in named_values(part):
        length = duration(value)
        if length and not response and _RESPONSE.search(name):
            response = length.text
        elif length and not resolution and says(name, "resolution"):
            resolution = length.text
    return response, resolution


def _one_list(items: list[ListItem], every: list[ListItem]) -> bool:
    """Whether some items are a list of their own: nothing stands between them."""
    places = [number for number, item in enumerate(every) if item in items]
    lines = [item.line for item in items]
    own = not any(abs(other.line - line) <= 1 for other in every if other not in items for line in lines)
    return bool(places) and places[-1] - places[0] == len(items) - 1 and own


def _of_items(part: Part) -> Iterable[Severity]:
    """`- **P1 (High)**: major feature broken`, with times in the text or in the items below."""
    items = [
        item
        for item in part.items()
        if _LEVEL.match(re.sub(r"^\W+", "", item.text)) or (item.strong and _NAMED.match(item.strong))
    ]
    alone = len(items) * 2 >= len(part.items()) or _one_list(items, part.items())
    if len(items) < 2 or not alone or any(item.checked is not None for item in items):
        return
    if not says(part.context, "severity") and not all(_LEVEL.match(re.sub(r"^\W+", "", item.text)) for item in items):
        return
    for item in items:
        pair = split_pair(item.text.split("\n")[0], item.strong)
        text = pair[1] if pair else item.text
        response, resolution = "", ""
        for child in item.children:
            if (
                isinstance(child, ListItem)
                and (inner := split_pair(child.text, child.strong))
                and (length := duration(inner[1]))
            ):
                if _RESPONSE.search(inner[0]):
                    response = length.text
                elif says(inner[0], "resolution"):
                    resolution = length.text
        said = _RESPONSE.search(item.text)
        if not response:
            bracket = next((text for text in _BRACKET.findall(item.text) if _RESPONSE.search(text)), "")
            told = duration(bracket) or (duration(item.text[said.start() :]) if said else None)
            plain = duration(text) if pair else None
            response = told.text if told else plain.text if plain and plain.start <= 12 else ""
        solved = _RESOLVED.search(item.text)
        if not resolution and solved and (length := duration(item.text[solved.start() :])):
            resolution = length.text
        yield Severity(
            line=item.line,
            name=pair[0] if pair else item.strong or item.text[:40],
            response=response,
            resolution=resolution,
            means=text,
        )
