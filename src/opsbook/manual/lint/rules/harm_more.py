"""Steps that delete or endanger data by other tools than the database's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_DEV = re.compile(
    r"\bdev\b|develop|\blocal(?:ly)?\b|\btests?\b|staging|sandbox|drill|rehears|scratch|cleanup of test", re.I
)


def _said(step: Step) -> str:
    return f"{step.outermost.comment} {step.comment} {' '.join(step.block.section_path[-2:])}"


@rule(
    "OB654",
    "find-deletes-anything",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="find … -delete with an age and no name",
    reason=(
        "Everything of that age goes: certificates, configuration archives and whatever somebody else keeps there, "
        "not only the dumps that were meant."
    ),
    source="https://www.gnu.org/software/findutils/manual/html_node/find_html/Delete-Files.html",
    bad=sh("find /srv/backups -mtime +30 -delete"),
    good=sh("find /srv/backups -name 'shop_*.dump' -mtime +30 -delete"),
)
def find_deletes(context: Context) -> Iterator[Fault]:
    """-delete or -exec rm with -mtime and none of -name, -path, -regex, -type; not below logs of one service,"
    " caches and /tmp."""
    for number, text in _lines(context, "find"):
        found = re.search(r"\bfind\s+(\S+)(.*(?:-delete|-exec\s+rm|xargs\s+(?:-\S+\s+)*rm).*)", text)
        if not found or not re.search(r"-[mca](?:time|min)\b", found[2]):
            continue
        if re.search(r"-i?(?:name|path|wholename|regex)\b|-empty\b|-user\b", found[2]):
            continue
        if "-type" in found[2] and not re.fullmatch(r"/(?:var/log|var|etc|srv|home|opt)?/?", found[1]):
            continue
        everybodys = re.fullmatch(r"/var/log/?", found[1])
        if everybodys or not re.search(r"/(?:tmp|var/tmp|cache)\b|/logs?(?:/|\b)", found[1]):
            yield Fault(
                context.place(number, "find"),
                f"deletes everything old below {found[1]}",
                Fix("-type f -name 'PREFIX_*'"),
            )


def _lines(context: Context, program: str) -> Iterator[tuple[int, str]]:
    """The commands of a program, in blocks and in crontab lines."""
    from opsbook.manual.lint.facts.crontab import jobs

    seen: set[int] = set()
    for step in context.steps:
        if step.program == program and step.command.line not in seen:
            seen.add(step.command.line)
            yield step.command.line, " | ".join(s.command.text for s in step.block.pipeline(step)) or step.command.text
    for job in jobs(context.document):
        if re.search(rf"\b{program}\b", job.command) and job.line not in seen:
            yield job.line, job.command


@rule(
    "OB655",
    "emptied-before-unpacked",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="A folder is emptied before the archive that is to replace it was looked at",
    reason="If the archive is missing, cut off or of another folder, nothing is left: neither the old files nor "
    "the new.",
    source="https://www.gnu.org/software/tar/manual/html_node/test.html",
    bad=sh(
        'docker run --rm -v certs:/certs -v /b:/b alpine:3.20 sh -c "rm -rf /certs/* && tar xzf /b/c.tgz -C /certs"'
    ),
    good=sh(
        "tar tzf /b/c.tgz > /dev/null && cp -a /srv/certs /srv/certs.before && rm -rf /srv/certs/* "
        "&& tar xzf /b/c.tgz -C /srv/certs"
    ),
)
def emptied_before_unpacked(context: Context) -> Iterator[Fault]:
    """rm -r of a folder's content followed by tar x or unzip into it; not behind a test or a copy."""
    for block in context.scripts:
        steps = block.steps
        for at, step in enumerate(steps):
            if step.program != "rm" or not any(re.match(r"-\w*[rR]", w) for w in step.words[1:]):
                continue
            gone = [re.sub(r"/?\*$", "", w).rstrip("/") for w in step.words[1:] if w.startswith(("/", "$", "."))]
            into = next(
                (
                    s
                    for s in steps[at + 1 :]
                    if (s.program == "tar" and re.search(r"\s-?-?(?:x\w*|extract)\b", s.command.text))
                    or s.program == "unzip"
                ),
                None,
            )
            ahead = " ".join(s.command.text for s in steps[:at])
            if into is None or not any(g and len(g) > 1 and g in into.command.text for g in gone):
                continue
            if re.search(r"tar\s+-?t|unzip -t|gzip -t|\bcp\s+-\w*[aR]|\bmv\s|tar\s+-?c", ahead) or _DEV.search(
                _said(step)
            ):
                continue
            yield Fault(
                step.place if step.command.line else step.outermost.place,
                f"{gone[0]} is emptied before anything shows that the archive is whole",
                Fix("test the archive (tar tzf) and move the old folder aside"),
            )


