"""Write `opsbook/manual/catalogue/postgres.json` from running PostgreSQL servers, one of each major version.

    python scripts/catalogue_postgres.py 'host=/tmp/pg15 port=5415 user=postgres dbname=postgres' DSN16 DSN18

Every extension that a server offers is created in its database, so give it servers that may be thrown away. A column,
function or setting that every server has carries no versions; the others list the major versions that have them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg

TARGET = Path(__file__).parent.parent / "src/opsbook/manual/catalogue/postgres.json"
LEFT_OUT = {"vector", "plperl", "plpython3u", "pltcl", "tcn"}

COLUMNS = """
SELECT c.relname, a.attname, e.extname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE c.relkind IN ('r', 'v', 'm') AND (n.nspname IN ('pg_catalog', 'information_schema') OR e.extname IS NOT NULL)
  AND (a.attnum > 0 OR c.relkind = 'r')
ORDER BY c.relname, a.attnum
"""
FUNCTIONS = """
SELECT p.proname, min(p.pronargs - p.pronargdefaults),
       max(CASE WHEN p.provariadic <> 0 THEN 99 ELSE p.pronargs END), max(e.extname)
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE p.proname LIKE 'pg\\_%' OR e.extname IS NOT NULL
GROUP BY 1 ORDER BY 1
"""
SETTINGS = "SELECT name, context, vartype, coalesce(unit, ''), enumvals FROM pg_settings ORDER BY 1"
EXTENSIONS = "SELECT name FROM pg_available_extensions WHERE installed_version IS NULL"


def read(dsn: str) -> tuple[int, dict[str, Any]]:
    """The relations, functions and settings of one server."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (extension,) in connection.execute(EXTENSIONS).fetchall():
            if extension not in LEFT_OUT:
                connection.execute(f'CREATE EXTENSION IF NOT EXISTS "{extension}" CASCADE')
        version = connection.info.server_version // 10000
        return version, {
            "columns": connection.execute(COLUMNS).fetchall(),
            "functions": connection.execute(FUNCTIONS).fetchall(),
            "settings": connection.execute(SETTINGS).fetchall(),
        }


def merge(found: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """One catalogue of all versions; an extension counts only among the servers that offer it."""
    versions = sorted(found)
    columns: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    functions: dict[str, list[Any]] = {}
    settings: dict[str, list[Any]] = {}
    owner: dict[str, str] = {}
    having: dict[str, set[int]] = defaultdict(set)
    for version in versions:
        for relation, column, extension in found[version]["columns"]:
            columns[relation][column].append(version)
            having[relation].add(version)
            if extension:
                owner[relation] = extension
        for name, least, most, _extension in found[version]["functions"]:
            known = functions.setdefault(name, [least, most, []])
            known[0], known[1] = min(known[0], least), max(known[1], most)
            known[2].append(version)
        for name, context, kind, unit, choices in found[version]["settings"]:
            known = settings.setdefault(name, [context, kind, unit, choices or [], []])
            known[4].append(version)

    def mark(at: list[int], among: set[int]) -> list[int]:
        return [] if set(at) == among else at

    everywhere = set(versions)
    return {
        "versions": versions,
        "relations": {
            relation: {column: mark(at, having[relation]) for column, at in sorted(of.items())}
            for relation, of in sorted(columns.items())
        },
        "relation_versions": {
            name: sorted(at) for name, at in sorted(having.items()) if at != everywhere and name not in owner
        },
        "extension_of": dict(sorted(owner.items())),
        "functions": {name: [a, b, mark(at, everywhere)] for name, (a, b, at) in sorted(functions.items())},
        "settings": {name: [*row[:4], mark(row[4], everywhere)] for name, row in sorted(settings.items())},
    }


def main() -> None:
    """Ask every server named on the command line and write the catalogue."""
    found = dict(read(dsn) for dsn in sys.argv[1:])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(merge(found), separators=(",", ":"), sort_keys=False) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes from PostgreSQL {', '.join(map(str, sorted(found)))}")


if __name__ == "__main__":
    main()
