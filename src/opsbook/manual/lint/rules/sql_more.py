"""SQL that means something else than it says, and settings of servers that are not one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB226",
    "or-beside-and",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="AND and OR in one condition without brackets",
    reason="AND binds first: a OR b AND c is a OR (b AND c), so the last condition does not narrow the first one.",
    source="https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-PRECEDENCE",
    bad=sql("SELECT pid FROM pg_stat_activity WHERE state = 'active' OR state = 'idle' AND query_start < now();"),
    good=sql("SELECT pid FROM pg_stat_activity WHERE (state = 'active' OR state = 'idle') AND query_start < now();"),
)
def or_beside_and(context: Context) -> Iterator[Fault]:
    """An OR of comparisons of one column of which only one side has the further condition."""
    for statement in context.statements:
        tree = statement.tree
        for node in tree.find_all(exp.Or) if tree is not None else ():
            left, right = node.this, node.expression
            alone, bound = (left, right) if isinstance(right, exp.And) else (right, left)
            if not isinstance(bound, exp.And) or isinstance(alone, exp.And):
                continue
            own = {column.name.lower() for column in alone.find_all(exp.Column)}
            first = {column.name.lower() for column in bound.flatten().__next__().find_all(exp.Column)}
            kinds = (exp.EQ, exp.NEQ, exp.Like, exp.ILike)
            if isinstance(alone, kinds) and own and (own == first or _ends_sessions(statement.bare)):
                yield Fault(
                    statement.find(r"\bOR\b"),
                    "AND binds first: what follows it does not hold for the other side of OR",
                    Fix("put the OR in brackets"),
                )
                break


def _ends_sessions(text: str) -> bool:
    return bool(re.search(r"pg_terminate_backend|\bKILL\b|^DELETE\b|^UPDATE\b", text, re.I))


_MANAGED = re.compile(r"\brds\b|\baurora\b|cloud ?sql|azure database for", re.I)


@rule(
    "OB227",
    "superuser-of-managed-server",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="ALTER SYSTEM, or files of the server, on a managed database",
    reason="RDS, Aurora, Cloud SQL and the like give nobody the superuser: ALTER SYSTEM is refused, and settings are "
    "changed in the provider's parameter group or flags.",
    source="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Parameters.html",
    bad="The database is PostgreSQL 15 on Amazon RDS.\n\n"
    + sql("ALTER SYSTEM SET work_mem = '64MB';\nSELECT pg_reload_conf();"),
    good="The database is PostgreSQL 15 on a host of ours.\n\n"
    + sql("ALTER SYSTEM SET work_mem = '64MB';\nSELECT pg_reload_conf();"),
)
def superuser_of_managed(context: Context) -> Iterator[Fault]:
    """ALTER SYSTEM in a manual whose PostgreSQL is managed and which has no PostgreSQL of its own."""
    managed = any(
        _MANAGED.search(text) and not re.search(r"alternativ|either|or self|if (?:you )?us|when us", text, re.I)
        for _, text in context.prose
    )
    own = re.search(r"image:\s*\S*postgres|postgres-0|systemctl \w+ postgresql|docker\S* .*\bpostgres\b", context.text)
    if not managed or own:
        return
    for statement in context.statements:
        if re.match(r"ALTER SYSTEM\b", statement.upper):
            yield Fault(statement.place, "a managed server refuses ALTER SYSTEM", Fix("change the parameter group"))


_READ_ONLY = re.compile(
    r"^SET\s+(?:GLOBAL|PERSIST|@@GLOBAL\.)\s*`?(innodb_log_file_size|innodb_log_files_in_group|innodb_buffer_pool_instances"
    r"|innodb_flush_method|innodb_data_file_path|innodb_read_io_threads|innodb_write_io_threads|log_bin|server_uuid|datadir"
    r"|port|lower_case_table_names|performance_schema|innodb_page_size|skip_name_resolve|back_log|thread_stack)\b",
    re.I,
)


@rule(
    "OB228",
    "mysql-variable-read-only",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="SET GLOBAL of a MySQL variable that only a start reads",
    reason="The server answers “Variable is a read only variable”: it belongs into the option file, with a restart.",
    source="https://dev.mysql.com/doc/refman/8.0/en/dynamic-system-variables.html",
    bad="```mysql\nSET GLOBAL innodb_log_file_size = 1073741824;\n```",
    good="```mysql\nSET GLOBAL innodb_buffer_pool_size = 1073741824;\n```",
)
def mysql_variable_read_only(context: Context) -> Iterator[Fault]:
    """Variables that MySQL 5.7 and 8.0 list as not dynamic."""
    for statement in context.statements:
        if found := _READ_ONLY.match(statement.bare):
            yield Fault(statement.place, f"{found[1]} is read only while the server runs", Fix("my.cnf and a restart"))


@rule(
    "OB229",
    "replica-skips-events",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A replica told to skip events until it runs again",
    reason="The skipped changes are missing for good: the replica answers other data than the primary, and nobody "
    "sees it until it is promoted.",
    source="https://dev.mysql.com/doc/refman/8.0/en/replication-administration-skip.html",
    bad=sh('mysql -e "STOP REPLICA; SET GLOBAL sql_replica_skip_counter = 1; START REPLICA;"'),
    good=sh('mysql -e "STOP REPLICA; START REPLICA;"'),
)
def replica_skips(context: Context) -> Iterator[Fault]:
    """sql_slave_skip_counter and sql_replica_skip_counter, in SQL and in commands."""
    for statement in context.statements:
        if re.search(r"sql_(?:slave|replica)_skip_counter\s*=\s*\d+", statement.bare, re.I):
            at = statement.find(r"sql_(?:slave|replica)_skip_counter")
            yield Fault(at, "what is skipped is missing on the replica for good", Fix("find the cause, or copy anew"))
