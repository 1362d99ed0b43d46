"""Numbers of a manual against each other: promises, limits and times that cannot both hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.amounts import cron_frequency, duration
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, yml
from opsbook.manual.lint.facts.crontab import jobs
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_SPANS = {"day": 86400.0, "week": 604800.0, "month": 2592000.0, "quarter": 7776000.0, "year": 31536000.0}


def _say(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"


@rule(
    "OB574",
    "downtime-miscounted",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="An allowed downtime that is not what the availability leaves",
    reason="The share and the time are the same promise said twice; a time that is several times off is another one.",
    source="https://sre.google/sre-book/availability-table/",
    bad="The promised availability is 99.95%; that allows a downtime of 4.4 hours per month.",
    good="The promised availability is 99.95%; that allows a downtime of 22 minutes per month.",
)
def downtime_miscounted(context: Context) -> Iterator[Fault]:
    """A percentage and a downtime per month or year in one line, wrong by more than a half."""
    for line, text in context.prose:
        share = re.search(r"\b(9\d(?:\.\d+)?)\s*%", text)
        span = re.search(r"(?:per|a|an|each|every|/)\s*(day|week|month|quarter|year)\b", text, re.I)
        told = re.search(r"\b(?:downtime|outage|unavailab\w*|error budget)\b", text, re.I)
        lengths = [length for length in periods(text) if length < 86400 * 10]
        if not share or not span or not told or len(lengths) != 1:
            continue
        left = (100 - float(share[1])) / 100 * _SPANS[span[1].lower()]
        if left and not 0.5 < lengths[0] / left < 1.6:
            yield Fault(
                context.place(line), f"{share[1]} % leaves {_say(left)} per {span[1].lower()}, not {_say(lengths[0])}"
            )


@rule(
    "OB575",
    "alert-above-limit",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="An alert on connections above what the server accepts",
    reason="The server refuses connections before the alert can fire: the outage comes unannounced.",
    source="https://www.postgresql.org/docs/current/runtime-config-connection.html",
    bad="`max_connections = 100`\n\n| Metric | Warning | Critical |\n|---|---|---|\n| DB connections | > 80 | > 120 |",
    good="`max_connections = 100`\n\n| Metric | Warning | Critical |\n|---|---|---|\n| DB connections | > 80 | > 95 |",
)
def alert_above_limit(context: Context) -> Iterator[Fault]:
    """Rows and lines on connections whose bare number is above the one max_connections of the manual."""
    limits = {
        int(m[1])
        for line in context.document.lines
        if (m := re.search(r"\bmax_connections`?\W{1,4}(?:to )?'?(\d+)", line))
    }
    if len(limits) != 1:
        return
    limit = next(iter(limits))
    for line, text in context.prose:
        if not re.search(r"\bconn(?:ection)?s?\b", text, re.I) or not re.search(
            r"\b(?:db|database|postgres\w*|mysql|pg|sql)", text, re.I
        ):
            continue
        over = [int(n) for n in re.findall(r">=?\s*(\d{2,5})(?!\s*(?:%|ms|s\b|min|\.\d|\d))", text) if int(n) > limit]
        if over and "max_connections" not in text:
            yield Fault(context.place(line), f"fires above {over[0]} connections, the server accepts {limit}")


_LATENCY = re.compile(r"\b(?:response time|latency|respond\w*|load(?:s|ed)? (?:in|within|time))\b", re.I)
_BELOW = re.compile(
    r"(?:<|≤|\b(?:below|under|within|less than|at most)\b)\s*=?\s*(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s"
    r"|sec(?:ond)?s?)\b",
    re.I,
)
_RANK = re.compile(r"\b(p\d{2}|\d{2}(?:th)? percentile|average|mean|median|front ?page|home ?page|start ?page)\b", re.I)


@rule(
    "OB576",
    "latency-promised-twice",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="The prose promises a response time that the table of limits does not",
    reason="What the table calls normal breaks the promise of the text: nobody is alerted while it is broken.",
    source="https://sre.google/sre-book/service-level-objectives/",
    bad="| Metric | Normal | Warning |\n|---|---|---|\n| Response time (p95) | < 500 ms | > 1 s |\n\n"
    "The service answers with a p95 response time below 200 ms.",
    good="| Metric | Normal | Warning |\n|---|---|---|\n| Response time (p95) | < 200 ms | > 500 ms |\n\n"
    "The service answers with a p95 response time below 200 ms.",
)
def latency_promised_twice(context: Context) -> Iterator[Fault]:
    """The normal limit of a metric of latency against prose with the same percentile."""
    limits: list[tuple[float, str, int]] = []
    for metric in context.read.metrics:
        found = _BELOW.search(metric.normal)
        if (
            found
            and _LATENCY.search(metric.metric)
            and not re.search(r"db|database|query|redis|sql", metric.metric, re.I)
        ):
            limits.append((_milliseconds(found), _rank(metric.metric), metric.line))
    rows = {metric.line for metric in context.read.metrics}
    for line, text in context.prose:
        found = _BELOW.search(text)
        if line in rows or "|" in text or not found or not _LATENCY.search(text):
            continue
        same = [limit for limit in limits if limit[1] == _rank(text)]
        if len(same) == 1 and same[0][0] != _milliseconds(found):
            yield Fault(
                context.place(line), f"{found[0].strip()} here, up to {same[0][0]:g} ms is normal at line {same[0][2]}"
            )


def _rank(text: str) -> str:
    found = _RANK.search(text)
    return re.sub(r"\D", "", found[1]) or found[1].lower() if found else ""


def _milliseconds(found: re.Match[str]) -> float:
    return float(found[1]) * (1 if found[2].lower().startswith("m") else 1000)


@rule(
    "OB577",
    "severity-told-twice",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A sentence gives a severity another time than the table of severities",
    reason="In an incident both are read; whoever reads the longer one is late by the other.",
    source="the manual itself",
    bad="| Severity | Response | Resolution |\n|---|---|---|\n| P1 | 10 min | 1 hour |\n| P2 | 1 hour | 4 hours |\n\n"
    "P1 incidents must be resolved within 2 hours.",
    good="| Severity | Response | Resolution |\n|---|---|---|\n| P1 | 10 min | 1 hour |\n| P2 | 1 hour | 4 hours |\n\n"
    "P1 incidents must be resolved within 1 hour.",
)
def severity_told_twice(context: Context) -> Iterator[Fault]:
    """Sentences with one severity's name, resolved, answered or acknowledged, and one period."""
    known = {s.name.lower().split()[0]: s for s in context.read.severities if s.name}
    for line, text in context.prose:
        names = [name for name in known if re.search(rf"\b{re.escape(name)}\b", text.lower())]
        lengths = periods(text)
        if len(names) != 1 or len(lengths) != 1 or "|" in text or known[names[0]].line == line:
            continue
        told = known[names[0]]
        for words, value in (
            (r"\bresol(?:ved?|ution)\b|\bfixed\b|\brestored\b", told.resolution),
            (r"\backnowledged?\b|\bresponse\b|\brespond\w*|\banswered\b", told.response),
        ):
            promised = duration(value) if value else None
            if (
                promised
                and promised.seconds
                and promised.seconds != lengths[0]
                and re.search(rf"(?:{words})", text, re.I)
            ) and re.search(r"\b(?:within|in|under|must|target|less than|at most)\b", text, re.I):
                yield Fault(context.place(line), f"{_say(lengths[0])} here, {value} at line {told.line}")
                break


