"""Backups: what is backed up, how often, how long it is kept, where it goes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import cron_frequency, days, duration, frequency, times
from opsbook.manual.document import Document, Fence, ListItem, Paragraph, Prose, Table
from opsbook.manual.extract.backup_commands import backup_commands
from opsbook.manual.extract.backup_schedules import BUCKET, NOT_STATED, schedules
from opsbook.manual.extract.retention import keep_of
from opsbook.manual.facts import Backup
from opsbook.manual.outline import Part, all_parts, named_values, split_pair, within
from opsbook.manual.vocabulary import says

_STORE = re.compile(
    r"\bS3\b(?:\s+\w+)?|\bGlacier\b|\bGCS\b|\bAzure Blob\b|\bNAS\b|\bNFS\b|\boff-?site\b|\bBackblaze\b|"
    r"\btape\b|/(?:var|mnt|opt|srv|data)?/?backups?\b[\w/.-]*",
    re.I,
)
_ON_DEMAND = re.compile(
    r"on[- ]demand|on (?:every |each )?(?:change|deploy\w*)|manual|optional|ad[- ]?hoc|as needed|"
    r"before (?:each|every)|bei Bedarf",
    re.I,
)
_WAL = re.compile(r"\bWAL\b|binlog|binary log|transaction log|point-in-time|PITR|archive_command|oplog", re.I)
# A sentence that says that backups are taken, wherever it stands.
_TAKEN = re.compile(
    r"\b(?:backups?|snapshots?|dumps?)\b[^.]{0,40}\b(?:run|runs|are|is|happen|taken|created|performed|made|executed|"
    r"scheduled)\b|\b(?:is|are|gets?)\s+(?:\w+\s+)?backed[- ]up\b|\bwe (?:back up|take)\b|\bbacks up\b|"
    r"\bwird\b.{0,60}\bgesichert\b|\bse respalda\w*\b",
    re.I,
)
_RESTORE = re.compile(
    r"restor|recover|restaur|recuper|wiederherstell|восстанов|恢复|復旧|복구|リストア|test|verif|check|drill|monitor|"
    r"alert|fail|status|manual|ad-?hoc|before|prior|pre-",
    re.I,
)


def backups(document: Document) -> list[Backup]:
    """All backups of a manual.

    Where it declares a regime, its manual dumps are procedures, not backups; else they are all it has.
    """
    declared: list[Backup] = []
    for part in all_parts(document):
        titled = _of_titled_list(part) or _of_frequency_list(part)
        if titled is not None:
            declared.append(titled)
            continue
        for block in within(part.blocks):
            if isinstance(block, Table):
                declared.extend(_of_table(block, part))
            elif isinstance(block, Fence):
                declared.extend(schedules(block, part))
            elif isinstance(block, (ListItem, Paragraph)):
                declared.extend(_of_prose(block, part))
    scheduled = [part for part in all_parts(document) if frequency(part.title) and says(part.title, "backup")]
    by_command = backup_commands(document, scheduled if declared else None)
    near = {backup.line for backup in declared}
    found = declared + [backup for backup in by_command if not any(abs(backup.line - line) <= 15 for line in near)]
    seen: dict[tuple[int, str], Backup] = {}
    for backup in found:
        seen.setdefault((backup.line, backup.what), backup)
    return sorted(seen.values(), key=lambda backup: backup.line)


def _about(part: Part) -> bool:
    """Whether a part stands in a section on taking backups, not on restoring them."""
    near = (part.title, *part.path[-1:]) if part.lead is not None else part.path[-1:] or (part.title,)
    above = part.path[-2:-1] if part.lead is None else ()
    if any(_RESTORE.search(re.sub(r"(?i)backups?\s*(?:&|and|und|y|e|и|/)\s*\w+|backup", "", title)) for title in near):
        return False
    return any(says(title, "backup-section") for title in (*near, *above))


def _of_titled_list(part: Part) -> Backup | None:
    """`Daily Backups:` over time, retention, type and storage."""
    named = says(part.title, "backup") or (bool(frequency(part.title)) and _about(part))
    if not named or _RESTORE.search(part.title.replace("Recovery", "")):
        return None
    values = _values(part)
    if len(values) < 2 or not ({"time", "frequency", "retention"} & set(values)):
        return None
    often = (
        frequency(values.get("frequency", ""))
        or frequency(part.title)
        or frequency(values.get("time", ""))
        or _by_day(values.get("time", ""))
    )
    clock = times(values.get("time", "") or values.get("frequency", ""))
    keep = duration(values.get("retention", ""))
    first = part.blocks[0].line
    line = part.line if part.lead is not None or first - part.line <= 3 else first
    return Backup(
        line=line,
        what=values.get("what", part.title),
        frequency=often or NOT_STATED,
        time=clock.text if clock else "",
        retention=keep.text if keep else "",
        destination=values.get("destination", ""),
        how=values.get("how", ""),
    )


def _values(part: Part) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value, _ in named_values(part):
        role = _role(name)
        if role:
            values.setdefault(role, value)
    return values


def _of_frequency_list(part: Part) -> Backup | None:
    """`Daily:` over the things that are backed up, in a section on backups."""
    items = [item for item in part.items() if item.checked is None and not item.ordered]
    often = frequency(part.title)
    if part.lead is None or not often or len(part.title.split()) > 3 or not items or not _about(part) or part.fences():
        return None
    if any(frequency(item.text) for item in items):
        return None
    clock = times(part.title)
    what = "; ".join(item.text for item in items)
    return Backup(line=part.line, what=what, frequency=often, time=clock.text if clock else "")


def _role(name: str) -> str:
    for role, pattern in (
        ("retention", r"retention|keep|kept|retenci|retenç|aufbewahr|хранен|保留|保存|保持|保管|보존|보관"),
        (
            "frequency",
            r"frequen|schedule|interval|how often|häufigkeit|zeitplan|turnus|programaci|расписание|частота|频率|"
            r"周期|頻度|スケジュール|주기|일정",
        ),
        ("time", r"\btime\b|when|\bwann\b|cuándo|\bquand(?:o)?\b|hora|uhrzeit|zeit|время|时间|時刻|시간|시각"),
        (
            "destination",
            r"storage|location|destination|target|where|stored|\bwohin\b|dónde|\boù\b|ubicaci|destino|armazen|speicherort|ziel|"
            r"ablage|место|хранилищ|位置|存储|保存先|저장|위치",
        ),
        ("how", r"method|tool|script|how|método|methode|verfahren|werkzeug|метод|способ|方法|工具|方式|방법"),
        (
            "what",
            r"^\W*(?:(?:backup\s+)?type|what|scope|contents?|includes?|data|component|item|source|tipo|"
            r"alcance|conteúdo|art|umfang|inhalt|тип|содержимое|类型|内容|対象|種類|종류|대상)\W*$",
        ),
    ):
        if re.search(pattern, name, re.I):
            return role
    return ""


def _by_day(text: str) -> str:
    if re.search(r"\b(?:1st|first|erste[rn]?|primer)\b.*\b(?:month|mes|monat)|\d+(?:st|nd|rd|th) of", text, re.I):
        return "monthly"
    return "weekly" if days(text) else ""


def _of_table(table: Table, part: Part) -> Iterable[Backup]:
    header = [cell.text for cell in table.header.cells]
    roles = {index: role for index, text in enumerate(header) if (role := _role(text))}
    if not (_about(part) or any(says(text, "backup") for text in header)) or not {
        "frequency",
        "retention",
        "time",
    } & set(roles.values()):
        return
    # A table of how long data is kept is no table of backups, though it stand beside one.
    own = says(part.title, "backup") or any(says(text, "backup") for text in header)
    if not own and not {"frequency", "time"} & set(roles.values()):
        return
    for row in table.rows:
        texts = {role: row.text(index) for index, role in reversed(roles.items())}
        told = texts.get("frequency", "") + " " + texts.get("time", "")
        often = (
            frequency(told)
            or cron_frequency(texts.get("frequency", "").strip("`"))
            or _by_day(told)
            or frequency(row.text(0))
        )
        keep, clock = duration(texts.get("retention", "")), times(told)
        if often or keep or _ON_DEMAND.search(texts.get("frequency", "")):
            yield Backup(
                line=row.line,
                what=row.text(0),
                frequency=often or NOT_STATED,
                time=clock.text if clock else "",
                retention=keep.text if keep else "",
                destination=texts.get("destination", ""),
                how=texts.get("how", ""),
            )


def _of_prose(block: Prose, part: Part) -> Iterable[Backup]:
    """`- **Database**: Daily snapshots, WAL archiving` in a section on backups; `- Full backups: daily, kept 30
    days` anywhere."""
    text = block.text.split("\n")[0].strip()
    if isinstance(block, ListItem) and (block.checked is not None or len(text) > 240):
        return
    pair = split_pair(text, block.strong)
    if isinstance(block, Paragraph):
        yield from _of_paragraph(block, pair, part)
        return
    if not isinstance(block, ListItem) or _RESTORE.match(text):
        return
    titled = block.strong and says(block.strong, "backup") and text.rstrip(":") == block.strong.rstrip(":")
    often = frequency(block.text.replace(block.strong, "") if pair else text)
    if titled and not pair and (often := frequency(part.title)) and not _RESTORE.search(block.strong):
        yield Backup(line=block.line, what=block.strong, frequency=often, how=_first_command(block))
    elif pair and _about(part) and (often or says(pair[1], "backup") or frequency(pair[0])) and not _role(pair[0]):
        yield from _split(block, pair, text)
    elif often and not pair and ((says(text, "backup") and _about(part)) or _TAKEN.search(text)):
        yield from _split(block, (_what(text), text), text)
    elif pair and often and says(pair[0], "backup") and not _RESTORE.search(text):
        yield from _split(block, pair, text)


def _of_paragraph(block: Paragraph, pair: tuple[str, str] | None, part: Part) -> Iterable[Backup]:
    """A paragraph `**Schedule**: daily at 02:00` and lines like it, in a section on a backup."""
    taken = bool(_TAKEN.search(block.text)) and not _RESTORE.match(block.text)
    if not _about(part) and not taken:
        return
    if not block.strong or pair is None:
        often, clock = frequency(block.text), times(block.text)
        if (
            often
            and (taken or says(block.text, "backup"))
            and len(block.text) < 300
            and (taken or clock or re.search(r"automat|cron|schedul|программ|自动|自動|자동", block.text, re.I))
        ):
            keep = keep_of(block.text)
            yield Backup(
                line=block.line,
                what=part.title,
                frequency=often,
                time=clock.text if clock else "",
                retention=keep.text if keep else "",
                how=block.text,
            )
        return
    values: dict[str, str] = {}
    for line in block.lines:
        named = split_pair(line.text, line.text.split(":")[0] if ":" in line.text[:40] else "")
        if named and (role := _role(named[0])):
            values.setdefault(role, named[1])
    told = values.get("frequency", "") or values.get("time", "")
    often = frequency(told) or _by_day(told)
    if often and len(block.lines) <= 8:
        keep, clock = duration(values.get("retention", "")), times(told)
        yield Backup(
            line=block.line,
            what=part.title,
            frequency=often,
            time=clock.text if clock else "",
            retention=keep.text if keep else "",
            destination=values.get("destination", ""),
        )


def _split(block: ListItem, pair: tuple[str, str], text: str) -> Iterable[Backup]:
    """One line may promise a snapshot and a log: each is a backup."""
    name, value = pair
    pieces = [piece.strip() for piece in re.split(r"[,;]\s+|\s+\+\s+|、", value) if piece.strip()]
    logs = [piece for piece in pieces if _WAL.search(piece)]
    keep = keep_of(text) or next(
        (d for piece in pieces if re.search(r"retention|retained|kept|保留", piece, re.I) and (d := duration(piece))),
        None,
    )
    clock, bucket = times(value), BUCKET.search(value) or _STORE.search(value)
    common = {"retention": keep.text if keep else "", "destination": bucket[0] if bucket else ""}
    rest = [piece for piece in pieces if piece not in logs] or ([] if logs else [value])
    if rest:
        told = ", ".join(rest)
        often = frequency(told) or frequency(name) or _by_day(told)
        yield Backup(
            line=block.line,
            what=name,
            frequency=often or NOT_STATED,
            time=clock.text if clock else "",
            how=told,
            **common,
        )
    for piece in logs:
        yield Backup(
            line=block.line, what=f"{name} (log)", frequency=frequency(piece) or "continuous", how=piece, **common
        )


def _what(text: str) -> str:
    match = re.search(r"([\w/ -]{0,40}?(?:backups?|snapshots?|dumps?|exports?))", text, re.I)
    return match[1].strip() if match else text[:60]


def _first_command(item: ListItem) -> str:
    for block in within(item.children):
        if isinstance(block, Fence):
            return next(
                (line.strip() for line in block.text.split("\n") if line.strip() and not line.strip().startswith("#")),
                "",
            )
    return ""
