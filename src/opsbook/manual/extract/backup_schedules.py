"""Backups on a schedule: crontab lines, CronJobs, `velero schedule`, and the backup settings of a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from opsbook.manual.amounts import cron_frequency, duration, frequency
from opsbook.manual.document import Fence
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Backup
from opsbook.manual.outline import Part
from opsbook.manual.vocabulary import says

NOT_STATED = "not stated"
BUCKET = re.compile(r"(?:s3|gs|gcs|az|wasbs?|abfss?|b2|minio)://[^\s'\"`)|;]+")
_KINDS = ("CronJob", "ScheduledBackup", "Schedule")
_CRONTAB = re.compile(r"\s*(@\w+|(?:\S+\s+){5})(\S.*)")
_CRON_IN_SHELL = re.compile(r"\s*(?:#\s*)?((?:[\d*/,-]+\s+){5})(\S.*)")
_VELERO = re.compile(r"\bvelero\s+(?:schedule\s+create|create\s+schedule)\s+(\S+).*--schedule[=\s]+[\"']([^\"']+)[\"']")
_TTL = re.compile(r"--ttl[=\s]+[\"']?(\d+[a-z]+)")
_CLEARS = re.compile(r"\bfind\s+(\S+)\s.*-mtime\s+\+(\d+)\b.*(?:-delete\b|\brm\b)")
# `# The database is already backed up daily at 02:00`: said beside the command that takes another.
_SAID = re.compile(
    r"\b(?:backed up|backups? (?:is|are|run|runs)|snapshots? (?:is|are|run|runs)|dump(?:ed)? (?:is|are|run|runs))\b",
    re.I,
)


def schedules(fence: Fence, part: Part) -> Iterable[Backup]:
    """The backups that a block schedules."""
    if fence.language == "crontab":
        yield from _of_crontab(fence, part)
    elif fence.language in ("bash", "console"):
        yield from _of_shell(fence, part)
    elif fence.language in ("yaml", "json"):
        yield from _of_yaml(fence, part)


def _of_crontab(fence: Fence, part: Part) -> Iterable[Backup]:
    lines = fence.text.split("\n")
    cleared = [match for line in lines if len(line) < 500 and (match := _CLEARS.search(line)) is not None]
    kept = f"{cleared[0][2]}d" if len(cleared) == 1 else ""
    for index, line in enumerate(lines):
        match = _CRONTAB.match(line)
        if match and not line.lstrip().startswith("#") and _runs_backup(match[2]):
            before = lines[index - 1].strip() if index else ""
            name = before.lstrip("# ") if before.startswith("#") else ""
            made = _scheduled(fence.line + index, part, match[1].strip(), match[2], name)
            yield made if made.retention else replace(made, retention=kept)


def _of_shell(fence: Fence, part: Part) -> Iterable[Backup]:
    for index, line in enumerate(fence.text.split("\n")):
        if len(line) >= 500:
            continue
        match = _CRON_IN_SHELL.match(line)
        if match and _runs_backup(match[2]):
            yield _scheduled(fence.line + index, part, match[1].strip(), match[2])
        elif (velero := _VELERO.search(line)) is not None:
            ttl = _TTL.search(line)
            length = duration(ttl[1]) if ttl else None
            made = _scheduled(fence.line + index, part, velero[2], line, velero[1])
            yield replace(made, retention=length.text if length else "", how=line.strip()[:120])
        elif line.lstrip().startswith("#") and _SAID.search(line) and (often := frequency(line)):
            yield Backup(line=fence.line + index, what=part.title, frequency=often, how=line.strip("# "))


def _of_yaml(fence: Fence, part: Part) -> Iterable[Backup]:
    for entry in entries(fence.text, fence.line):
        if entry.text("kind") in _KINDS:
            schedule = next((text for inner in entry.walk() if (text := inner.text("schedule"))), "")
            meta = entry.entry("metadata")
            name = meta.text("name") if meta else part.title
            if schedule and re.search(r"backup|dump|snapshot", fence.text, re.I):
                yield _scheduled(entry.line, part, schedule, fence.text, name)
        for key, value in entry.values.items():
            if isinstance(value, Entry) and says(key.replace("_", " "), "backup") and not entry.text("kind"):
                yield from _of_setting(value, key, entry.lines[key])


def _of_setting(entry: Entry, called: str, line: int) -> Iterable[Backup]:
    """`backup:` with a schedule and how long it is kept."""
    told = entry.text("schedule", "cron", "frequency", "interval")
    if not told:
        return
    keep = next((entry.text(key) for key in entry.values if re.search(r"retention|keep|retain", key, re.I)), "")
    unit = " days" if keep.isdigit() else ""
    length = duration(keep + unit)
    yield Backup(
        line=line,
        what=called.replace("_", " "),
        frequency=cron_frequency(told) or frequency(told) or NOT_STATED,
        retention=length.text if length else "",
        destination=entry.text("destination", "bucket", "target", "location", "storage", "path"),
    )


def _runs_backup(command: str) -> bool:
    return bool(re.search(r"backup|dump|snapshot|\bbak", command, re.I)) and not re.match(
        r"(?:/\S*/)?(?:find|rm|logrotate)\b|\S*(?:verify|check|restore|list|clean|monitor)", command
    )


def _scheduled(line: int, part: Part, cron: str, text: str, name: str = "") -> Backup:
    fields = cron.split()
    clock = (
        f"{int(fields[1]):02}:{int(fields[0]):02}"
        if len(fields) == 5 and fields[0].isdigit() and fields[1].isdigit()
        else ""
    )
    bucket = BUCKET.search(text)
    kept = re.search(r"-mtime\s+\+(\d+)", text)
    return Backup(
        line=line,
        what=name or part.title,
        frequency=cron_frequency(cron) or NOT_STATED,
        time=clock,
        destination=bucket[0] if bucket else "",
        retention=f"{kept[1]}d" if kept else "",
        how=text.split("\n")[0].strip()[:120] if not name else "",
    )