_DATA = re.compile(
    r"^/(?:var/lib/(?:postgresql|mysql|mariadb|redis|mongodb|rabbitmq|elasticsearch|grafana|docker)|pgdata)(?:/|$)"
)
_COMMANDS: tuple[tuple[str, str, str], ...] = (
    (r"^(?:dd\b.*\bof=/dev/(?:sd|nvme|vd|xvd|hd)\w+|mkfs(?:\.\w+)?\s.*?/dev/\w+|wipefs\s+(?:-a|--all).*/dev/\w+)",
     "overwrites the whole device", "check the device by lsblk and unmount it first"),
    (r"^aws rds delete-db-(?:instance|cluster)\b.*--skip-final-snapshot", "deletes the database and keeps no snapshot",
     "--final-db-snapshot-identifier NAME"),
    (r"^aws s3 sync\b(?=.*--delete\b)(?=.*(?:backup|/b/|dump))", "a file lost here is deleted from the backups too",
     "leave out --delete; expire by a lifecycle rule"),
    (r"^(?:python3?\s+)?(?:\./)?manage\.py\s+flush\b", "empties every table", "a backup first"),
    (r"^git\s+clean\s+-\w*x", "deletes what git ignores: .env, uploads, local databases", "git clean -n first"),
    (r"^curl\b(?=.*-X\s*DELETE\b).*:9200/(?!_)[\w*,-]+['\"]?\s*$", "deletes the index with all its documents",
     "take a snapshot first"),
    (r"^rm\b.*\s/var/log/\*", "deletes open logs: their space stays taken, and the journal of the incident is gone",
     "journalctl --vacuum-time, logrotate -f"),
    (r"^rm\b.*\s\S*/(?:dump\.rdb|appendonly\S*)", "removes Redis' only copy on disk", "move it aside"),
    (r"^kafka-topics(?:\.sh)?\b.*--delete\b", "deletes the topic with every message not yet read",
     "set retention.ms"),
)  # fmt: skip


@rule(
    "OB656",
    "destroys-without-copy",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="A command that deletes data for good, with no copy taken before",
    reason="None of these can be undone; a copy costs minutes, its lack the data.",
    source="https://sre.google/sre-book/data-integrity/",
    bad=sh("aws rds delete-db-instance --db-instance-identifier shop --skip-final-snapshot"),
    good=sh("aws rds delete-db-instance --db-instance-identifier shop --final-db-snapshot-identifier shop-last"),
)
def destroys_without_copy(context: Context) -> Iterator[Fault]:
    """The table, and rm -r of a database's own folder; not for tests and drills, nor behind a backup in the block."""
    for step in context.steps:
        ahead = " ".join(s.command.text for s in step.block.before(step))
        if _DEV.search(_said(step)) or re.search(r"backup|dump|snapshot|\bmv\s|\bcp\s+-\w*[aR]", ahead):
            continue
        text = " ".join(step.words)
        entry = next((row for row in _COMMANDS if re.search(row[0], text)), None)
        if entry:
            yield Fault(step.place, entry[1], Fix(entry[2]))
        elif step.program == "rm" and any(re.match(r"-\w*[rR]", w) for w in step.words[1:]):
            named = next((w for w in step.command.argv[1:] if _DATA.match(w.text)), None)
            if named is not None and not re.search(r"pg_wal|pg_xlog|/(?:tmp|cache|logs?)\b", named.text):
                yield Fault(step.at(named), f"removes {named.text} and keeps no copy", Fix("move it aside"))


_MONGO = re.compile(r"\.(deleteMany|remove)\(\s*(?:\{\s*\})?\s*\)|\.drop\(\s*\)|dropDatabase\(")


@rule(
    "OB657",
    "documents-all-deleted",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="Every document of a collection is deleted",
    reason="An empty filter matches everything, and MongoDB keeps nothing to go back to without a backup or a "
    "delayed member.",
    source="https://www.mongodb.com/docs/manual/reference/method/db.collection.deleteMany/",
    bad=sh("mongosh shop --eval 'db.sessions.deleteMany({})'"),
    good=sh("mongosh shop --eval 'db.sessions.deleteMany({expires: {$lt: new Date()}})'"),
)
def documents_all_deleted(context: Context) -> Iterator[Fault]:
    """deleteMany({}) and remove({}) of mongosh; drop() is told elsewhere."""
    for step in context.steps:
        if step.program in ("mongosh", "mongo") and not _DEV.search(_said(step)):
            found = _MONGO.search(step.command.text)
            if found and found[1]:
                yield Fault(step.place, f"{found[1]} with an empty filter deletes every document", Fix("give a filter"))


