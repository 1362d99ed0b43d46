"""psql's own commands that look, as the queries behind them: `\\dt` is no SQL, and no other client knows it.

Source: the queries that `psql --echo-hidden` shows, shortened to what people look at (postgresql.org, app-psql).
"""

from __future__ import annotations

import re

_RELATIONS = """SELECT n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
       pg_size_pretty(pg_total_relation_size(c.oid)) AS size
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ({kinds}) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2"""

COMMANDS = {
    "dt": _RELATIONS.format(kinds="'r', 'p'"),
    "di": _RELATIONS.format(kinds="'i', 'I'"),
    "dv": _RELATIONS.format(kinds="'v'"),
    "dm": _RELATIONS.format(kinds="'m'"),
    "ds": _RELATIONS.format(kinds="'S'"),
    "l": """SELECT datname AS name, pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding
FROM pg_database
ORDER BY 1""",
    "du": """SELECT rolname AS role, rolsuper AS superuser, rolcanlogin AS login, rolconnlimit AS connections
FROM pg_roles
WHERE rolname !~ '^pg_'
ORDER BY 1""",
    "dn": """SELECT nspname AS name, pg_get_userbyid(nspowner) AS owner
FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY 1""",
    "dx": "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY 1",
}
"""Command without `+` → its query."""
COMMANDS["dg"] = COMMANDS["du"]

_COLUMNS = """SELECT column_name, data_type, is_nullable, column_default
FROM information_schema.columns
WHERE table_name = '{table}'{schema}
ORDER BY ordinal_position"""


def query_of(command: str) -> str | None:
    """The query behind a command such as `\\dt+` or `\\d orders`; None where it is none of these."""
    match = re.fullmatch(r"\\(?P<name>[a-z]+)\+?(?:\s+(?P<what>[A-Za-z_][\w.]*))?\s*;?", command.strip())
    if match is None:
        return None
    name, what = match["name"], match["what"]
    if name == "d" and what:
        schema, _, table = what.rpartition(".")
        return _COLUMNS.format(table=table, schema=f" AND table_schema = '{schema}'" if schema else "")
    return COMMANDS.get(name) if what is None else None