@rule(
    "OB578",
    "escalated-after-the-deadline",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="An unanswered incident goes to the next person only after the promised response time",
    reason="By the time the second person is called the promise is broken: the first must be given less than"
    " all of it.",
    source="https://sre.google/workbook/on-call/",
    bad="| Severity | Response |\n|---|---|\n| SEV1 | 15 minutes |\n| SEV2 | 1 hour |\n\n"
    "Without acknowledgement, the team lead is called after 30 minutes.",
    good="| Severity | Response |\n|---|---|\n| SEV1 | 15 minutes |\n| SEV2 | 1 hour |\n\n"
    "Without acknowledgement, the team lead is called after 10 minutes.",
)
def escalated_after_deadline(context: Context) -> Iterator[Fault]:
    """Times after which somebody who did not acknowledge or answer is passed over."""
    times = [d.seconds for s in context.read.severities if s.response and (d := duration(s.response)) and d.seconds]
    if not times:
        return
    least = min(times)
    for line, text in context.prose:
        unanswered = re.search(
            r"(?:no|without|not|un)\W{0,2}(?:an? )?(?:acknowledge\w*|ack\b|response|answer\w*|respond\w*)", text, re.I
        )
        after = re.search(r"\b(?:after|within|for|in)\s+(\d+\s*(?:min\w*|hours?|h)\b)", text, re.I)
        length = periods(after[1]) if after else []
        if unanswered and length and length[0] > least > 0 and not re.search(r"\b(?:p|sev)-?[2-5]\b", text, re.I):
            yield Fault(
                context.place(line), f"called after {after[1] if after else ''}, the response is due in {_say(least)}"
            )


