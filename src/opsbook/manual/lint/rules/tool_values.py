"""Values that a flag refuses: a duration without its unit, a word where a number stands, a mode that is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.grammar import Invocation
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_GO = r"[+-]?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0"
_NUMBER = r"-?\d+"
_WHOLE = "a whole number"
_DURATION = "a number with a unit of Go: s, m or h (a day is 24h)"
# Tool, verbs (none: all), flags, what the tool takes, and how that is said.
_KINDS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str, str], ...] = (
    ("kubectl", ("rollout status", "wait", "delete", "drain"), ("--timeout",), _GO, _DURATION),
    ("kubectl", (), ("--request-timeout",), _GO + r"|\d+", _DURATION),
    ("kubectl", ("logs",), ("--since",), _GO, _DURATION),
    ("kubectl", ("logs",), ("--tail",), _NUMBER, _WHOLE),
    ("kubectl", ("top pod", "top node"), ("--sort-by",), "cpu|memory", "cpu or memory"),
    ("kubectl", ("scale", "create deployment"), ("--replicas",), _NUMBER, _WHOLE),
    ("kubectl", ("autoscale",), ("--min", "--max", "--cpu-percent"), _NUMBER, _WHOLE),
    ("kubectl", ("delete", "drain", "apply"), ("--grace-period",), _NUMBER, _WHOLE + " of seconds"),
    ("kubectl", ("rollout undo",), ("--to-revision",), _NUMBER, _WHOLE),
    ("helm", ("upgrade", "install", "rollback", "uninstall", "test"), ("--timeout",), _GO, _DURATION),
    ("helm", ("upgrade", "rollback"), ("--history-max",), _NUMBER, _WHOLE),
    ("argocd", (), ("--timeout",), r"\d+", _WHOLE + " of seconds"),
    ("velero", ("backup create", "schedule create"), ("--ttl",), _GO, _DURATION),
    ("docker", ("logs", "container logs"), ("--since", "--until"), _GO + r"|\d{4}-.*|\d{9,}(?:\.\d+)?", _DURATION),
    ("docker", ("logs", "container logs"), ("-n", "--tail"), _NUMBER + "|all", "a number or all"),
    (
        "docker",
        ("image prune", "container prune", "system prune", "builder prune", "network prune"),
        ("--filter",),
        r"(?!until=).*|until=(?:(?:\d+(?:\.\d+)?(?:ms|s|m|h))+|\d{4}-.*|\d{9,})",
        "until= and " + _DURATION,
    ),
    ("docker", ("stop", "restart"), ("-t", "--time", "--timeout"), _NUMBER, _WHOLE + " of seconds"),
    ("docker compose", ("logs",), ("--since", "--until"), _GO + r"|\d{4}-.*|\d{9,}(?:\.\d+)?", _DURATION),
    ("docker compose", ("logs",), ("-n", "--tail"), _NUMBER + "|all", "a number or all"),
    ("docker compose", ("up", "down", "stop", "restart"), ("-t", "--timeout"), _NUMBER, _WHOLE + " of seconds"),
    ("docker compose", ("up",), ("--scale",), r"[\w.-]+=\d+", "SERVICE=NUMBER"),
    ("journalctl", (), ("-n", "--lines"), r"\+?\d+|all", "a number or all"),
    ("journalctl", (), ("-p", "--priority"), r"[a-z]+(?:\.\.[a-z]+)?|[0-7](?:\.\.[0-7])?", "a level: err, or 0 to 7"),
    ("journalctl", (), ("--vacuum-size",), r"(?:\d+(?:\.\d+)?[KMGTPEB]?\s?)+", "bytes, or K, M, G"),
    ("psql", (), ("-p", "--port"), r"\d+", "a port"),
    ("pg_dump", (), ("-p", "--port", "-j", "--jobs"), r"\d+", _WHOLE),
    ("pg_dump", (), ("-F", "--format"), r"[cdtp]|custom|directory|tar|plain", "c, d, t or p"),
    ("pg_restore", (), ("-F", "--format"), r"[cdt]|custom|directory|tar", "c, d or t: plain SQL is for psql"),
    ("pg_restore", (), ("-p", "--port", "-j", "--jobs"), r"\d+", _WHOLE),
    ("pg_isready", (), ("-t", "--timeout", "-p", "--port"), r"\d+", _WHOLE),
    ("pg_ctl", (), ("-m", "--mode"), r"s(?:mart)?|f(?:ast)?|i(?:mmediate)?", "smart, fast or immediate"),
    ("pg_basebackup", (), ("-X", "--wal-method"), r"[nfs]|none|fetch|stream", "none, fetch or stream"),
    ("pg_basebackup", (), ("-F", "--format"), r"[pt]|plain|tar", "p or t"),
    ("curl", (), ("--retry", "--retry-delay", "--max-redirs"), r"-1|\d+(?:\.\d+)?", "a number"),
    ("curl", (), ("-m", "--max-time", "--connect-timeout"), r"\d+(?:\.\d+)?", "seconds without a unit"),
    ("openssl", ("x509", "req"), ("-days",), r"-?\d+", _WHOLE),
    ("openssl", ("x509",), ("-checkend",), r"\d+", "seconds: 2592000 are 30 days"),
    (
        "journalctl",
        (),
        ("--vacuum-time",),
        r"(?:\d+(?:\.\d+)?\s?[A-Za-z]+\s?)+|0|infinity",
        "a time with its unit: 2d (alone it is seconds)",
    ),
    (
        "aws",
        ("s3 cp", "s3 sync", "s3 mv"),
        ("--storage-class",),
        "STANDARD|REDUCED_REDUNDANCY|STANDARD_IA|ONEZONE_IA|INTELLIGENT_TIERING|GLACIER|DEEP_ARCHIVE|GLACIER_IR|"
        "OUTPOSTS|SNOW|EXPRESS_ONEZONE|FSX_OPENZFS",
        "one of S3's classes: STANDARD_IA, GLACIER",
    ),
    ("aws", ("s3 cp", "s3 sync", "s3 mv"), ("--sse",), r"AES256|aws:kms(?::dsse)?|-.*|s3:.*", "AES256 or aws:kms"),
    ("certbot", (), ("--key-type",), "rsa|ecdsa", "rsa or ecdsa"),
    ("restic", ("forget",), ("--keep-within",), r"(?:\d+[hdmy])+", "as 2y5m7d3h"),
    (
        "restic",
        ("forget",),
        ("--keep-last", "--keep-daily", "--keep-weekly", "--keep-monthly", "--keep-yearly", "--keep-hourly"),
        r"\d+|-1|unlimited",
        _WHOLE,
    ),
    ("celery", ("worker",), ("-c", "--concurrency"), r"\d+", _WHOLE),
    ("celery", (), ("-l", "--loglevel"), r"(?i:debug|info|warn(?:ing)?|error|critical|fatal)|\d+", "a level: INFO"),
)


@rule(
    "OB361",
    "flag-value-refused",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A value that the flag does not take",
    reason="The tool refuses the command before it does anything: a unit is missing, or one stands where none may.",
    source="the tools' own help; https://pkg.go.dev/time#ParseDuration",
    bad=sh("kubectl rollout status deployment/api -n shop --timeout=300"),
    good=sh("kubectl rollout status deployment/api -n shop --timeout=300s"),
)
def flag_value_refused(context: Context) -> Iterator[Fault]:
    """The table of flags whose values have one form."""
    for step in context.steps:
        call = step.call
        for flag, said in _refused(call) if call else ():
            yield Fault(step.place, f"{flag}: takes {said}")


def _refused(call: Invocation) -> Iterator[tuple[str, str]]:
    for tool, verbs, names, form, said in _KINDS:
        if call.tool != tool or (verbs and call.verb not in verbs):
            continue
        for flag in call.flags:
            value = flag.value
            if flag.name not in names or not value or flag.word.placeholders:
                continue
            if re.search(r"[$<>{}`\[]|\.\.\.|…", value):
                continue
            if not re.fullmatch(form, value.strip("'\"")):
                yield f"{flag.name} {value}", said
