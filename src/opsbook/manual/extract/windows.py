"""Maintenance windows: when work is done on the system, and how long before people are told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import Duration, days, duration, frequency, times
from opsbook.manual.document import Document, ListItem, Paragraph, Prose, Table
from opsbook.manual.facts import Window
from opsbook.manual.outline import Part, all_parts, named_values, split_pair, within
from opsbook.manual.vocabulary import says

_WHEN = re.compile(
    r"^\W*(?:when|day|time|window|schedule|start|date|cuándo|día|hora|horario|quando|dia|wann|tag|zeit|"
    r"uhrzeit|zeitfenster|когда|день|время|окно|时间|日期|時間|日時|曜日|일시|시간)\b|^\W*(?:时间|日期|时间窗口|维护窗口|時間|日時|曜日|일시|시간|"
    r"요일)",
    re.I,
)
_NAMES_WINDOW = re.compile(
    r"\b(?:maintenance|update|patch\w*|change|service|deployment|release)\s+windows?\b|\b(?:wartungs|deploy\w*-?|release-?|änderungs)?fenster\b|"
    r"ventana\s+de\s+\w+|janela\s+de\s+\w+|окн[оа]\s+(?:технич|обслуж)\w*|维护窗口|メンテナンス(?:時間|ウィンドウ)|점검\s?시간",
    re.I,
)

_DONE = re.compile(r"\b(?:performed|scheduled|planned|takes? place|carried out|happens?|done|every|each)\b", re.I)
_BETWEEN = re.compile(
    r"\b(?:between|zwischen|entre(?: las)?)\s+(\d[\d:.]*(?:\s?[ap]\.?m\.?)?)\s+"
    r"(?:and|und|y(?: las)?|e(?: as)?)\s+(?=\d)",
    re.I,
)
_ANNOUNCE = re.compile(
    r"\b(?:notify|inform|announce|communicate|notice|avisar|notificar|informieren|ankündigen)\b", re.I
)
_AHEAD = re.compile(
    r"\W*(?:in advance|ahead|before|prior|beforehand|notice|antes|de antelación|vorher|im Voraus)\b", re.I
)


def windows(document: Document) -> list[Window]:
    """All maintenance windows of a manual, in order."""
    found: list[Window] = []
    for part in all_parts(document):
        made = _of_part(part)
        if made is not None:
            found.append(made)
            continue
        for block in within(part.blocks):
            if isinstance(block, Table):
                found.extend(_of_table(block, part))
            elif isinstance(block, (Paragraph, ListItem)):
                found.extend(_of_sentence(block, part))
    seen: dict[int, Window] = {}
    for window in found:
        seen.setdefault(window.line, window)
    return sorted(seen.values(), key=lambda window: window.line)


def _about(part: Part) -> bool:
    return any(says(title, "window") for title in (part.title, *part.path[-2:]))


def _of_part(part: Part) -> Window | None:
    """A title with its time, or a titled list of day, time, notice."""
    if not _about(part):
        return None
    if sum(bool(days(when) and times(when)) for when in _values(part)[0].get("when", [])) >= 2:
        return None  # each line is a window of its own
    title_days, title_time = days(part.title), times(part.title)
    values, first = _values(part)
    when = " ".join(values.get("when", []))
    if title_days and title_time:
        when, line = part.title, part.line
    elif values.get("when") and (times(when) or days(when)):
        # A list that a bold title names is a window by that name; else the line that says when.
        line = part.line if part.lead is not None and first - part.line <= 3 else first
    else:
        return None
    if not times(when) or not (days(when) or frequency(when) or _NAMES_WINDOW.search(part.context)):
        return None
    return _made(_name(part), line, when, values, part)


def _name(part: Part) -> str:
    return re.sub(r"\s*[(（][^)）]*[)）]", "", part.title).strip()


def _values(part: Part) -> tuple[dict[str, list[str]], int]:
    """The lines of a list by what they tell: when, frequency, duration, notice."""
    values: dict[str, list[str]] = {}
    first = 0
    for name, value, line in named_values(part):
        if says(name, "notice"):
            values.setdefault("notice", []).append(value)
        elif re.search(r"frequen|how often|häufigkeit|turnus|частота|频率|頻度|주기", name, re.I):
            values.setdefault("frequency", []).append(value)
        elif re.search(r"duration|length|lasts|duraci|duraç|dauer|длительн|продолж|时长|持续|所要|소요", name, re.I):
            values.setdefault("duration", []).append(value)
        elif _WHEN.match(name) or (times(value) and days(value)):
            values.setdefault("when", []).append(value)
            first = first or line
    return values, first


def _made(name: str, line: int, when: str, values: dict[str, list[str]], part: Part) -> Window:
    time = times(when)
    notice = duration(" ".join(values.get("notice", [])))
    lasts = duration(" ".join(values.get("duration", [])))
    often = frequency(" ".join(values.get("frequency", []))) or frequency(when) or frequency(part.title)
    named = days(when)
    if notice is None:
        notice = _told_before(part)
    return Window(
        line=line,
        name=name,
        day=", ".join(named),
        time=time.text if time else "",
        timezone=time.zone if time else "",
        frequency=often or ("weekly" if named else ""),
        duration=lasts.text if lasts else "",
        notice=notice.text if notice else "",
    )


def _told_before(part: Part) -> Duration | None:
    """`Notify users 48 hours in advance`, in the list of what is done before the window."""
    for block in within(part.section.blocks):
        if isinstance(block, (ListItem, Paragraph)):
            for line in block.lines:
                told = _ANNOUNCE.search(line.text)
                length = duration(line.text[told.end() :]) if told else None
                if (
                    length is not None
                    and length.seconds
                    and _AHEAD.match(line.text[told.end() + length.end :] if told else "")
                ):
                    return length
    return None


def _of_sentence(block: Prose, part: Part) -> Iterable[Window]:
    """`Maintenance window: Sundays 02:00-04:00 UTC` as a line of its own."""
    if isinstance(block, ListItem) and block.checked is not None:
        return
    titled = bool(_NAMES_WINDOW.search(part.title))
    for line in block.lines:
        listed = says(line.text, "window") and _about(part) and (isinstance(block, ListItem) or _DONE.search(line.text))
        if not titled and not listed and not _NAMES_WINDOW.search(line.text):
            continue
        text = _BETWEEN.sub(r"\1-", line.text)
        if times(text) is None or not (days(text) or frequency(text)) or len(text) > 220:
            continue
        pair = split_pair(line.text, block.strong if line is block.lines[0] else "")
        name = pair[0] if pair else part.title
        told = re.search(r"notice|notif|advance|aviso|vorlauf|ankündig|уведомл|提前|通知", line.text, re.I)
        notice = duration(line.text[max(0, told.start() - 25) : told.end() + 25]) if told else None
        values = {"notice": [notice.text]} if notice else {}
        yield _made(name, line.line, text, values, part)


def _of_table(table: Table, part: Part) -> Iterable[Window]:
    if not _about(part) and not any(_NAMES_WINDOW.search(cell.text) for cell in table.header.cells):
        return
    header = [cell.text for cell in table.header.cells]
    when = [index for index, text in enumerate(header) if _WHEN.match(text) or _NAMES_WINDOW.search(text)]
    for row in table.rows:
        text = " ".join(row.text(index) for index in when) if when else ""
        if not times(text) or not (
            days(text) or days(row.text(0)) or frequency(" ".join(cell.text for cell in row.cells))
        ):
            continue
        values: dict[str, list[str]] = {}
        for index, title in enumerate(header):
            if says(title, "notice"):
                values["notice"] = [row.text(index)]
            elif re.search(r"frequen|häufig|частота|频率|頻度", title, re.I):
                values["frequency"] = [row.text(index)]
            elif re.search(r"duration|dauer|duraci|длительн|时长", title, re.I):
                values["duration"] = [row.text(index)]
        named = text if days(text) else f"{row.text(0)} {text}"
        yield _made(row.text(0), row.line, named, values, part)
