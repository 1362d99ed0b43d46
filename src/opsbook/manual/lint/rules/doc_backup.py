"""Backups and promises: schedules, retention, objectives, names that nothing writes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.facts.writing import local_files, pattern_of
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule
from opsbook.manual.lint.rules.shell_flow import DUMPS

_EVERY = {"hourly": 3600, "daily": 86400, "nightly": 86400, "weekly": 604800, "monthly": 2592000, "continuous": 0, "continuously": 0}
_LOG_SHIPPING = re.compile(r"\bwal\b|write-ahead|point[- ]in[- ]time|\bpitr\b|archive_command|pgbackrest|wal-g|barman|binlog|continuous(?:ly)? (?:archiv|backup)|incremental|(?:streaming|synchronous|with|database|mysql|postgres\w*) replica|\baof\b|oplog|(?:snapshot|backup|dump)s? every \d+ ?(?:min|h)|every \d+ (?:min\w*|hours?) (?:snapshot|backup|dump)", re.I)


@rule(
    "OB520", "rpo-not-kept", FaultClass.CONTRADICTION, Severity.ERROR,
    summary="An RPO shorter than the time between two backups",
    reason="What was written since the last backup is lost. A dump once a day loses up to a day, whatever the objective says; only WAL archiving or a replica comes below that.",
    source="https://www.postgresql.org/docs/current/continuous-archiving.html",
    bad="**RPO**: 1 hour\n\n**Automated daily backups**\n\n" + sh("pg_dump -U app -Fc -f shop.dump shop"),
    good="**RPO**: 24 hours\n\n**Automated daily backups**\n\n" + sh("pg_dump -U app -Fc -f shop.dump shop"),
)  # fmt: skip
def rpo_not_kept(context: Context) -> Iterator[Fault]:
    """The most frequent backup against each RPO, with no log shipping anywhere; and an RPO by WAL whose only recovery is a dump."""
    least = _shortest_interval(context)
    for objective in context.read.objectives:
        if objective.kind.upper() != "RPO" or re.search(r"\blogs?\b|wal\b|redis|cache", objective.scope, re.I):
            continue
        promised = next(iter(periods(_spelled(objective.value))), None)
        if promised is None or least is None or promised >= least:
            continue
        line = context.document.lines[objective.line - 1]
        shipping = [n for n, text in enumerate(context.document.lines, 1) if _LOG_SHIPPING.search(text) and n != objective.line]
        if not shipping:
            yield Fault(context.place(objective.line), f"RPO {objective.value}, but the most frequent backup is taken every {_say(least)}: up to {_say(least)} are lost", subject=line)
        elif _only_dump_restored(context) and re.search(r"\bwal\b|archiv", " ".join(context.document.lines[n - 1] for n in shipping), re.I):
            yield Fault(context.place(objective.line), f"RPO {objective.value} relies on WAL, but the only recovery given restores a dump: WAL cannot be replayed onto it", subject=line)


def _spelled(value: str) -> str:
    return re.sub(r"(\d)(min|mo|h|d|w|y|m|s)\b", r"\1 \2", value).replace(" h", " hour").replace(" d", " day").replace(" w", " week").replace(" y", " year") if re.search(r"\d[a-z]", value) else value


def _shortest_interval(context: Context) -> float | None:
    found: list[float] = []
    for backup in context.read.backups:
        text = f"{backup.frequency}".lower()
        if re.search(r"schema|config|manual|redis|artifact|log", backup.what, re.I) and not re.search(r"database|full|postgres|mysql", backup.what, re.I):
            continue
        if "continuous" in text or "(log)" in backup.what:
            continue
        for word, seconds in _EVERY.items():
            if word in text:
                found.append(seconds)
        found += periods(_spelled(text))
    return min(found) if found else None


def _only_dump_restored(context: Context) -> bool:
    restores = [s.program for s in context.steps if s.program in ("pg_restore", "psql", "pgbackrest", "barman", "wal-g", "mysqlbinlog", "pg_basebackup")]
    return "pg_restore" in restores and not {"pgbackrest", "barman", "wal-g", "mysqlbinlog", "pg_basebackup"} & set(restores) and not re.search(r"recovery_target|restore_command|recovery\.signal|recovery\.conf", context.text)


def _say(seconds: float) -> str:
    for size, name in ((2592000, "month"), (604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds / size
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


@rule(
    "OB521", "objective-without-means", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="An RPO for transaction logs that nothing archives",
    reason="A promise about WAL or binary logs needs an archive of them and a procedure that replays it. Neither is in the manual.",
    source="https://www.postgresql.org/docs/current/continuous-archiving.html",
    bad="### Recovery Point Objectives (RPO)\n\n- **Database**: 24 hours (daily backup)\n- **Transaction logs**: 5 minutes (if enabled)",
    good="### Recovery Point Objectives (RPO)\n\n- **Database**: 24 hours (daily backup)\n- **Transaction logs**: 5 minutes\n\nWAL is archived by pgBackRest.",
)  # fmt: skip
def objective_without_means(context: Context) -> Iterator[Fault]:
    """Objectives whose scope is logs, with no means named anywhere else."""
    for objective in context.read.objectives:
        if objective.kind.upper() == "RPO" and re.search(r"transaction log|wal\b|binlog|binary log", objective.scope, re.I):
            others = [text for n, text in enumerate(context.document.lines, 1) if n != objective.line]
            if not any(_LOG_SHIPPING.search(text) for text in others):
                yield Fault(context.place(objective.line), f"RPO {objective.value} for {objective.scope}, but nothing archives or replays them")


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@rule(
    "OB522", "backup-in-window", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="Backups that run inside the maintenance window",
    reason="In the window the system is stopped, changed and restarted: the backup fails, slows the work down or keeps a state from the middle of it. It belongs before.",
    source="the manual itself",
    bad="**Daily Backups:**\n- **Time**: 3:00 AM UTC\n- **Retention**: 7 days\n- **Type**: full database dump\n\n## Maintenance Windows\n\n- **Day**: Sunday\n- **Time**: 2:00 AM - 6:00 AM UTC\n- **Frequency**: Monthly",
    good="**Daily Backups:**\n- **Time**: 1:00 AM UTC\n- **Retention**: 7 days\n- **Type**: full database dump\n\n## Maintenance Windows\n\n- **Day**: Sunday\n- **Time**: 2:00 AM - 6:00 AM UTC\n- **Frequency**: Monthly",
)  # fmt: skip
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
                line = next((n for n in range(backup.line, min(backup.line + 4, len(context.document.lines)) + 1) if re.search(r"\d{1,2}(?::\d\d)?\s*(?:AM|PM)|\d{1,2}:\d\d", context.document.lines[n - 1])), backup.line)
                yield Fault(context.place(line), f"the {backup.frequency} backup at {backup.time} runs inside the window {window.time} of line {window.line}")


@rule(
    "OB523", "latest-never-written", FaultClass.DANGLING, Severity.WARNING,
    summary="A “latest” backup that nothing writes",
    reason="The backups carry dates in their names. The restore asks for a file or object that no step makes, links or copies: it is found missing on the day it is needed.",
    source="the manual itself",
    bad=sh("pg_dump -U app -Fc shop > shop-$(date +%F).dump\naws s3 cp shop-$(date +%F).dump s3://shop-backups/") + "\n\n## Restore\n\n" + sh("aws s3 cp s3://shop-backups/latest.dump ."),
    good=sh("pg_dump -U app -Fc shop > shop-$(date +%F).dump\naws s3 cp shop-$(date +%F).dump s3://shop-backups/latest.dump") + "\n\n## Restore\n\n" + sh("aws s3 cp s3://shop-backups/latest.dump ."),
)  # fmt: skip
def latest_never_written(context: Context) -> Iterator[Fault]:
    """Names with latest that are read first, and that no step writes, copies to or links."""
    told: set[str] = set()
    for step in context.steps:
        for word in step.command.argv[1:]:
            found = re.search(r"(?:^|/)([\w.-]*\blatest[\w.-]*\.(?:dump|sql|gz|tar|zip|bak|rdb|archive|tgz)[\w.]*|[\w-]*latest[_-]backup[\w.-]*|latest)$", word.text)
            if not found or (found[1] == "latest" and not word.text.startswith("s3://")) or "/" in word.text and re.search(r"releases/latest|https?://", word.text):
                continue
            base = re.sub(r"\.(?:gz|zst|xz)$", "", found[1])
            if step.call and step.call.tool == "aws" and len(step.call.args) > 1 and word is step.call.args[-1] and word.text.startswith("s3://"):
                told.add(base)
            if base in told:
                continue
            told.add(base)
            if not _makes(context, base, step):
                yield Fault(step.at(word), f"nothing in this manual writes {found[1]}", Fix("name the backup, or let the backup step copy it to that name"))


def _makes(context: Context, base: str, reader: Step) -> bool:
    for step in context.steps:
        text, call = step.command.text, step.call
        if step.program == "ln" and base in text:
            return True
        if any(posixpath.basename(name).startswith(base) for name in local_files(step)) and not (call and call.tool == "aws") and step.program not in ("gunzip", "gzip", "kubectl"):
            return True
        if step.program in ("cp", "mv") and base in step.words[-1]:
            return True
        if call and call.tool == "aws" and len(call.words) > 1 and base in call.words[-1] and call.words[-1].startswith("s3://") and step is not reader:
            return True
    return False


@rule(
    "OB524", "retention-elsewhere", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="Retention deletes in another place than the backups are written to",
    reason="The old backups are never removed, and what is deleted instead belongs to somebody else.",
    source="the manual itself",
    bad=sh("pg_dump -U app -f shop.sql shop\ngzip shop.sql\naws s3 cp shop.sql.gz s3://backups/\nfind /backups -name '*.gz' -mtime +30 -delete"),
    good=sh("pg_dump -U app -f /backups/shop.sql shop\ngzip /backups/shop.sql\nfind /backups -name '*.gz' -mtime +30 -delete"),
)  # fmt: skip
def retention_elsewhere(context: Context) -> Iterator[Fault]:
    """find FOLDER … -delete in a block that writes dumps, none of them below FOLDER."""
    for block in context.scripts:
        dumps = [s for s in block.steps if s.program in DUMPS or (s.program == "tar" and re.search(r"backup", s.command.text))]
        if not dumps or any(step.program in ("cd", "pushd") for step in block.top):
            continue
        written = [name.strip("\"'") for step in block.steps for name in local_files(step)]
        values = {a.name: a.value.text for s in block.top for a in s.command.assignments}
        written = [re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], m[0]), name) for name in written]
        for step in block.top:
            if step.program != "find" or not re.search(r"-delete|-exec rm", step.command.text) or len(step.words) < 2:
                continue
            folder = re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], m[0]), step.command.argv[1].text).rstrip("/")
            if written and folder.startswith("/") and not any(folder in name or name.startswith("$") for name in written):
                yield Fault(step.place, f"deletes under {folder}, but this block writes to {posixpath.dirname(written[0]) or 'the current directory'}")


@rule(
    "OB525", "verified-by-looking", FaultClass.UNSAFE, Severity.WARNING,
    summary="A backup “verified” by listing it",
    reason="ls shows that a file exists: the redirection made it before pg_dump ran. Whether it can be restored only a restore tells, whether it is whole pg_restore --list.",
    source="https://www.postgresql.org/docs/current/app-pgrestore.html",
    bad=sh("pg_dump -U app -Fc shop > shop.dump\n# Verify backup\nls -lh shop.dump"),
    good=sh("pg_dump -U app -Fc shop > shop.dump\n# Verify backup\npg_restore --list shop.dump > /dev/null"),
)  # fmt: skip
def verified_by_looking(context: Context) -> Iterator[Fault]:
    """A step said to verify a backup whose only command is ls."""
    for block in context.scripts:
        backup = any(s.program in DUMPS for s in block.steps) or re.search(r"backup", " ".join(block.section_path), re.I)
        deeper = re.search(r"pg_restore\s+(?:-l|--list)|gzip -t|gunzip -t|sha256sum|md5sum|--verify|restore.*(?:test|verify)|tar -t|tar t", block.text)
        if not backup or deeper:
            continue
        for step in block.top:
            listing = step.program == "ls" or (step.call is not None and step.call.verb == "s3 ls")
            if listing and re.search(r"verif|validat|check", step.command.comment, re.I) and step.command.length == 1:
                yield Fault(step.place, "shows only that a file of that name exists", Fix("pg_restore --list, and now and then a restore"), subject=f"verify-{block.number}")
