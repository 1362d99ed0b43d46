"""Objectives against the backups that should keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_EVERY = {
    "hourly": 3600,
    "daily": 86400,
    "nightly": 86400,
    "weekly": 604800,
    "monthly": 2592000,
    "continuous": 0,
    "continuously": 0,
}


_LOG_SHIPPING = re.compile(
    (
        r"\bwal\b|write-ahead|point[- ]in[- ]time|\bpitr\b|archive_command|pgbackrest|wal-g|"
        r"barman|binlog|continuous(?:ly)? (?:archiv|backup)|incremental|(?:streaming|synchronous|"
        r"with|database|mysql|postgres\w*) replica|\baof\b|oplog|(?:snapshot|backup|dump)s? every "
        r"\d+ ?(?:min|h)|every \d+ (?:min\w*|hours?) (?:snapshot|backup|dump)"
    ),
    re.I,
)


@rule(
    "OB520",
    "rpo-not-kept",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="An RPO shorter than the time between two backups",
    reason=(
        "What was written since the last backup is lost. A dump once a day loses up to a "
        "day, whatever the objective says; only WAL archiving or a replica comes below that."
    ),
    source="https://www.postgresql.org/docs/current/continuous-archiving.html",
    bad=("**RPO**: 1 hour\n\n**Automated daily backups**\n\n") + sh("pg_dump -U app -Fc -f shop.dump shop"),
    good=("**RPO**: 24 hours\n\n**Automated daily backups**\n\n") + sh("pg_dump -U app -Fc -f shop.dump shop"),
)
def rpo_not_kept(context: Context) -> Iterator[Fault]:
    """The most frequent backup against each RPO with no log shipping; an RPO by WAL whose only recovery is a dump."""
    least = _shortest_interval(context)
    for objective in context.read.objectives:
        if objective.kind.upper() != "RPO" or re.search(r"\blogs?\b|wal\b|redis|cache", objective.scope, re.I):
            continue
        promised = next(iter(periods(_spelled(objective.value))), None)
        if promised is None or least is None or promised >= least:
            continue
        line = context.document.lines[objective.line - 1]
        managed = re.search(
            r"\brds\b|aurora|cloud ?sql|\bneon\b|supabase|atlas|dynamodb|\bwal\b|wal[-_]g|binlog", context.text
        )
        unproven = re.compile(r"point[-_ ]in[-_ ]time|\bpitr\b|incremental", re.I)
        shipping = [
            n
            for n, text in enumerate(context.document.lines, 1)
            if _LOG_SHIPPING.search(text if managed else unproven.sub("", text)) and n != objective.line
        ]
        if not shipping:
            yield Fault(
                context.place(objective.line),
                (
                    f"RPO {objective.value}, but the most frequent backup is taken every {_say(least)}: up to "
                    f"{_say(least)} are lost"
                ),
                subject=line,
            )
        elif _only_dump_restored(context) and re.search(
            r"\bwal\b|archiv", " ".join(context.document.lines[n - 1] for n in shipping), re.I
        ):
            yield Fault(
                context.place(objective.line),
                (
                    f"RPO {objective.value} relies on WAL, but the only recovery given restores a dump: WAL "
                    f"cannot be replayed onto it"
                ),
                subject=line,
            )


@rule(
    "OB529",
    "data-saved-too-rarely",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One kind of data is saved less often than the RPO of the whole system allows",
    reason=(
        "The objective holds for everything that it does not except. What is saved once a week loses up to a week, "
        "however often the database beside it is dumped."
    ),
    source="the manual itself",
    bad=(
        "**RPO**: 24 hours\n\n## Backup\n\n| Data | Frequency | Retention |\n|-|-|-|\n"
        "| Database | Daily | 30 days |\n| Uploads | Weekly | 1 year |"
    ),
    good=(
        "**RPO**: 24 hours\n\n## Backup\n\n| Data | Frequency | Retention |\n|-|-|-|\n"
        "| Database | Daily | 30 days |\n| Full backup | Weekly | 1 year |"
    ),
)
def data_saved_too_rarely(context: Context) -> Iterator[Fault]:
    """Rows of data, not of kinds of dumps, settings or logs, against an RPO of the system that other rows keep."""
    least = _shortest_interval(context)
    for objective in context.read.objectives:
        if objective.kind.upper() != "RPO" or objective.scope not in ("system", "") or least is None:
            continue
        promised = next(iter(periods(_spelled(objective.value))), None)
        if promised is None or promised < least:
            continue
        for backup in context.read.backups:
            every = _EVERY.get(backup.frequency.lower(), 0)
            table_row = context.document.lines[backup.line - 1].lstrip().startswith("|")
            if table_row and every > promised and not _NOT_DATA.search(backup.what):
                yield Fault(
                    context.place(objective.line),
                    f"RPO {objective.value}, but {backup.what} is saved {backup.frequency} (line {backup.line})",
                    subject=f"rare-{objective.line}",
                )


_NOT_DATA = re.compile(
    r"full|complete|whole|system|snapshot|incremental|differential|archive|image|log|config|setting|code|backup|dump|"
    r"daily|weekly|monthly|yearly|long|tier|cold|フル|全体|設定|ログ|完全|全量|配置|日志|전체|설정|로그|voll|completo",
    re.I,
)


def _spelled(value: str) -> str:
    return (
        re.sub(r"(\d)(min|mo|h|d|w|y|m|s)\b", r"\1 \2", value)
        .replace(" h", " hour")
        .replace(" d", " day")
        .replace(" w", " week")
        .replace(" y", " year")
        if re.search(r"\d[a-z]", value)
        else value
    )


def _shortest_interval(context: Context) -> float | None:
    found: list[float] = []
    for backup in context.read.backups:
        text = f"{backup.frequency}".lower()
        if re.search(r"schema|config|manual|redis|artifact|log", backup.what, re.I) and not re.search(
            r"database|full|postgres|mysql", backup.what, re.I
        ):
            continue
        if "continuous" in text or "(log)" in backup.what:
            continue
        for word, seconds in _EVERY.items():
            if word in text:
                found.append(seconds)
        found += periods(_spelled(text))
    return min(found) if found else None


def _only_dump_restored(context: Context) -> bool:
    restores = [
        s.program
        for s in context.steps
        if s.program in ("pg_restore", "psql", "pgbackrest", "barman", "wal-g", "mysqlbinlog", "pg_basebackup")
    ]
    return (
        "pg_restore" in restores
        and not {"pgbackrest", "barman", "wal-g", "mysqlbinlog", "pg_basebackup"} & set(restores)
        and not re.search(r"recovery_target|restore_command|recovery\.signal|recovery\.conf", context.text)
    )


def _say(seconds: float) -> str:
    for size, name in ((2592000, "month"), (604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds / size
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


@rule(
    "OB521",
    "objective-without-means",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="An RPO for transaction logs that nothing archives",
    reason=(
        "A promise about WAL or binary logs needs an archive of them and a procedure that "
        "replays it. Neither is in the manual."
    ),
    source="https://www.postgresql.org/docs/current/continuous-archiving.html",
    bad=(
        "### Recovery Point Objectives (RPO)\n"
        "\n"
        "- **Database**: 24 hours (daily backup)\n"
        "- **Transaction logs**: 5 minutes (if enabled)"
    ),
    good=(
        "### Recovery Point Objectives (RPO)\n"
        "\n"
        "- **Database**: 24 hours (daily backup)\n"
        "- **Transaction logs**: 5 minutes\n"
        "\n"
        "WAL is archived by pgBackRest."
    ),
)
def objective_without_means(context: Context) -> Iterator[Fault]:
    """Objectives whose scope is logs, with no means named anywhere else."""
    for objective in context.read.objectives:
        if objective.kind.upper() == "RPO" and re.search(
            r"transaction log|wal\b|binlog|binary log", objective.scope, re.I
        ):
            others = [text for n, text in enumerate(context.document.lines, 1) if n != objective.line]
            if not any(_LOG_SHIPPING.search(text) for text in others):
                yield Fault(
                    context.place(objective.line),
                    f"RPO {objective.value} for {objective.scope}, but nothing archives or replays them",
                )


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@rule(
    "OB522",
    "backup-in-window",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Backups that run inside the maintenance window",
    reason=(
        "In the window the system is stopped, changed and restarted: the backup fails, slows "
        "the work down or keeps a state from the middle of it. It belongs before."
    ),
    source="the manual itself",
    bad=(
        "**Daily Backups:**\n"
        "- **Time**: 3:00 AM UTC\n"
        "- **Retention**: 7 days\n"
        "- **Type**: full database dump\n"
        "\n"
        "## Maintenance Windows\n"
        "\n"
        "- **Day**: Sunday\n"
        "- **Time**: 2:00 AM - 6:00 AM UTC\n"
        "- **Frequency**: Monthly"
    ),
    good=(
        "**Daily Backups:**\n"
        "- **Time**: 1:00 AM UTC\n"
        "- **Retention**: 7 days\n"
        "- **Type**: full database dump\n"
        "\n"
        "## Maintenance Windows\n"
        "\n"
        "- **Day**: Sunday\n"
        "- **Time**: 2:00 AM - 6:00 AM UTC\n"
        "- **Frequency**: Monthly"
    ),
)
def backup_in_window(context: Context) -> Iterator[Fault]:
    """A backup's time of day within a window's, on a day that both have."""
    for window in context.read.maintenance_windows:
        span = re.match(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", window.time)
        if not span:
            continue
        start, end = int(span[1]) * 60 + int(span[2]), int(span[3]) * 60 + int(span[4])
        for backup in context.read.backups:
            at = re.match(r"(\d{1,2}):(\d\d)$", backup.time)
            if not at or backup.frequency in ("monthly", "yearly"):
                continue
            said = " ".join(context.document.lines[backup.line - 1 : backup.line + 3]).lower()
            days = [day for day in _DAYS if day in said]
            if days and window.day and window.day.lower() not in days:
                continue
            minute = int(at[1]) * 60 + int(at[2])
            if start <= minute < end:
                line = next(
                    (
                        n
                        for n in range(backup.line, min(backup.line + 4, len(context.document.lines)) + 1)
                        if re.search(r"\d{1,2}(?::\d\d)?\s*(?:AM|PM)|\d{1,2}:\d\d", context.document.lines[n - 1])
                    ),
                    backup.line,
                )
                yield Fault(
                    context.place(line),
                    (
                        f"the {backup.frequency} backup at {backup.time} runs inside the window {window.time} of "
                        f"line {window.line}"
                    ),
                )
