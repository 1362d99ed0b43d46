"""The mysql client: statements without a database."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

# Options whose value is the next word; -p and its like take theirs in the same word or ask.
_VALUED = re.compile(
    r"-[uhPSeC]$|--(?:user|host|port|socket|execute|defaults-file|defaults-extra-file|login-path|protocol|ssl-ca)$"
)
_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|TABLE)\s+`?(\w+)`?(?!\s*[.\w(]*\.)", re.I)


@rule(
    "OB337",
    "mysql-without-database",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="mysql -e over a table, with no database chosen",
    reason="A table without its database needs one that is chosen: ERROR 1046 (3D000): No database selected.",
    source="https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html#error_er_no_db_error",
    bad=sh('mysql -u app -p -e "SELECT count(*) FROM orders"'),
    good=sh('mysql -u app -p shop -e "SELECT count(*) FROM orders"'),
)
def mysql_without_database(context: Context) -> Iterator[Fault]:
    """Statements over bare tables where the command names no database, nor the statement one by USE."""
    for step in context.steps:
        if step.program not in ("mysql", "mariadb") or _database(step):
            continue
        for piece in step.command.embedded:
            text = re.sub(r"'[^']*'|--[^\n]*", "''", piece.text)
            table = _TABLE.search(text)
            if (
                piece.language == "sql"
                and table
                and not re.search(r"\bUSE\b", text, re.I)
                and not re.search(rf"\b\w+`?\.`?{table[1]}\b|{table[1]}`?\s*\.", text)
                and table[1].lower() not in ("dual", "select")
            ):
                yield Fault(
                    step.place, f"no database is chosen for {table[1]}", Fix("mysql … DATABASE"), subject="mysql"
                )


def _database(step: Step) -> bool:
    """Whether a word of the command names a database."""
    skip = False
    for word in step.words[1:]:
        if skip:
            skip = False
        elif word in ("-D", "--database") or word.startswith(("--database=", "-D")) or "$" in word:
            return True
        elif word.startswith("-"):
            skip = bool(_VALUED.match(word))
        else:
            return True
    return False
