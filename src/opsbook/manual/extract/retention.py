"""Retention: how long something is kept, in prose, in statements, in scripts and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import Duration, duration, frequency
from opsbook.manual.document import Document, Fence, ListItem, Paragraph, Prose, Table
from opsbook.manual.extract.retention_settings import comments, settings
from opsbook.manual.extract.statements import read_block, sql_lines
from opsbook.manual.facts import Retention
from opsbook.manual.outline import Part, all_parts, split_pair, within
from opsbook.manual.shell import walk_commands

_SQL_DELETE = re.compile(r"delete\s+from\s+([\w.\"]+).*?\binterval\s*'?\s*(\d+)\s*'?\s*(\w+)", re.I | re.S)
_SQL_POLICY = re.compile(
    r"(?:add_retention_policy|drop_chunks)\s*\(\s*'([\w.]+)'\s*,.*?interval\s*'\s*(\d+\s*\w+)", re.I | re.S
)
_KEPT = re.compile(
    r"\b(?:retain(?:ed|s)?|keep|kept|stored|preserved|archived?|delet(?:e|ed)|purged?|removed?|rotat\w+|"
    r"retention|expire[sd]?|aufbewahr\w*|gelöscht|conserva\w*|retenci[oó]n|mant\w+|retenção|elimina\w*|"
    r"хран\w+|удаля\w+)\b|保留|保存|保持|保管|删除|削除|보관|보존|삭제",
    re.I,
)
_CARRIED_FIND = re.compile(r"\bfind\s+(\S+)\s.*-mtime\s+\+(\d+)\b.*(?:-delete\b|\brm\b)")
# What is kept so is a state or a right, not data.
_STATE = re.compile(
    r"\bkeep\s.{0,40}\b(?:open|up|on|off|running|enabled|disabled|stopped|scaled|informed|updated|active|paused|"
    r"in place|in mind|monitoring|watching)\b|"
    r"\b(?:sessions?|tokens?|certificates?|certs?|passwords?|credentials?|licen[sc]es?|links?|cookies?|invitations?|"
    r"locks?|leases?|cache\w*|keys?)\b[^.;]{0,40}\bexpire",
    re.I,
)
# `Keep 7 daily backups`: seven days of them.
_COUNTED = re.compile(
    r"\b(?:keep|kept|retain(?:ed|s)?|retention|store|save)\b\W*(?:the\s+|policy\W+)*(?:last\s+|latest\s+)?(\d+)\s+"
    r"(?:\w+\s+)?(hourly|daily|nightly|weekly|monthly|yearly|annual)\b",
    re.I,
)
_COUNT = re.compile(
    r"\W*(?:keep|retain|last)\s+(?:the\s+)?(?:last\s+)?(\d+)(?:\s+(?:copies|backups|files|versions))?\W*$", re.I
)
_COUNTS = {"hourly": "h", "daily": "d", "nightly": "d", "weekly": "w", "monthly": "month"}
_NAME = re.compile(
    r"retention|retain|keep|\bkept\b|retenci|retenç|aufbewahr|conserva|срок хранения|хранение|"
    r"保留|保存|保持|保管|보존|보관",
    re.I,
)


def retention(document: Document) -> list[Retention]:
    """All retention rules of a manual, in order."""
    found: list[Retention] = []
    for part in all_parts(document):
        for block in within(part.blocks):
            if isinstance(block, Fence):
                found.extend(_of_fence(block, part))
            elif isinstance(block, Table):
                found.extend(_of_table(block))
            elif isinstance(block, (ListItem, Paragraph)):
                found.extend(_of_prose(block, part))
    return _distinct(found)


def _distinct(found: list[Retention]) -> list[Retention]:
    seen: dict[tuple[int, str], Retention] = {}
    for rule in found:
        seen.setdefault((rule.line, rule.keep), rule)
    return sorted(seen.values(), key=lambda rule: rule.line)


def keep_of(text: str) -> Duration | None:
    """For how long a text says that something is kept: `keep 30 days`, `retained for 1 year`, `30-day retention`."""
    if _STATE.search(text):
        return None
    counted = _COUNTED.search(text)
    if counted is not None:
        return duration(f"{counted[1]} {_COUNTS.get(counted[2].lower(), 'year')}")
    for match in _KEPT.finditer(text):
        length = duration(text[match.end() : match.end() + 60])
        if (
            length is not None
            and length.seconds
            and length.seconds >= 3600
            and not re.search(r"[.;]\s", text[match.end() : match.end() + length.start])
        ):
            return length
        before = duration(text[max(0, match.start() - 24) : match.start()])
        if before is not None and before.seconds and before.seconds >= 3600 and _NAME.match(match[0]):
            return before
    return None


def _of_prose(block: Prose, part: Part) -> Iterable[Retention]:
    if isinstance(block, ListItem) and block.checked is not None:
        return
    for line in block.lines:
        pair = split_pair(line.text, block.strong if line is block.lines[0] else "")
        if pair and _NAME.search(pair[0]) and (length := duration(pair[1])) is not None:
            yield Retention(
                line=line.line,
                what=part.title.lower() if _NAME.fullmatch(pair[0].strip()) else pair[0].lower(),
                keep=length.text,
            )
        elif _KEPT.search(line.text) and (kept := keep_of(line.text)) is not None and len(line.text) < 200:
            what = pair[0] if pair else _subject(line.text, part)
            yield Retention(line=line.line, what=what.lower(), keep=kept.text)
        elif pair and (often := frequency(pair[0])) and (counted := _COUNT.match(pair[1])) is not None:
            length = duration(f"{counted[1]} {_COUNTS.get(often, '')}") if often in _COUNTS else None
            if length is not None:
                yield Retention(line=line.line, what=pair[0].lower(), keep=length.text)
        elif (
            pair
            and isinstance(block, ListItem)
            and _titled_retention(part)
            and (length := duration(pair[1])) is not None
            and length.start <= 20
        ):
            yield Retention(line=line.line, what=pair[0].lower(), keep=length.text)


def _titled_retention(part: Part) -> bool:
    return bool(_NAME.search(part.title)) or (
        bool(part.path) and part.lead is None and bool(_NAME.search(part.path[-1]))
    )


def _subject(text: str, part: Part) -> str:
    match = re.match(r"\W*([\w /-]{3,40}?)\s+(?:are|is|will be|must be|kept|retained|stored|archived|auto)", text, re.I)
    return match[1] if match else part.title


def _of_table(table: Table) -> Iterable[Retention]:
    columns = [index for index, cell in enumerate(table.header.cells) if index and _NAME.search(cell.text)]
    for row in table.rows if columns else ():
        length = duration(row.text(columns[0]))
        if length is not None:
            yield Retention(line=row.line, what=row.text(0).lower(), keep=length.text)


def _of_fence(fence: Fence, part: Part) -> list[Retention]:
    """The rules of a block: statements and commands, settings, and what its comments say that these do not."""
    found: list[Retention] = []
    if fence.language == "sql":
        found.extend(_of_sql(fence.text, fence.line))
    elif fence.language in ("bash", "console"):
        for command in walk_commands(read_block(fence).parsed):
            for embedded in command.embedded:
                if embedded.language == "sql":
                    found.extend(_of_sql(embedded.text, embedded.line))
            words = command.words
            if command.program == "find" and "-mtime" in words and ("-delete" in words or command.nested):
                found.extend(_of_find(words, command.line, part))
        told = list(settings(fence))
        # `find … -mtime +$KEEP_DAYS` only carries out what the variable says.
        found = [rule for rule in found if not any(each.keep == rule.keep for each in told)] + told
    elif fence.language not in ("promql", "diagram", "nginx"):
        found.extend(settings(fence))
        found.extend(_of_carried_find(fence))
    if fence.language in ("bash", "console", "sql", "crontab", "yaml"):
        found.extend(told for told in comments(fence) if not any(_says(told, rule) for rule in found))
    return [rule for rule in found if not any(_beside(rule, each) for each in found)]


def _says(comment: Retention, rule: Retention) -> bool:
    """Whether a comment only announces a rule that stands below it."""
    return comment.keep == rule.keep and -1 <= rule.line - comment.line <= 4


def _beside(rule: Retention, other: Retention) -> bool:
    """Whether one of two commands side by side only goes on with the rule of the other, for the same folder."""
    folder = rule.what.split(" ")[0]
    same = rule.keep == other.keep and folder == other.what.split(" ")[0] and folder.startswith(("/", "$", "."))
    return same and 0 < rule.line - other.line <= 2


def _of_sql(text: str, line: int) -> Iterable[Retention]:
    for statement in sql_lines(text, line):
        told = statement.text[:4000]
        if (match := _SQL_DELETE.search(told)) is not None:
            length = duration(f"{match[2]} {match[3]}")
            if length is not None:
                yield Retention(line=statement.line, what=match[1].strip('"'), keep=length.text)
        elif (match := _SQL_POLICY.search(told)) is not None and (length := duration(match[2])) is not None:
            yield Retention(line=statement.line, what=match[1], keep=length.text)


def _of_find(words: tuple[str, ...], line: int, part: Part) -> Iterable[Retention]:
    at = words.index("-mtime") + 1
    days = words[at].lstrip("+") if at < len(words) else ""
    if days.isdigit():
        name = words[words.index("-name") + 1] if "-name" in words[:-1] else ""
        what = f"{words[1]} {name}".strip() if len(words) > 1 else part.title
        yield Retention(line=line, what=what, keep=f"{days}d")


def _of_carried_find(fence: Fence) -> Iterable[Retention]:
    """The `find … -delete` of a script that a manifest or another language carries."""
    for index, line in enumerate(fence.text.split("\n")):
        match = _CARRIED_FIND.search(line) if len(line) < 500 else None
        if match is not None:
            name = re.search(r"-name\s+['\"]?([^\s'\"]+)", line)
            what = f"{match[1]} {name[1]}" if name else match[1]
            yield Retention(line=fence.line + index, what=what, keep=f"{match[2]}d")
