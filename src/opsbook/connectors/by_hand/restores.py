"""Restores by psql and pg_restore: a database beside the live one, its rows, and the exchange of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.connectors.by_hand.backups import INDENT, of_book, opened
from opsbook.connectors.by_hand.psql import address_of, bound, literal
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, word, words
from opsbook.connectors.change import Json

SAME = "SELECT shobj_description(oid, 'pg_database') = %(comment)s AS same FROM pg_database WHERE datname = %(name)s"
ASIDE = "opsbook_by_hand"
"""The database that rows are restored into before they come into the live one."""


def quoted(name: str) -> str:
    """A name as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def at_service(script: Script, component: str) -> str:
    """psql on the server of a component, in the database that is there while others are made and renamed."""
    script.calls("at_postgres", "beside")
    address = address_of(script, component, write=True)
    return f'at_postgres "$(beside {address} postgres)" psql -X -v ON_ERROR_STOP=1'


@as_commands("restore-postgres")
def database(change: Json, script: Script) -> Iterator[str]:
    """Made of the stored parts under a working name where it takes a place, and named when it is whole."""
    effect = change["effect"]
    address = address_of(script, effect["component"], write=True)
    script.calls("database_of")
    yield from opened(script, of_book(script, effect["backup"]), effect["stamp"])
    name = ASIDE if effect["replaces"] else effect["database"]
    yield f"database_of {address} {words([name, *effect['tables']])}"
    for one in effect["assertions"]:
        yield from comment(f"hold the assertion {one} of the book against {name}", INDENT)
    if effect["replaces"]:
        live = effect["database"]
        yield from comment(f"from here on there is no {live} until the last line is done", INDENT)
        lines = [
            f"DROP DATABASE {quoted(live)} WITH (FORCE);",
            f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(live)};",
        ]
        yield from fed(at_service(script, effect["component"]), "\n".join(lines) + "\n", "SQL")


@as_commands("restore-tables")
def tables(change: Json, script: Script) -> Iterator[str]:
    """The rows come aside, and then in the place of the live ones in one transaction."""
    effect = change["effect"]
    script.calls("database_of", "at_postgres", "beside")
    address = address_of(script, effect["component"], write=True)
    yield from opened(script, of_book(script, effect["backup"]), effect["stamp"])
    yield f"database_of {address} {words([ASIDE, *effect['tables']])}"
    yield from rows_back(script, effect["component"], effect["tables"])


def rows_back(script: Script, component: str, names: list[str]) -> Iterator[str]:
    """From the database aside into the live one."""
    address = address_of(script, component, write=True)
    script.calls("at_postgres", "beside")
    yield from comment("triggers do not fire, and no foreign key is checked: look at them afterwards", INDENT)
    gone = "; ".join(f"DELETE FROM {name}" for name in names)  # noqa: S608 - as PostgreSQL quotes them
    chosen = words(f"--table={name}" for name in names)
    yield f"{{ echo {word(f'SET session_replication_role = replica; {gone};')}"
    yield f'  at_postgres "$(beside {address} {ASIDE})" pg_dump --data-only {chosen}'
    yield f"}} | at_postgres {address} psql -X -q -v ON_ERROR_STOP=1 --single-transaction"
    yield from fed(at_service(script, component), f"DROP DATABASE {ASIDE};\n", "SQL")


@as_commands("switch-database")
def switch(change: Json, script: Script) -> Iterator[str]:
    """Both renamed in one transaction, while nobody can connect."""
    effect = change["effect"]
    live, new, kept = (quoted(effect[name]) for name in ("live", "new", "kept"))
    named = f"({literal(effect['live'])}, {literal(effect['new'])})"
    yield from comment("pools in front of it: PAUSE before and RESUME after, on their consoles", INDENT)
    lines = [
        f"ALTER DATABASE {live} ALLOW_CONNECTIONS false;",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN {named};",  # noqa: S608 - literals
        "SELECT pg_sleep(1);",
        "BEGIN;",
        f"ALTER DATABASE {live} RENAME TO {kept};",
        f"ALTER DATABASE {new} RENAME TO {live};",
        "COMMIT;",
        f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true;",
    ]
    yield from fed(at_service(script, effect["component"]), "\n".join(lines) + "\n", "SQL")


@as_commands("drop-database")
def drop(change: Json, script: Script) -> Iterator[str]:
    """Dropped, where its comment is still what it was."""
    effect = change["effect"]
    lines = [f"DROP DATABASE {quoted(effect['database'])} WITH (FORCE);"]
    if guard := (change.get("guard") or {}).get("comment"):
        same = f"{bound(SAME, {'comment': guard, 'name': effect['database']}, {})} \\gset"
        lines = [same, "\\if :same", *lines, "\\else", "\\echo it is not the one that was meant", "\\endif"]
    yield from fed(at_service(script, effect["component"]), "\n".join(lines) + "\n", "SQL")


@as_commands("drill-restore")
def drill(change: Json, _: Script) -> Iterator[str]:
    """A drill by hand is the restore; its figures are written down by whoever does it."""
    yield from comment(
        "by hand: restore the backup as `opsbook plan restore-… --as-commands` tells it, note the times", INDENT
    )
    yield from comment("of its begin and its end, and drop what was made", INDENT)
    told = re.sub(r"\s+", " ", str(change["effect"].get("backup", "")))
    yield from comment(f"the backup: {told}", INDENT)
