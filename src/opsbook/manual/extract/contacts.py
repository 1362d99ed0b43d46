"""Contacts: whom to reach, and how."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import duration
from opsbook.manual.document import Document, ListItem, Paragraph, Table
from opsbook.manual.facts import Contact
from opsbook.manual.inline import leading_strong
from opsbook.manual.outline import Part, all_parts, split_pair, within
from opsbook.manual.vocabulary import says

_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(
    r"(?<![\w.])\+\d[\d\s().-]{6,}\d|\+\d[\dxX]?[\w-]{8,18}(?!\w)|\(\d{3}\)\s?\d{3}-\d{4}|"
    r"(?<!\d)\d{3}-\d{3,4}-\d{4}|(?<!\d)\d{3}-[xX]{3,4}-[xX]{4}|(?<!\d)1-[85]\d\d-[\w-]{7,}"
)
_SLACK = re.compile(r"(?<![\w/#])#[a-z][\w-]{2,}(?!\w)|@[a-z][\w-]{3,}\b(?!\.)")
_PAGER = re.compile(
    r"\bPager ?Duty\b|\bOps ?[Gg]enie\b|\bVictorOps\b|\bxMatters\b|\bSplunk On-Call\b|\bIncident\.io\b", re.I
)
_PLACEHOLDER = re.compile(r"^\[[^\]]{3,60}\]$|^<[^<>]{3,60}>$|^(?:TBD|N/A|\(?to be (?:filled|defined)\)?|xxx+)$", re.I)
_CHANNEL_WORD = re.compile(
    r"^\W*(?:e-?mail|phone|mobile|cell|tel(?:efon|éfono|efone|ephone)?|slack|teams|discord|telegram|pager|"
    r"pagerduty|opsgenie|call|sms|chat|channel|hotline|correo|电话|邮箱|邮件|電話|メール|이메일|전화|почта|телефон|url|portal|"
    r"website|web)\b",
    re.I,
)
_ROLE_COLUMN = re.compile(
    r"role|name|team|who|contact|rol|nombre|equipo|função|rolle|ansprech|роль|имя|角色|姓名|负责人|职责|担当|役割|역할|담당|"
    r"service|vendor|company|provider|area|escalation|level",
    re.I,
)
_CHANNEL_COLUMN = re.compile(
    r"contact|phone|e-?mail|slack|channel|method|reach|pager|correo|tel[eé]f|kontakt|связь|телефон|电话|联系|邮|連絡|"
    r"電話|メール|연락|전화|메일|number",
    re.I,
)
# What people look at, not whom they reach.
_PAGE = re.compile(
    r"^\W*(?:status ?page|dashboards?|runbooks?|wiki|documentation|docs|grafana|repository|github|gitlab|issues?)\b|"
    r"^\W*(?:문서|상태 ?페이지|文档|文書|ドキュメント|状态页|документац|документы)",
    re.I,
)
_AVAILABILITY = re.compile(
    r"availab|hours|when|schedule|disponib|verfügbar|erreichbar|доступ|时间|時間|시간|coverage", re.I
)


def channel_of(text: str) -> str:
    """The ways to reach somebody that a text names, joined by ` / `; empty where it names none."""
    found = [match[0].strip() for pattern in (_PHONE, _MAIL) for match in pattern.finditer(text)]
    rest = _MAIL.sub(" ", text)
    found += [match[0] for match in _SLACK.finditer(rest) if not re.fullmatch(r"#\d+", match[0])]
    found += [match[0] for match in _PAGER.finditer(rest)]
    return " / ".join(dict.fromkeys(found))


def contacts(document: Document) -> list[Contact]:
    """All contacts of a manual, in order."""
    found: list[Contact] = []
    for part in all_parts(document):
        if _is_channel_list(part):
            found.extend(_of_channels(part))
            continue
        for block in within(part.blocks):
            if isinstance(block, Table) and not _is_escalation_list(part):
                found.extend(_of_table(block, part))
        if _about(part):
            found.extend(_of_items(part))
            found.extend(_of_lines(part))
            found.extend(_of_text(part))
    seen: dict[tuple[int, str], Contact] = {}
    for contact in found:
        seen.setdefault((contact.line, contact.role), contact)
    return sorted(seen.values(), key=lambda contact: contact.line)


def _about(part: Part) -> bool:
    titles = (part.title, *part.path[-2:])
    told = says(part.title, "alert") and bool(re.search(r"\bsent\b|\bto$|notif|routed", part.title, re.I))
    return told or (any(says(title, "contact") for title in titles) and not _is_escalation_list(part))


def _is_escalation_list(part: Part) -> bool:
    """A list of levels is an escalation path, whose people are named there."""
    title = part.title if part.lead is not None or not part.path else part.path[-1]
    return bool(
        re.search(
            r"escalation\s+(?:path|chain|matrix|policy|procedure|process|criteria)|when to escalate|support "
            r"(?:tiers|levels)",
            title,
            re.I,
        )
    )


def _is_channel_list(part: Part) -> bool:
    """A titled list of the ways to reach one role: Phone, Email, Slack."""
    items = part.items()
    ways = [item for item in items if _CHANNEL_WORD.match(item.text)]
    titled = part.lead is not None or (part.section.heading is not None and part.section.level >= 4)
    return titled and len(ways) >= 1 and len(ways) == len(items) and _near_contacts(part) and not _told(part)


def _told(part: Part) -> bool:
    return bool(re.search(r"\bsent\b|\bto$|notif|routed|information|channels", part.title, re.I))


def _near_contacts(part: Part) -> bool:
    return any(says(title, "contact") or says(title, "escalation") for title in (part.title, *part.path[-3:]))


def _of_channels(part: Part) -> Iterable[Contact]:
    texts = [
        channel_of(item.text) or (pair[1] if (pair := split_pair(item.text, item.strong)) else "")
        for item in part.items()
    ]
    channel = " / ".join(text for text in texts if text)
    if channel:
        yield Contact(line=part.line, role=part.title, channel=channel)


def _of_table(table: Table, part: Part) -> Iterable[Contact]:
    header = [cell.text for cell in table.header.cells]
    if re.search(r"\bwhen\b|trigger|condition|criteria", part.title + header[0], re.I):
        return
    near = _near_contacts(part)
    ways = [index for index, text in enumerate(header) if index and _CHANNEL_COLUMN.search(text)]
    if not ways and near:
        ways = [index for index in range(1, len(header)) if any(channel_of(row.text(index)) for row in table.rows)]
    if not ways or not (near or _ROLE_COLUMN.search(header[0])):
        return
    filled = [
        row
        for row in table.rows
        if any(channel_of(row.text(index)) or _PLACEHOLDER.match(row.text(index)) for index in ways)
    ]
    if not filled or (not near and len(filled) * 2 < len(table.rows)):
        return
    hours = next(
        (index for index, text in enumerate(header) if index and _AVAILABILITY.search(text) and index not in ways), None
    )
    for row in table.rows:
        texts = [channel_of(row.text(index)) or row.text(index).strip() for index in ways]
        channel = " / ".join(dict.fromkeys(text for text in texts if text and text not in ("-", "—")))
        if channel:
            yield Contact(
                line=row.line,
                role=row.text(0),
                channel=channel,
                availability=row.text(hours) if hours is not None else "",
            )


def _of_items(part: Part) -> Iterable[Contact]:
    for item in part.items():
        if item.checked is not None:
            continue
        text = item.text.split("\n")[0].strip()
        pair = split_pair(text, item.strong)
        children = " ".join(child.text for child in item.children if isinstance(child, ListItem))
        if pair is None:
            channel = channel_of(text) or (channel_of(children) if children else "")
            if channel:
                yield Contact(line=item.line, role=item.strong or _without(text, channel), channel=channel)
            continue
        name, value = pair
        if duration(name) is not None or _PAGE.search(name):
            continue
        channel = channel_of(value) or channel_of(children)
        if channel:
            role = "" if _CHANNEL_WORD.match(name) else name
            yield Contact(
                line=item.line, role=role or _role(part), channel=f"{name} {channel}" if not role else channel
            )
        elif _PLACEHOLDER.match(value) or _PAGER.search(name) or item.links or (_CHANNEL_WORD.match(name) and value):
            yield Contact(
                line=item.line,
                role="" if _CHANNEL_WORD.match(name) else name,
                channel=value if not _CHANNEL_WORD.match(name) else f"{name} {value}",
            )
        elif re.search(r"on-?call|24/7|\bext\.?\s*\d|contact", value, re.I) and len(value) < 80:
            yield Contact(line=item.line, role=name, channel=value)


def _of_lines(part: Part) -> Iterable[Contact]:
    """`**Primary**: ops@…`, line below line."""
    for block in part.blocks:
        lines = block.lines if isinstance(block, Paragraph) else ()
        listed = len(lines) >= 2 and all((p := split_pair(line.text)) and channel_of(p[1]) for line in lines)
        for line in lines:
            strong = leading_strong(line.source)
            pair = split_pair(line.text, strong) if strong or listed else None
            channel = channel_of(pair[1]) if pair else ""
            if pair and channel and not _PAGE.search(pair[0]):
                word = _CHANNEL_WORD.match(pair[0])
                yield Contact(
                    line=line.line, role="" if word else pair[0], channel=f"{pair[0]} {channel}" if word else channel
                )


def _of_text(part: Part) -> Iterable[Contact]:
    """`On-call: PagerDuty` line by line in a block of text under a title that speaks of contacts."""
    for fence in part.fences():
        if fence.language != "text" or not any(says(title, "contact") for title in (part.title, *part.path[-1:])):
            continue
        for index, line in enumerate(fence.text.split("\n")):
            pair = split_pair(line.strip()) if len(line) < 200 else None
            channel = channel_of(pair[1]) if pair else ""
            if pair and channel:
                yield Contact(line=fence.line + index, role=pair[0], channel=channel)


def _without(text: str, channel: str) -> str:
    for piece in channel.split(" / "):
        text = text.replace(piece, "")
    return re.sub(r"^[\W_]+|[\W_]+$", "", text)


def _role(part: Part) -> str:
    return part.title if part.lead is not None and not _told(part) else ""
