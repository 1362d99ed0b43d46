"""The databases and users that a manual connects to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from opsbook.manual.grammar import Invocation
from opsbook.manual.lint.facts.steps import Step

CLIENTS = frozenset(
    {"psql", "pg_dump", "pg_restore", "pg_dumpall", "createdb", "dropdb", "vacuumdb", "reindexdb", "pgbench"}
)
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^/\s]+/([\w-]+)")


def database_of(call: Invocation, program: str) -> str:
    """The database that a command names, a whole URL included; empty where it names none."""
    named = call.value("-d", "--dbname")
    if named:
        return named
    if program in ("psql", "pg_dump", "createdb", "dropdb", "vacuumdb", "reindexdb", "pgbench") and call.words:
        return call.words[0]
    return ""


def user_of(call: Invocation) -> str:
    """The user that a command names."""
    return call.value("-U", "--username") or ""


def is_connection(text: str) -> bool:
    """Whether a database argument is a URL, a conninfo string or a variable."""
    return bool(re.search(r"://|=|\$|^<", text))


def database_names(steps: Iterable[Step], lines: Iterable[str]) -> Counter[str]:
    """How often each database is named, in commands and in URLs."""
    found: Counter[str] = Counter()
    for step in steps:
        if step.program in CLIENTS and step.call is not None:
            name = database_of(step.call, step.program)
            if name and not is_connection(name) and name not in ("postgres", "template1"):
                found[name] += 1
    for line in lines:
        found.update(name for name in _URL.findall(line) if name != "postgres")
    return found