@rule(
    "OB658",
    "killed-before-asked",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="kill -9 as the first thing that is tried",
    reason=(
        "SIGKILL leaves no time to finish requests, give back jobs or flush buffers; Celery loses what its workers had "
        "taken. SIGTERM first, SIGKILL when it did not help."
    ),
    source="https://man7.org/linux/man-pages/man7/signal.7.html",
    bad=sh("pkill -9 -f gunicorn"),
    good=sh("pkill -TERM -f gunicorn\nsleep 10\npkill -9 -f gunicorn"),
)
def killed_before_asked(context: Context) -> Iterator[Fault]:
    """kill, pkill and xargs kill with -9 and no gentler stop ahead in the block; databases are OB625's."""
    hard = re.compile(
        r"\b(?:kill|pkill|killall)\s+(?:-\w+\s+)*-(?:9|KILL|SIGKILL|s\s*(?:9|KILL))\b|taskkill\b.*\s/F\b", re.I
    )
    for step in context.steps:
        if step.program not in ("kill", "pkill", "killall", "xargs", "fuser") or step.container is not None:
            continue
        text = step.command.text
        forced = hard.search(text) or (step.program == "fuser" and re.search(r"\s-\w*k", text))
        if not forced or re.search(r"postgres|postmaster|mysqld|mongod|redis-server", text):
            continue
        if step.outer is not None and step.outer.program == "xargs":
            continue
        ahead = " ".join(s.command.text for s in step.block.before(step))
        said = f"{_said(step)} {context.section_text(step.block.section_path)[:2000]}"
        gentle = re.search(
            r"\b(?:kill|pkill|killall)\s+(?!-9|-KILL|-SIGKILL)|systemctl stop|graceful|shutdown|SIGTERM|-TERM|-15",
            ahead,
        )
        if not gentle and not re.search(
            r"if (?:it )?(?:still|does not|doesn.t)|last resort|graceful|zombie", said, re.I
        ):
            yield Fault(step.place, "SIGKILL at once: nothing is finished or given back", Fix("SIGTERM first"))


@rule(
    "OB659",
    "promoted-beside-the-old",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A standby is promoted and the old primary is left as it is",
    reason=(
        "If the old primary comes back, or was only cut off, both take writes: split brain, and one side's writes are "
        "lost. It is stopped or fenced before the promotion."
    ),
    source="https://www.postgresql.org/docs/current/warm-standby-failover.html",
    bad=("## Failover\n\n") + sh('psql -h standby -U postgres -c "SELECT pg_promote();"'),
    good=("## Failover\n\n")
    + sh('ssh primary systemctl stop postgresql\npsql -h standby -U postgres -c "SELECT pg_promote();"'),
)
def promoted_beside_the_old(context: Context) -> Iterator[Fault]:
    """pg_ctl promote, pg_promote(), REPLICAOF NO ONE; silent where the section speaks of stopping or fencing."""
    fenced = re.compile(
        r"fenc|stonith|old primary|former primary|old master|demote|isolate|\bstop\b[^\n]*(?:primary|master|"
        r"postgres|redis)|"
        r"(?:primary|master)[^\n]{0,40}(?:stop|shut|down for good|power)|patroni|repmgr|sentinel|"
        r"pg_auto_failover|replicas=0"
    )
    asks = re.compile(
        r"pg_ctl\s+(?:-\S+\s+\S+\s+)*promote|pg_ctlcluster\s+\S+\s+\S+\s+promote|pg_promote\s*\(|(?:replicaof|slaveof)\s+no\s+one",
        re.I,
    )
    told: set[int] = set()
    for step in context.steps:
        if step.outer is not None or not asks.search(step.command.text) or _DEV.search(_said(step)):
            continue
        if not fenced.search(context.section_text(step.block.section_path)):
            told.add(step.command.line)
            yield Fault(step.place, "the old primary is neither stopped nor fenced", Fix("stop or fence it first"))
    for statement in context.statements:
        if statement.step is not None or not asks.search(statement.bare) or statement.line in told:
            continue
        if not fenced.search(context.section_text(statement.section_path)):
            yield Fault(statement.place, "the old primary is neither stopped nor fenced", Fix("stop or fence it first"))


@rule(
    "OB660",
    "server-made-unsafe",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A database server stopped, or set, so that a crash loses data",
    reason="fsync off and immediate stops leave files that recovery cannot always mend; nothing speeds up that "
    "is worth it.",
    source="https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-FSYNC",
    bad=sh("psql -U postgres -c 'ALTER SYSTEM SET fsync = off'"),
    good=sh("psql -U postgres -c 'ALTER SYSTEM SET synchronous_commit = off'"),
)
def server_made_unsafe(context: Context) -> Iterator[Fault]:
    """fsync or full_page_writes off; pg_ctl stop -m immediate; force delete of a pod of a StatefulSet."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"\b(fsync|full_page_writes)\s*(?:=|TO)\s*'?off\b", line, re.I)
        if found and not line.lstrip().startswith(("#", ">")) and not re.search(r"never|don.t|do not|not ", line, re.I):
            yield Fault(context.place(number, found[0]), f"{found[1]} off: a crash may lose or spoil the database")
    for step in context.steps:
        if step.program == "pg_ctl" and re.search(
            r"stop.*-m\s*i(?:mmediate)?\b|-m\s*i(?:mmediate)?\b.*stop", step.command.text
        ):
            yield Fault(step.place, "an immediate stop is a crash: recovery at the next start", Fix("-m fast"))
        call = step.call
        if call is not None and call.tool == "kubectl" and call.verb == "delete" and call.has("--force"):
            name = next((w for w in call.words if re.search(r"-\d+$", w)), "")
            if name and call.value("--grace-period") in ("0", None):
                yield Fault(
                    step.place,
                    f"two {name} may run on one volume: the old one is forgotten, not stopped",
                    Fix("delete without --force, or make sure that its node is down"),
                )
