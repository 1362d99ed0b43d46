"""Whether a database that nothing is known of beforehand is whole: every row of every table is read, every index and
heap looked at. For one that was recovered from a log there is no manifest that it could be held against.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from opsbook.connectors.backups import postgres_inventory as inventory
from opsbook.connectors.backups.manifest import TableFacts
from opsbook.connectors.backups.postgres_facts import row_sum
from opsbook.connectors.backups.postgres_inventory import Table
from opsbook.connectors.backups.postgres_restore import Target, in_parallel, words
from opsbook.connectors.backups.postgres_verify import INVALID_INDEXES, Verified, look_by_amcheck


@dataclass
class Readable(Verified):
    """What was found, and what each table held."""

    facts: list[TableFacts] = field(default_factory=list)


def readable(target: Target, jobs: int, stop: threading.Event) -> Readable:
    """Read all of it. Raises ChangeFailed where it cannot be asked."""
    found = Readable()
    with target.session() as connection:
        tables = inventory.tables(connection)
        found.problems += [f"the index {name} is not valid" for (name,) in connection.execute(INVALID_INDEXES.encode())]
    read = in_parallel(jobs, sorted(tables, key=lambda one: -one.size), lambda one: _read(target, one), stop)
    for told in read:
        if isinstance(told, str):
            found.problems.append(told)
        else:
            found.facts.append(told)
            found.rows += told.rows
    found.tables = len(found.facts)
    look_by_amcheck(target, found, stop, every_row=True)
    return found


def _read(target: Target, table: Table) -> TableFacts | str:
    import psycopg

    with target.session() as connection:
        try:
            rows, checksum = row_sum(connection, table.name, table.columns)
        except psycopg.Error as error:
            return f"the table {table.name} cannot be read: {words(error)}"
    return TableFacts(name=table.name, columns=table.columns, rows=rows, checksum=checksum, bytes=table.size)
