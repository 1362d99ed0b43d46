"""Escalation paths: who is called, in which order, and within what time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import Duration, duration
from opsbook.manual.document import Document, Fence, Heading, ListItem, Paragraph, Prose, Table
from opsbook.manual.extract.contacts import channel_of
from opsbook.manual.extract.escalation_policy import policy_levels
from opsbook.manual.facts import Escalation
from opsbook.manual.outline import Part, all_parts, named_values, split_pair, within
from opsbook.manual.vocabulary import says

_TIER = re.compile(
    r"^\W*(?:(?:Level|Tier|Stage|Nivel|Nível|Stufe|Ebene|Уровень|Линия|Eskalationsstufe)\s*\d|L\d\b|T\d\b|"
    r"(?:第?[一二三四1-4]\s*(?:级|線|线|次|차|단계))|级别\s*\d|レベル\s*\d|\d\s*차|\d(?:st|nd|rd|th)\s+(?:line|level|tier))",
    re.I,
)
_ORDER = re.compile(
    r"^\W*(?:first|second|third|fourth|primary|secondary|tertiary|erst\w*|zweit\w*|dritt\w*|primer\w*|segund\w*|"
    r"tercer\w*)\b",
    re.I,
)
_SEVERITY = re.compile(r"\W*(?:P|SEV-?|S)\d\b|\W*(?:critical|high|medium|low)\b", re.I)
_CHAIN = re.compile(r"chain|path|matri[xz]|levels?$|kette|stufen|pfad|cadena|cadeia|цепочк|матриц|矩阵|路径|체인", re.I)
_ARROW = re.compile(r"\s*(?:→|->|=>|⇒|➔|▶|>>)\s*")


def escalation(document: Document) -> list[Escalation]:
    """All levels of the escalation paths of a manual, in order."""
    found: list[Escalation] = []
    for part in all_parts(document):
        titled = _of_title(part)
        if titled is not None:
            found.append(titled)
            continue
        for block in within(part.blocks):
            if isinstance(block, Table):
                found.extend(_of_table(block, part) or _of_column(block))
            elif isinstance(block, Fence):
                found.extend(policy_levels(block))
            elif isinstance(block, (Paragraph, ListItem)):
                found.extend(list(_of_arrows(block, part)) or _of_sentence(block))
        if _about(part):
            found.extend(_of_items(part) or _of_lines(part))
            found.extend(_of_drawing(part))
    seen: dict[tuple[int, str], Escalation] = {}
    for level in found:
        seen.setdefault((level.line, level.level), level)
    return sorted(seen.values(), key=lambda level: level.line)


def _about(part: Part) -> bool:
    """Whether a list stands under a title that speaks of escalation, and not of when to escalate."""
    title = part.title if part.lead is not None else (part.path[-1] if part.path else "")
    near = says(title, "escalation") or (
        part.lead is not None and bool(part.path) and says(part.path[-1], "escalation")
    )
    called = re.search(
        r"\bcall(?:ed)?\b|notif|\bpaged?\b|contact|incident|llamar|avisar|alarmier|anruf|联系|呼叫|呼出", title, re.I
    )
    near = near or (called is not None and _starts_with_times(part))
    return near and not re.search(r"\bwhen\b|criteria|trigger|template|cuándo|wann|когда|何时|process$", title, re.I)


def _starts_with_times(part: Part) -> bool:
    """A list of whom to call after how long: every item opens with the time."""
    items = [item for item in part.items() if item.checked is None]
    told = [length for item in items if (length := duration(item.text)) is not None and length.start <= 10]
    return len(items) >= 2 and len(told) == len(items)


def _of_title(part: Part) -> Escalation | None:
    """`Level 1 - On-call Engineer` over what they do."""
    if not _TIER.match(part.title) or (part.fences() and part.lead is None):
        return None
    heading: Heading | None = part.section.heading
    above = " ".join(part.path if part.lead is not None else part.path[:-1])
    if heading is None or not (says(above, "escalation") or says(part.title, "escalation") or says(above, "contact")):
        return None
    tier = _TIER.match(part.title)
    level = tier[0].strip(" *") if tier else part.title
    who = re.sub(r"^[\s:：–—-]+|\s*[(（][^)）]*[)）]\s*$", "", part.title[len(tier[0]) if tier else 0 :]).strip(" :-")
    length = duration(" ".join(re.findall(r"[(（]([^()（）]*)[)）]", part.title))) or _within(part)
    return Escalation(
        line=part.line, level=level, who=who, within=length.text if length else "", contact=_contact(part)
    )


def _within(part: Part) -> Duration | None:
    for block in within(part.blocks):
        if isinstance(block, ListItem) and re.search(
            r"respon|within|acknowledg|initial|time|innerhalb|respuesta|dentro|响应|以内|内", block.text, re.I
        ):
            length = duration(block.text)
            if length is not None:
                return length
    return None


def _contact(part: Part) -> str:
    for block in within(part.blocks):
        if isinstance(block, Prose) and (channel := channel_of(block.text)):
            return channel
    return ""


_PASSED_ON = re.compile(
    r"\b(?:within|after|in)\s+(?P<time>\d+\s*(?:min(?:ute)?s?|hours?|h))\b[^.;]{0,60}?"
    r"\b(?:to|pages|calls|notif(?:y|ies))\s+(?:the\s+)?(?P<who>[a-z][\w /-]{2,40}?)"
    r"(?=[,.;)]|\s+(?:and|after|by|via|who)\b|$)",
    re.I,
)
_GOES_ON = re.compile(r"\bgoes\b|\bescalat\w+|\bpassed\b|\bhanded\b|\bpages?\b|\bcalls?\b", re.I)


def _of_sentence(block: Prose) -> list[Escalation]:
    """`If nobody acknowledges within 15 minutes the page goes to …, and after 30 minutes to …`."""
    text = block.text.replace("\n", " ")
    if len(text) > 400 or not re.search(r"acknowledg|quittier", text, re.I):
        return []
    hits = list(_PASSED_ON.finditer(text))
    if not hits or not _GOES_ON.search(hits[0][0]):
        return []
    return [
        Escalation(line=block.line, level=str(number), who=hit["who"].strip(), within=hit["time"])
        for number, hit in enumerate(hits, 2)
    ]


def _of_arrows(block: Prose, part: Part) -> Iterable[Escalation]:
    """`Escalation path: On-call → Lead → CTO`."""
    for line in block.lines:
        if not _ARROW.search(line.text) or "`" in line.source:
            continue
        named = re.match(r"([^:：→]{1,60})[:：]\s*(.+)$", line.text)
        name, chain = (named[1], named[2]) if named else ("", line.text)
        if not says(name, "escalation") and not (says(part.title, "escalation") and not named):
            continue
        names = [each.strip() for each in _ARROW.split(chain) if each.strip()]
        if len(names) >= 2 and all(len(each.split()) <= 8 for each in names):
            for index, each in enumerate(names, 1):
                length = duration(each)
                who = re.sub(r"\s*[(（][^)）]*[)）]", "", each)
                yield Escalation(
                    line=line.line,
                    level=str(index),
                    who=who,
                    within=length.text if length else "",
                    contact=channel_of(each),
                )


def _of_column(table: Table) -> list[Escalation]:
    """The chains (`On-call → Lead`) in a column of a table of severities: one for each of its rows."""
    header = [cell.text for cell in table.header.cells]
    columns = [index for index, text in enumerate(header) if index and says(text, "escalation")]
    found: list[Escalation] = []
    for row in table.rows if columns else ():
        chain = row.text(columns[0])
        names = [each.strip() for each in _ARROW.split(chain) if each.strip()]
        if len(names) >= 2 or found:
            found.append(Escalation(line=row.line, level=row.text(0), who=chain, contact=channel_of(chain)))
    return found


def _of_lines(part: Part) -> list[Escalation]:
    """`**0-15 minutes**: on-call engineer`, line below line."""
    pairs = [(name, value, line) for name, value, line in named_values(part) if value]
    timed = [(name, value, line) for name, value, line in pairs if duration(name) or _TIER.match(name)]
    if len(timed) < 2 or len(timed) != len(pairs):
        return []
    found = []
    for name, value, line in timed:
        length = duration(name) or duration(value)
        found.append(
            Escalation(
                line=line, level=name, who=value, within=length.text if length else "", contact=channel_of(value)
            )
        )
    return found


def _of_table(table: Table, part: Part) -> list[Escalation]:
    header = [cell.text for cell in table.header.cells]
    tiers = [row for row in table.rows if _TIER.match(row.text(0))]
    about = any(says(title, "escalation") for title in (part.title, *part.path[-1:])) or says(
        " ".join(header), "escalation"
    )
    if not about or len(header) < 2:
        return []
    if re.search(r"\bwhen\b|trigger|condition|criteria", part.title + header[0], re.I):
        return []
    if not says(part.title, "escalation") and sum(bool(_SEVERITY.match(row.text(0))) for row in table.rows) * 2 >= len(
        table.rows
    ):
        return []
    timed_rows = sum(bool(_time_column(header, row.text)) for row in table.rows)
    named = any(says(text, "escalation") for text in header[1:])
    chain = _CHAIN.search(part.title) or (named and timed_rows * 2 >= len(table.rows))
    levelled = (
        chain
        or len(tiers) * 2 >= len(table.rows)
        or re.search(r"level|tier|nivel|stufe|уровень|级别|レベル|레벨|단계|order|步", header[0], re.I)
    )
    if not levelled and not re.search(r"time|minutes|elapsed|after|zeit|tiempo|时间|時間|시간", header[0], re.I):
        return []
    found: list[Escalation] = []
    for row in table.rows:
        texts = [row.text(index) for index in range(1, len(header))]
        timed = _time_column(header, row.text)
        channel = next((channel for text in texts if (channel := channel_of(text))), "")
        who = next((text for text, title in zip(texts, header[1:], strict=True) if not _TIME_TITLE.search(title)), "")
        found.append(Escalation(line=row.line, level=row.text(0), who=who, within=timed, contact=channel))
    return found


_TIME_TITLE = re.compile(
    r"\btime\b|\bwhen\b|^\W*nach\b|within|minutes|\bafter\b|zeit|tiempo|tempo|время|时间|時間|시간", re.I
)


def _of_drawing(part: Part) -> Iterable[Escalation]:
    """A chain drawn in a block of text: `L1 - On-call engineer`, an arrow with a time, the next level."""
    for fence in part.fences():
        if fence.language not in ("text", "diagram"):
            continue
        drawn: list[Escalation] = []
        for index, line in enumerate(fence.text.split("\n")):
            tier = _TIER.match(line)
            length = duration(line)
            if tier:
                who = re.sub(r"^[\s:：–—-]+|\s*[(（].*$", "", line[tier.end() :]).strip(" │|")
                drawn.append(
                    Escalation(
                        line=fence.line + index,
                        level=tier[0].strip(" │|"),
                        who=who,
                        contact=channel_of(line),
                        within=length.text if length else "",
                    )
                )
        yield from drawn if len(drawn) >= 2 else ()


def _time_column(header: list[str], cell: object) -> str:
    for index, title in enumerate(header):
        if re.search(
            r"time|when|within|after|^\W*nach\b|después|response|escala|eskala|zeit|tiempo|tempo|время|时间|時間|시간|sla",
            title,
            re.I,
        ):
            length = duration(cell(index))  # type: ignore[operator]
            if length is not None:
                return length.text
    return ""


def _of_items(part: Part) -> list[Escalation]:
    """`1. **L1 Support**: ops@…` or `- 0-15 min: on-call engineer`."""
    items = [item for item in part.items() if item.checked is None]
    if len(items) < 2 or any(isinstance(child, Fence) for item in items for child in item.children):
        return []
    pairs = [(item, split_pair(item.text.split("\n")[0], item.strong)) for item in items]
    tiers = [pair for pair in pairs if _TIER.match(pair[0].text) or _ORDER.match(pair[0].text)]
    timed = [pair for pair in pairs if (length := duration(pair[0].text)) and length.start <= 12]
    ordered = all(item.ordered for item in items) and all(pair or len(item.text.split()) <= 8 for item, pair in pairs)
    if len(tiers) * 2 < len(items) and len(timed) * 2 < len(items) and not ordered:
        return []
    found: list[Escalation] = []
    for number, (item, pair) in enumerate(pairs, 1):
        name, value = pair if pair else (item.text.split("\n")[0], "")
        length = duration(name) or _in_brackets(item, value) or duration(value)
        tier = _TIER.match(name)
        level = name if pair else (tier[0].strip() if tier else str(number))
        who = value if pair else re.sub(r"^[\s:–—-]+", "", name[len(tier[0]) :] if tier else name)
        contact = channel_of(item.text)
        found.append(
            Escalation(line=item.line, level=level, who=who, within=length.text if length else "", contact=contact)
        )
    return found


def _in_brackets(item: ListItem, value: str) -> Duration | None:
    """The time of `**Level 1** (0-15 min): …`, which stands between the name and what it says."""
    first = item.text.split("\n")[0]
    before = first[: len(first) - len(value)] if value and first.endswith(value) else ""
    return duration(" ".join(re.findall(r"[(（]([^()（）]*)[)）]", before))) if before else None
