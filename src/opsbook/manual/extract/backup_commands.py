"""Backups that a manual takes without declaring a regime: the commands that write one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from opsbook.manual.amounts import frequency
from opsbook.manual.document import Document, Fence
from opsbook.manual.extract.retention import keep_of
from opsbook.manual.extract.statements import read_block
from opsbook.manual.facts import Backup
from opsbook.manual.outline import Part, all_parts
from opsbook.manual.shell import Command, walk_commands
from opsbook.manual.vocabulary import says

_DUMPERS = re.compile(
    r"(?:pg_dump|pg_dumpall|pg_basebackup|mysqldump|mariadb-dump|mongodump|mydumper|xtrabackup|mariabackup|"
    r"etcdctl|velero|restic|borg|pgbackrest|barman|wal-g|redis-cli|influxd?|duplicity|kopia|tar|zip|rsync|"
    r"aws)$"
)
_WRITES = re.compile(
    r"pg_dump|pg_basebackup|mysqldump|mariadb-dump|mongodump|mydumper|xtrabackup|mariabackup|"
    r"redis-cli\b(?!.*(?i:config)).*(?i:\bbgsave\b|\bsave\b|--rdb)|snapshot save|velero (?:backup )?create|"
    r"restic .*backup|borg create|pgbackrest .*backup|barman backup|"
    r"wal-g (?:backup-push|wal-push)|create-db-snapshot|create-snapshot|influxd? backup|duplicity|kopia snapshot"
)
_SCRIPT = re.compile(
    r"(?:^|[/_.-])(?:db-?|pg-?)?(?:backup|snapshot|dump)(?![\w-]*(?:restore|verify|check|list|test|status|"
    r"clean|monitor))[\w-]*\.(?:sh|py|rb)\b|\b(?:backup|db:backup|backup:run)\s*$",
    re.I,
)
# A copy taken before a change, or in an emergency, is a step of that procedure.
_ONE_OFF = re.compile(
    r"emergency|safety|pre-|before|first|prior|manual|current|step \d|restor|recover|deploy|update|upgrade|"
    r"migrat|rollback|incident|fail|error|drill|test|verify|troubleshoot|sicherheits|antes|emergencia|actual(?:es)?\b|"
    r"перед|текущ|之前|当前|步骤|現在|緊急|현재",
    re.I,
)


def backup_commands(document: Document, only: Sequence[Part] | None = None) -> list[Backup]:
    """One backup for a script that takes one, and one for each command where a script takes several; `only` these
    parts."""
    found: list[Backup] = []
    for part in all_parts(document) if only is None else only:
        for fence in part.fences():
            if fence.language in ("bash", "console"):
                found.extend(_of_fence(fence, part))
    return found


def _of_fence(fence: Fence, part: Part) -> list[Backup]:
    parsed = read_block(fence).parsed
    titles = (part.title, *part.path[-1:])
    titled = says(part.title, "backup-section") or (bool(part.path) and says(part.path[-1], "backup-section"))
    if any(_ONE_OFF.search(re.sub(r"(?i)backup\s*(?:&|and|/)\s*recovery", "", title)) for title in titles):
        return []
    hits = [command for command in parsed if _takes(command, titled) and not _is_one_off(command)]
    if not hits:
        return []
    if titled and len(hits) == 1:
        return [replace(_made(hits[0], part, parsed, fence), line=fence.opening_line, what=part.title)]
    return [_made(command, part, parsed, fence) for command in hits]


def _takes(command: Command, titled: bool) -> bool:
    for each in command.walk():
        line = " ".join(each.words)
        if _DUMPERS.match(each.program) and _WRITES.search(line):
            return True
        if _SCRIPT.search(each.program) or (
            each.program in ("bash", "sh", "python", "python3", "make", "npm") and _SCRIPT.search(line)
        ):
            return not re.search(
                r"(?:list|restore|verify|check|clean|monitor|test|delete)[\w-]*\.(?:sh|py|rb)|(?:list|restore|"
                r"verify|check)[_-]backup",
                line,
                re.I,
            )
        archive = each.program in ("tar", "zip") and re.search(r"\s-?[a-zA-Z]*c[a-zA-Z]*\b|^zip", line)
        export = each.program == "kubectl" and "get" in each.words and re.search(r"-o\s?=?(?:yaml|json)", line)
        if titled and export and (each.redirects or command.redirects):
            return True
        if titled and archive and re.search(r"backup|\$\{?\w*BACKUP", line, re.I):
            return True
    return False


def _is_one_off(command: Command) -> bool:
    return bool(_ONE_OFF.search(command.comment)) or bool(re.match(r"\s*(?:step\s*)?\d+[.):]", command.comment, re.I))


def _made(command: Command, part: Part, parsed: Sequence[Command], fence: Fence) -> Backup:
    after = [each for each in walk_commands(parsed) if each.line >= command.line]
    target = next((word for each in after for word in each.words if re.match(r"(?:s3|gs|b2|az)://", word)), "")
    own = {
        word.rsplit("/", 1)[-1]
        for each in command.walk()
        for word in (*each.words, *(r.target.text for r in each.redirects))
        if "." in word
    }
    near = next(
        (
            word
            for each in after
            if own & {w.rsplit("/", 1)[-1] for w in each.words}
            for word in each.words
            if re.match(r"(?:s3|gs|b2|az)://", word)
        ),
        target,
    )
    kept = keep_of(fence.text) if "keep" in fence.text or "retention" in fence.text.lower() else None
    aged = re.search(r"-mtime\s+\+(\d+)", fence.text)
    often = frequency(part.title) or frequency(command.comment) or (frequency(part.path[-1]) if part.path else "")
    return Backup(
        line=command.line,
        what=command.comment.split("\n")[-1] or part.title,
        frequency=often or "not stated",
        retention=f"{aged[1]}d" if aged else kept.text if kept else "",
        destination=near,
        how=command.text.split("\n")[0][:120],
    )
