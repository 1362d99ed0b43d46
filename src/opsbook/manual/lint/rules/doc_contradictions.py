"""Two places of one manual that cannot both be true: retention, dates, alerts and their texts, severities, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, yml
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_DAY = 86400
_AGE = re.compile(r"-mtime\s+\+(\d+)|-mmin\s+\+(\d+)")


def _age(text: str) -> float | None:
    found = _AGE.search(text)
    if not found:
        return None
    return float(found[1]) * _DAY if found[1] else float(found[2]) * 60


@rule(
    "OB551",
    "deleted-sooner-than-said",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Files are deleted at another age than the comment or the retention says",
    reason="Who relies on the promise looks for a copy that is gone, or pays for copies that nobody meant to keep.",
    source="https://www.gnu.org/software/findutils/manual/html_node/find_html/Age-Ranges.html",
    bad=sh("# Delete backups older than 30 days\nfind /backups -name '*.gz' -mtime +7 -delete"),
    good=sh("# Delete backups older than 30 days\nfind /backups -name '*.gz' -mtime +30 -delete"),
)
def deleted_sooner(context: Context) -> Iterator[Fault]:
    """find … -mtime +N -delete against its own comment, and against the one retention that the manual gives backups."""
    kept = {(r.keep, r.line) for r in context.read.retention if re.search(r"backup|dump|daily|^$", f"{r.what}", re.I)}
    for backup in context.read.backups:
        if backup.retention:
            kept.add((backup.retention, backup.line))
    kept = {(keep, line) for keep, line in kept if "-mtime" not in context.document.lines[line - 1]}
    promised = {(next(iter(periods(_spelled(keep))), 0.0), line) for keep, line in kept}
    values = {value for value, _ in promised if value}
    for step in context.steps:
        age = _age(step.command.text) if step.program == "find" else None
        if age is None or not re.search(r"-delete|rm\b", " ".join(s.command.text for s in step.block.pipeline(step))):
            continue
        said = periods(step.command.comment)
        if said and re.search(r"older|keep|retain|last|delete|clean", step.command.comment, re.I):
            if age not in said and len(said) == 1:
                yield Fault(step.place, f"deletes after {_say(age)}, the comment says {_say(said[0])}")
            continue
        about = re.search(r"backup|dump|\.sql|\.gz", step.command.text, re.I)
        if not about or re.search(r"log", step.command.text):
            continue
        own = _of_the_same(context, step.command.text)
        if len(values) != 1 and len(own) != 1:
            continue
        value, line = next(iter(own)) if len(own) == 1 else next(p for p in promised if p[0])
        if age != value and abs(line - step.command.line) > 0:
            yield Fault(step.place, f"deletes after {_say(age)}, line {line} promises {_say(value)}")


def _of_the_same(context: Context, text: str) -> set[tuple[float, int]]:
    """The retention of those backups alone that share a word with a command: `DB dump` and `find … '*.dump'`."""
    found: set[tuple[float, int]] = set()
    for backup in context.read.backups:
        words = [word for word in re.findall(r"[a-z]{4,}", backup.what.lower()) if word not in ("backup", "backups")]
        length = next(iter(periods(_spelled(backup.retention))), 0.0)
        if (
            length
            and any(word in text.lower() for word in words)
            and "-mtime" not in "".join(context.document.lines[backup.line - 1 : backup.line])
        ):
            found.add((length, backup.line))
    return found


def _spelled(value: str) -> str:
    return re.sub(r"(\d+)\s*mo\b", r"\1 months", value)


def _say(seconds: float) -> str:
    return f"{seconds / _DAY:g} days" if seconds >= _DAY else f"{seconds / 60:g} minutes"


_UPDATED = re.compile(
    r"^\W*(last[ -]?(?:updated|modified|reviewed|revised)|(?:document |manual |runbook )?version)\W*[:：]\W*"
    r"(\d{4}-\d{2}-\d{2}|v?\d+(?:\.\d+)+|\w+ \d{1,2},? \d{4}|\d{1,2} \w+ \d{4})\W*$",
    re.I,
)


@rule(
    "OB552",
    "two-dates-of-one-manual",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="The manual gives itself two dates or two versions",
    reason="Nobody can tell whether the page is the one that was reviewed; one of the two is not kept up.",
    source="the manual itself",
    bad="**Last Updated**: 2026-02-11\n\n## Restore\n\nText.\n\n**Last Updated**: 2025-11-02",
    good="**Last Updated**: 2026-02-11\n\n## Restore\n\nText.\n\n**Next Review**: 2026-11-02",
)
def two_dates(context: Context) -> Iterator[Fault]:
    """“Last updated” and “version” at the head and at the foot."""
    first: dict[str, tuple[str, int]] = {}
    for number, text in context.prose:
        found = _UPDATED.match(text)
        if not found:
            continue
        key = "version" if "version" in found[1].lower() else found[1].lower().replace("-", " ")
        value = found[2].lower().removeprefix("v")
        if key in first and first[key][0] != value and number - first[key][1] > 3:
            yield Fault(context.place(number), f"{found[1]} {found[2]} here, {first[key][0]} at line {first[key][1]}")
        first.setdefault(key, (value, number))


@rule(
    "OB553",
    "alert-text-says-otherwise",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="An alert whose text gives another threshold or time than its rule",
    reason="The text is what wakes somebody: they look for a fault of another size, or at another time.",
    source="https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/",
    bad=yml(
        '- alert: Down\n  expr: up{job="api"} == 0\n  for: 5m\n  annotations:\n    description: "down for more '
        'than 1 minute"'
    ),
    good=yml(
        '- alert: Down\n  expr: up{job="api"} == 0\n  for: 5m\n  annotations:\n    description: "down for more '
        'than 5 minutes"'
    ),
)
def alert_text(context: Context) -> Iterator[Fault]:
    """`for:` against “for N minutes”, the compared number against “above N %” (a share counts as a hundredth)."""
    for manifest in context.manifests:
        for path, entry in _alerts(manifest.data, ()):
            texts = [(key, str(value)) for key, value in _texts(entry)]
            wait = periods(_spelled(str(entry.get("for", ""))))
            for key, text in texts:
                line = manifest.line(*path, *key)
                about = re.search(r"for (?:more than |over |at least |the last )?(\d+ ?\w+)", text, re.I)
                said = periods(about[1]) if about else []
                window = periods(" ".join(re.findall(r"\[(\w+)\]", str(entry.get("expr", "")))))
                if wait and said and said[0] not in wait and said[0] not in window:
                    yield Fault(context.place(line), f"waits {entry['for']}, the text says {about[1] if about else ''}")
                    break
                limit = _limit(str(entry.get("expr", "")))
                told = re.search(r"(?:above|over|exceeds?|more than|greater than|>)\s*(\d+(?:\.\d+)?)\s?%", text, re.I)
                if limit is not None and told and not re.search(r"\{\{", told[0]):
                    number = float(told[1])
                    shares = (limit, limit * 100)
                    if all(abs(number - share) > 1e-9 * max(1.0, number) for share in shares) and limit > 0:
                        yield Fault(context.place(line), f"fires at {limit:g}, the text says {told[1]} %")
                        break


def _alerts(data: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    if isinstance(data, dict):
        if "alert" in data and "expr" in data:
            yield path, data
        for key, value in data.items():
            yield from _alerts(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _alerts(value, (*path, index))


def _texts(entry: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    notes = entry.get("annotations")
    if isinstance(notes, dict):
        yield from ((("annotations", str(key)), str(value)) for key, value in notes.items())
    for key in ("description", "summary", "message"):
        if key in entry:
            yield (key,), str(entry[key])


def _limit(expr: str) -> float | None:
    found = re.search(r">=?\s*(?:bool\s+)?(\d+(?:\.\d+)?)\s*$", expr.strip())
    if not found or re.search(r"\b(?:and|or|unless)\b", expr):
        return None
    return float(found[1])


@rule(
    "OB554",
    "severities-crossed",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A graver severity is answered later than a lesser one, or solved before it is answered",
    reason="The order of the table is the order of work; crossed values send people to the lesser fault first.",
    source="https://sre.google/workbook/incident-response/",
    bad="| Severity | Response time |\n|---|---|\n| P1 | 1 hour |\n| P2 | 30 minutes |",
    good="| Severity | Response time |\n|---|---|\n| P1 | 30 minutes |\n| P2 | 1 hour |",
)
def severities_crossed(context: Context) -> Iterator[Fault]:
    """Response times of one list of severities by their numbers; resolution below response in one row."""
    rank: list[tuple[int, float, int]] = []
    for severity in context.read.severities:
        response = next(iter(periods(_spelled(severity.response or ""))), None)
        resolution = next(iter(periods(_spelled(severity.resolution or ""))), None)
        if response is not None and resolution is not None and resolution < response:
            yield Fault(
                context.place(severity.line), f"solved in {severity.resolution}, answered in {severity.response}"
            )
        number = re.match(r"\W*(?:P|SEV|S|Severity|Level|Tier)\W*(\d)\b", severity.name, re.I)
        if number and response is not None and "business" not in (severity.response or ""):
            rank.append((int(number[1]), response, severity.line))
    for (one, first, _), (two, second, line) in pairwise(rank):
        if two == one + 1 and second < first:
            yield Fault(context.place(line), "is answered sooner than the graver one above it")


@rule(
    "OB555",
    "script-called-otherwise",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A script that the manual shows is called with options that it does not read",
    reason="The script takes the option for the file name: it ends with an error, or restores the wrong thing.",
    source="https://www.gnu.org/software/bash/manual/html_node/Positional-Parameters.html",
    bad=sh('#!/bin/bash\n# restore.sh\npsql -U shop -d shop_new -v ON_ERROR_STOP=1 < "$1"')
    + "\n\n## Emergency\n\n"
    + sh("./scripts/restore.sh --latest"),
    good=sh('#!/bin/bash\n# restore.sh\npsql -U shop -d shop_new -v ON_ERROR_STOP=1 < "$1"')
    + "\n\n## Emergency\n\n"
    + sh("./scripts/restore.sh /backups/shop.sql"),
)
def script_called_otherwise(context: Context) -> Iterator[Fault]:
    """Blocks whose first comment is their file name; calls with --options that stand nowhere in the body."""
    shown: dict[str, tuple[str, int]] = {}
    for block in context.scripts:
        named = re.match(r"#![^\n]*\n\s*#\s*(?:File:\s*|\S*/)?([\w.-]+\.(?:sh|bash))\b", block.text)
        if named:
            shown.setdefault(named[1], (block.text, block.line))
    for step in context.steps:
        name = step.program
        if name in ("bash", "sh") and len(step.words) > 1:
            name = step.words[1].rsplit("/", 1)[-1]
        body, line = shown.get(name, ("", 0))
        if not body or step.block.line == line or re.search(r'"\$@"|getopts|\$\*|while .*\$#', body):
            continue
        option = next((w for w in step.command.argv[1:] if re.match(r"--[a-z]", w.text)), None)
        if option is not None and option.text.split("=")[0] not in body:
            yield Fault(step.at(option), f"{name} (line {line}) reads no {option.text.split('=')[0]}")


@rule(
    "OB556",
    "stops-fewer-than-elsewhere",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One restore stops fewer services than another restore of the same manual",
    reason="What the other procedure stops for good reason goes on writing here, or holds sessions that refuse "
    "the drop.",
    source="the manual itself",
    bad=sh(
        "docker compose stop api worker\ndropdb -U shop shop\ncreatedb -U shop shop\npg_restore -U shop -d shop a.dump"
    )
    + "\n\n## From SQL\n\n"
    + sh("docker compose stop api\ndropdb -U shop shop\ncreatedb -U shop shop\npsql -U shop -d shop -f a.sql"),
    good=sh(
        "docker compose stop api worker\ndropdb -U shop shop\ncreatedb -U shop shop\npg_restore -U shop -d shop a.dump"
    )
    + "\n\n## From SQL\n\n"
    + sh("docker compose stop api worker\ndropdb -U shop shop\ncreatedb -U shop shop\npsql -U shop -d shop -f a.sql"),
)
def stops_fewer(context: Context) -> Iterator[Fault]:
    """Blocks that stop services and then drop or restore a database, compared with the one that stops most."""
    from opsbook.manual.lint.facts.restores import restores, stopped

    halts: list[tuple[set[str], Any]] = []
    for block in context.scripts:
        drops = any(s.program == "dropdb" or re.search(r"DROP DATABASE", s.command.text, re.I) for s in block.steps)
        if not drops and not any(True for _ in restores(block.steps)):
            continue
        names = stopped(block.steps)
        first = next((s for s in block.steps if stopped([s])), None)
        if names and first is not None and "*" not in names:
            halts.append((names, first))
    most = max((names for names, _ in halts), key=len, default=set())
    for names, first in halts:
        if names < most:
            yield Fault(first.place, f"leaves {', '.join(sorted(most - names))} running, which the other restore stops")


@rule(
    "OB557",
    "point-in-time-without-log",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Recovery to a point in time with nothing but dumps",
    reason="A dump holds one moment. To reach another the write-ahead log since a base backup is needed, and "
    "nothing keeps it.",
    source="https://www.postgresql.org/docs/current/continuous-archiving.html",
    bad=sh("./restore.sh --point-in-time='2026-01-01 10:00'") + "\n\n## Backups\n\nA pg_dump every night.",
    good=sh("./restore.sh --point-in-time='2026-01-01 10:00'") + "\n\n## Backups\n\nWAL is archived by pgbackrest.",
)
def point_in_time(context: Context) -> Iterator[Fault]:
    """“Point in time” or PITR in a heading or command, where no log, replica or service that keeps one is named."""
    text = re.sub(r"point[- ]in[- ]time\w*", "", context.text)
    if re.search(
        r"\bwal\b|wal[-_]|archive_command|archive_mode|pgbackrest|barman|binlog|binary log|oplog|\brds\b|aurora|"
        r"cloud ?sql|neon\b|supabase|"
        r"azure database|to-point-in-time|incremental|base ?backup|continuous backup|dynamodb|timescale cloud|atlas",
        text,
    ):
        return
    asks = re.compile(r"point[-_ ]in[-_ ]time|\bPITR\b", re.I)
    for number, line in enumerate(context.document.lines, 1):
        promised = asks.search(line) and re.match(r"\s*(?:#{2,}\s|\./|\S*\.sh\b|\S+\s+--)", line)
        if promised and not re.search(r"not (?:available|supported|possible)|no point", line, re.I):
            yield Fault(context.place(number), "only dumps are taken: there is no log to go forward by", subject="pitr")


@rule(
    "OB558",
    "autoscaler-watches-less",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="The text says that the autoscaler watches what its manifest does not",
    reason="People count on a scale-up for memory that never comes.",
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
    bad="It scales on CPU and memory:\n\n"
    + yml(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: api, namespace: shop}\nspec:\n"
        "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}\n  minReplicas: 2\n  maxReplicas: 5\n"
        "  metrics:\n  - type: Resource\n    resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}"
    ),
    good="It scales on CPU:\n\n"
    + yml(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: api, namespace: shop}\nspec:\n"
        "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}\n  minReplicas: 2\n  maxReplicas: 5\n"
        "  metrics:\n  - type: Resource\n    resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}"
    ),
)
def autoscaler_watches_less(context: Context) -> Iterator[Fault]:
    """“CPU and memory” in the six lines above an HPA whose metrics are all cpu."""
    for manifest in context.manifests:
        metrics = manifest.get("spec", "metrics")
        if manifest.kind != "HorizontalPodAutoscaler" or not isinstance(metrics, list):
            continue
        named = {str((m.get("resource") or {}).get("name")) for m in metrics if isinstance(m, dict)}
        if named != {"cpu"}:
            continue
        for number in range(max(1, manifest.first_line - 8), manifest.first_line):
            line = context.document.lines[number - 1]
            if re.search(r"\bcpu (?:and|&|/|\+) ?(?:ram|memory)\b|\bmemory (?:and|&) cpu\b", line, re.I):
                yield Fault(context.place(number), "the manifest below watches the CPU alone", subject=manifest.name)