@rule(
    "OB579",
    "renewed-after-expiry",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Certificates that are renewed no sooner than they expire",
    reason="With no days to spare the first renewal that fails, or is a day late, is an outage.",
    source="https://letsencrypt.org/docs/integration-guide/#when-to-renew",
    bad="Certificates are valid for 90 days and are renewed by hand every 90 days.",
    good="Certificates are valid for 90 days and are renewed by hand every 60 days.",
)
def renewed_after_expiry(context: Context) -> Iterator[Fault]:
    """A validity and an interval of renewal in one line."""
    for line, text in context.prose:
        if not re.search(r"certificate|\bTLS\b|\bSSL\b|let'?s encrypt", text, re.I):
            continue
        valid = re.search(r"(?:valid\w*|expir\w*)\W+(?:for|after|in|is)?\W*(\d+ (?:days?|months?|years?))", text, re.I)
        again = re.search(r"renew\w*[^.;]{0,40}?\b(?:every|after|each)\s+(\d+ (?:days?|months?|years?))", text, re.I)
        if valid and again and periods(again[1])[0] >= periods(valid[1])[0]:
            yield Fault(context.place(line), f"renewed every {again[1]}, but they expire after {valid[1]}")


_HOST = re.compile(
    r"(?:host|server|machine|node|instance|box|vm)\b[^.;|]{0,25}?\b(\d+)\s*GB|(\d+)\s*GB (?:of )?(?:RAM|memory)", re.I
)
_TAKES = re.compile(
    r"\b(innodb_buffer_pool_size|shared_buffers|maxmemory|effective_cache_size)`?\s*[=: ]\s*'?\"?(\d+)\s*(G|M)B?\b",
    re.I,
)


@rule(
    "OB581",
    "more-memory-than-there-is",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A server is given more memory than its host has",
    reason="The kernel kills the server, or something beside it, as soon as the memory is really used.",
    source="https://dev.mysql.com/doc/refman/8.0/en/innodb-buffer-pool-resize.html",
    bad="`innodb_buffer_pool_size = 24G` (the host has 16 GB RAM)",
    good="`innodb_buffer_pool_size = 12G` (the host has 16 GB RAM)",
)
def more_memory(context: Context) -> Iterator[Fault]:
    """Settings of memory and the size of the host in one line."""
    for number, line in enumerate(context.document.lines, 1):
        takes, host = _TAKES.search(line), _HOST.search(line)
        if takes and host:
            size = float(takes[2]) / (1 if takes[3].upper() == "G" else 1024)
            there = float(host[1] or host[2])
            if size > there:
                yield Fault(context.place(number, takes[0]), f"{takes[1]} {size:g} GB, the host has {there:g} GB")


