"""Which relation a column of a statement belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from opsbook.manual.catalogue import postgres

_ALWAYS = frozenset({"ctid", "oid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def unknown_columns(tree: exp.Expression) -> Iterator[tuple[str, str]]:
    """(relation, column) for every column that a system view or table does not have in any version.

    A column is judged only where all relations that it could come from are the system's.
    """
    for select in tree.find_all(exp.Select):
        sources = _sources(select)
        if not sources:
            continue
        aliases = {projection.alias for projection in select.expressions if projection.alias}
        for column in select.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is not select:
                continue
            name = column.name.lower()
            if not name or name == "*" or name in _ALWAYS or isinstance(column.this, exp.Star):
                continue
            relation = _missing(column.table.lower(), name, sources, aliases, nested=_is_nested(select))
            if relation:
                yield relation, name


def _is_nested(select: exp.Select) -> bool:
    return select.find_ancestor(exp.Select) is not None


def _sources(select: exp.Select) -> dict[str, str | None]:
    """Alias to system relation, None for any other source."""
    found: dict[str, str | None] = {}
    clause = select.args.get("from_") or select.args.get("from")
    tables = [clause.this] if clause is not None else []
    tables += [join.this for join in select.args.get("joins") or []]
    tables += list(select.args.get("laterals") or [])
    for index, table in enumerate(tables):
        if isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
            name = table.name.lower()
            system = table.db.lower() in ("", "pg_catalog", "information_schema") and postgres.columns(name) is not None
            if system and not table.db and name in _UNQUALIFIED_NOT_SEEN:
                system = False
            found[(table.alias or table.name).lower()] = name if system else None
        else:
            found[(getattr(table, "alias", "") or f"?{index}").lower()] = None
    return found


# information_schema is not on the search path: an unqualified `tables` is the user's own.
_UNQUALIFIED_NOT_SEEN = frozenset(
    {
        "tables",
        "columns",
        "views",
        "triggers",
        "sequences",
        "routines",
        "schemata",
        "parameters",
        "domains",
        "attributes",
        "sql_features",
    }
)


def _missing(qualifier: str, name: str, sources: dict[str, str | None], aliases: set[str], *, nested: bool) -> str:
    if qualifier:
        relation = sources.get(qualifier)
        return relation if relation and name not in (postgres.columns(relation) or ()) else ""
    if nested or name in aliases or name in sources or None in sources.values():
        return ""
    relations = [relation for relation in sources.values() if relation]
    if any(name in (postgres.columns(relation) or ()) for relation in relations):
        return ""
    return relations[0] if relations else ""
