"""What older releases took and today's refuse: statements, options in another place, files that are no longer read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql
from opsbook.manual.lint.facts.redis import redis_words
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_MYSQL = (
    (r"\bSHOW\s+(?:ALL\s+)?SLAVES?\s+STATUS\b", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS is gone from MySQL 8.4"),
    (r"\bSHOW\s+MASTER\s+STATUS\b", "SHOW BINARY LOG STATUS", "SHOW MASTER STATUS is gone from MySQL 8.4"),
    (r"\b(?:START|STOP|RESET)\s+SLAVE\b", "… REPLICA", "START, STOP and RESET SLAVE are gone from MySQL 8.4"),
    (r"\bCHANGE\s+MASTER\s+TO\b", "CHANGE REPLICATION SOURCE TO", "CHANGE MASTER TO is gone from MySQL 8.4"),
    (r"\bRESET\s+MASTER\b", "RESET BINARY LOGS AND GTIDS", "RESET MASTER is gone from MySQL 8.4"),
    (r"\bquery_cache_\w+|\bRESET\s+QUERY\s+CACHE\b|'query_cache|'Qcache", "",
     "the query cache is gone since MySQL 8.0"),
    (r"\bGRANT\b[^;]*\bTO\b[^;]*\bIDENTIFIED\s+BY\b", "CREATE USER first, then GRANT",
     "GRANT … IDENTIFIED BY is gone since MySQL 8.0"),
    (r"=\s*PASSWORD\s*\(", "ALTER USER … IDENTIFIED BY", "PASSWORD() is gone since MySQL 8.0"),
)  # fmt: skip


@rule(
    "OB349",
    "mysql-statement-gone",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="A MySQL statement that newer servers no longer take",
    reason="MySQL 8.0 and 8.4 removed it: the statement ends with a syntax error. MariaDB may still know it.",
    source="https://dev.mysql.com/doc/refman/8.4/en/mysql-nutshell.html",
    bad=sh("mysql -e 'SHOW SLAVE STATUS\\G'"),
    good=sh("mysql -e 'SHOW REPLICA STATUS\\G'"),
)
def mysql_statement_gone(context: Context) -> Iterator[Fault]:
    """The table of statements, in SQL blocks and in mysql -e; not where the manual's server is MariaDB."""
    if "mariadb" in context.text:
        return
    places = [
        (number, line)
        for fence in context.document.fences()
        if fence.language == "sql"
        for number, line in enumerate(fence.text.split("\n"), fence.line)
        if not line.lstrip().startswith("--")
    ]
    places += [(s.command.line, s.command.text) for s in context.steps if s.program in ("mysql", "mysqladmin")]
    for number, line in places:
        for pattern, instead, why in _MYSQL:
            if re.search(pattern, line, re.I):
                yield Fault(context.place(number), why, Fix(instead) if instead else None, subject=why)


@rule(
    "OB350",
    "option-behind-command",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="celery's -A behind the subcommand",
    reason="Since Celery 5 the application is an option of celery itself: behind the subcommand -A is refused.",
    source="https://docs.celeryq.dev/en/stable/history/whatsnew-5.0.html#step-1-adjust-your-command-line-invocation",
    bad=sh("celery worker -A shop -l info"),
    good=sh("celery -A shop worker -l info"),
)
def option_behind_command(context: Context) -> Iterator[Fault]:
    """celery VERB … -A APP."""
    verbs = "worker|beat|inspect|control|purge|status|flower|events|call|report|result|list|shell|multi|amqp|migrate"
    for step in context.steps:
        words = step.words
        if step.program != "celery" or len(words) < 3 or not re.fullmatch(verbs, words[1]) or words[1] == "multi":
            continue
        if any(re.match(r"-A$|-A\w|--app", word) for word in words[2:]):
            yield Fault(step.place, f"celery 5 refuses -A behind {words[1]}", Fix(f"celery -A APP {words[1]} …"))