@rule(
    "OB582",
    "backup-beside-the-data",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="Backups that lie on the database's own host and are copied nowhere",
    reason="The disk, host or ransomware that takes the data takes the backups with it.",
    source="https://www.cisa.gov/sites/default/files/publications/data_backup_options.pdf",
    bad="| Backup | Schedule | Where |\n|---|---|---|\n| MySQL | daily | /var/backups on db1 |\n\n"
    + sh("mysqldump --all-databases > /var/backups/all.sql"),
    good="| Backup | Schedule | Where |\n|---|---|---|\n| MySQL | daily | /var/backups on db1, then S3 |\n\n"
    + sh("mysqldump --all-databases > /var/backups/all.sql\naws s3 cp /var/backups/all.sql s3://shop/"),
)
def backup_beside_data(context: Context) -> Iterator[Fault]:
    """A backup whose destination is a local path, in a manual that names no other place and no way there."""
    away = re.compile(
        r"\bs3\b|s3://|gs://|\baws\b|azure|azcopy|blob|gcs\b|rsync|\bscp\b|sftp|rclone|restic|borg|\bnfs\b|\bnas\b|off-?site|"
        r"object stor|glacier|\bminio\b|backblaze|\bb2\b|barman|pgbackrest|wal-g|veeam|remote|snapshot|tape"
        r"|bucket|\bcopy\b.{0,30}\bto\b",
        re.I,
    )
    for backup in context.read.backups:
        if not re.match(
            r"`?/[\w/.-]+`?(?:\s+on\s+(?:the )?[\w-]*(?:db|database|sql|same|primary)[\w -]*)?$",
            backup.destination.strip(),
            re.I,
        ):
            continue
        lines = "\n".join(
            line for n, line in enumerate(context.document.lines, 1) if not re.search(r"media|upload", line, re.I)
        )
        if not away.search(lines):
            yield Fault(
                context.place(backup.line),
                f"lies in {backup.destination.strip()}; nothing takes it elsewhere",
                subject="beside",
            )


@rule(
    "OB583",
    "backup-runs-otherwise",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="The schedule of the backup job is not the one the manual promises",
    reason="The objective was reckoned with the promised interval; the job that runs loses more, or costs more.",
    source="https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax",
    bad="| Backup | Frequency | Retention |\n|---|---|---|\n| PostgreSQL | every 6 hours | 30 days |\n\n"
    + yml("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: pg-backup}\nspec:\n  schedule: '0 */12 * * *'"),
    good="| Backup | Frequency | Retention |\n|---|---|---|\n| PostgreSQL | every 6 hours | 30 days |\n\n"
    + yml("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: pg-backup}\nspec:\n  schedule: '0 */6 * * *'"),
)
def backup_runs_otherwise(context: Context) -> Iterator[Fault]:
    """The one database job of CronJobs and crontabs against the one database backup that tables and prose promise."""
    about = re.compile(r"postgres|\bpg|mysql|mongo|maria|database|\bdb\b|dump", re.I)
    runs: list[tuple[str, int]] = []
    for manifest in context.manifests:
        schedule = manifest.get("spec", "schedule") if manifest.kind == "CronJob" else None
        if schedule and re.search(r"backup|dump", manifest.name, re.I):
            runs.append((_every(str(schedule)), manifest.line("spec", "schedule")))
    runs += [
        (_every(" ".join(job.fields)), job.line)
        for job in jobs(context.document)
        if re.search(r"dump|backup", job.command, re.I) and not re.search(r"\bfind\b|prune|clean|verif", job.command)
    ]
    taken = {line for _, line in runs}
    said = [
        (_plain(b.frequency), b.line)
        for b in context.read.backups
        if b.line not in taken and b.frequency and about.search(b.what) and "|" in context.document.lines[b.line - 1]
    ]
    if len(runs) == 1 and len(said) == 1 and runs[0][0] and said[0][0] and runs[0][0] != said[0][0]:
        yield Fault(context.place(runs[0][1]), f"runs {runs[0][0]}, line {said[0][1]} promises {said[0][0]}")


def _every(schedule: str) -> str:
    hours = re.fullmatch(r"\d+ \*/(\d+) \* \* \*", schedule.strip())
    return f"every {hours[1]}h" if hours else _plain(cron_frequency(schedule))


def _plain(frequency: str) -> str:
    """`every 6 hours` as `every 6h`; a word as it is."""
    hours = re.fullmatch(r"(?:every\s*)?(\d+)\s*h(?:ours?|rs?)?", frequency.strip().lower())
    return f"every {hours[1]}h" if hours else frequency.strip().lower()