@rule(
    "OB351",
    "exec-without-dashes",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="kubectl exec POD COMMAND without --",
    reason=(
        "The form is deprecated since 1.18 and refused by newer kubectl: “exec [POD] [COMMAND] is not supported "
        "anymore”. Flags of the command are taken for kubectl's."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh("kubectl exec -it api-7d9f -n shop bash"),
    good=sh("kubectl exec -it api-7d9f -n shop -- bash"),
)
def exec_without_dashes(context: Context) -> Iterator[Fault]:
    """More than one argument and nothing behind --."""
    for step in context.calls("kubectl", "exec"):
        call = step.call
        assert call is not None
        if len(call.args) > 1 and not call.rest and " -- " not in step.command.text:
            yield Fault(step.place, "kubectl exec wants -- before the command", Fix(f"… -- {call.words[1]}"))


@rule(
    "OB352",
    "dry-run-without-value",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="kubectl --dry-run without a value",
    reason="Since 1.18 the flag needs =client or =server; without it kubectl warns, and newer ones refuse.",
    source="https://kubernetes.io/docs/reference/kubectl/conventions/",
    bad=sh("kubectl create deployment api --image=shop/api:1.2 --dry-run -o yaml"),
    good=sh("kubectl create deployment api --image=shop/api:1.2 --dry-run=client -o yaml"),
)
def dry_run_without_value(context: Context) -> Iterator[Fault]:
    """--dry-run or --dry-run=true of kubectl."""
    for step in context.calls("kubectl"):
        for word in step.command.argv[1:]:
            if word.text in ("--dry-run", "--dry-run=true"):
                yield Fault(step.at(word), f"{word.text} is deprecated since 1.18", Fix("--dry-run=client"))


@rule(
    "OB353",
    "redis-command-renamed",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="A Redis command under its old name",
    reason="Redis 5 renamed it; the old name is deprecated, and managed services refuse it.",
    source="https://redis.io/docs/latest/commands/slaveof/",
    bad=sh("redis-cli -h replica SLAVEOF NO ONE"),
    good=sh("redis-cli -h replica REPLICAOF NO ONE"),
)
def redis_command_renamed(context: Context) -> Iterator[Fault]:
    """SLAVEOF."""
    for step in context.steps:
        if step.program in ("redis-cli", "valkey-cli") and (redis_words(step) or ("",))[0].upper() == "SLAVEOF":
            yield Fault(step.place, "SLAVEOF is REPLICAOF since Redis 5", Fix("REPLICAOF"))


_LINES = (
    (r"\bopenai\.(?:Completion|ChatCompletion|Embedding|Model|Edit)\.|\bopenai\.error\.",
     "this interface is gone since openai 1.0"),
    (r"\bpg_xlog\b(?!\w)", "pg_xlog is pg_wal since PostgreSQL 10"),
    (r"\brecovery\.conf\b",
     "recovery.conf is not read since PostgreSQL 12: the server refuses to start while it is there"),
    (r"\bpg_(?:start|stop)_backup\s*\(", "pg_start_backup and pg_stop_backup are gone since PostgreSQL 15"),
    (r"^FROM\s+node:(?:8|10|12|14|16)\b", "this Node.js gets no security updates any more"),
    (r"^FROM\s+python:(?:2(?:\.7)?|3\.[5-8])\b", "this Python gets no security updates any more"),
    (r"^\s*(?:-\s*)?image:\s*[\"']?postgres:(?:9|10|11|12)(?:[.\-\w]*)?[\"']?\s*$",
     "this PostgreSQL gets no security updates any more"),
    (r"\b(?:ensureIndex|db\.\w+\.(?:insert|update|remove|save|count)\s*\()",
     "mongosh calls it createIndex, insertOne, updateMany, deleteMany, countDocuments"),
)  # fmt: skip


@rule(
    "OB354",
    "name-of-older-release",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="A file, function or image of a release that is out of support",
    reason="The manual was written for it and was not looked at since: today's release knows another name.",
    source="https://www.postgresql.org/support/versioning/",
    bad=sql("SELECT pg_start_backup('nightly');"),
    good=sql("SELECT pg_backup_start('nightly');"),
)
def name_of_older_release(context: Context) -> Iterator[Fault]:
    """The table, in blocks of any kind; comments are left alone."""
    for fence in context.document.fences():
        if fence.language in ("text", "diagram"):
            continue
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            if line.lstrip().startswith(("#", "--", "//")):
                continue
            for pattern, why in _LINES:
                if re.search(pattern, line) and not ("mongosh" in why and "mongo" not in fence.text):
                    yield Fault(context.place(number), why, subject=why)
