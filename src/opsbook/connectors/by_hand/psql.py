"""Changes of PostgreSQL by psql: values as literals of SQL, secrets by the environment, never in an argv."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed
from opsbook.connectors.change import Json
from opsbook.connectors.executors.sql import LOCK_SECONDS
from opsbook.connectors.sql_text import outside_transaction

_PLACE = re.compile(r"%\((?P<name>\w+)\)s|%%")
_DRIVER = re.compile(r"^postgres(?:ql)?(\+\w+)://")


def literal(value: Json) -> str:
    """A value as SQL text, of the type that the driver would bind it as."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, float):
        return f"'{value!r}'::float8"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list) and not _mixed(value):
        return f"ARRAY[{', '.join(map(literal, value))}]" if value else "'{}'"
    return f"{_text(json.dumps(value, ensure_ascii=False))}::jsonb"


def bound(statement: str, values: Mapping[str, Json], secrets: Mapping[str, str]) -> str:
    """The statement with its values in their places; secrets stand as variables of psql."""
    if not values and not secrets:
        return statement

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "%"
        # A secret is psql's own variable, set before.
        return literal(values[name]) if name in values else f":'{name}'"

    return _PLACE.sub(put, statement)


def address_of(script: Script, component: str, *, write: bool) -> str:
    """A word with the address of the component, for the role that may do it. It holds a password: never an argv."""
    settings = script.component(component)
    admin = write and settings.admin is not None
    reference = settings.admin if admin else settings.dsn
    address = script.part(reference, f"{'admin' if admin else 'dsn'} of {component}")
    if (only := re.fullmatch(r"\$\{(\w+)\}", address)) and (
        driver := _DRIVER.match(script.system.variables.get(only[1], ""))
    ):
        # psql knows nothing of the drivers of SQLAlchemy.
        address = f"${{{only[1]}/{driver[1]}:/:}}"
    return f'"{address}"'


def session(script: Script, component: str, *, write: bool) -> str:
    """psql on the component, by the role that may do it."""
    script.calls("at_postgres")
    return f"at_postgres {address_of(script, component, write=write)} psql -X -v ON_ERROR_STOP=1"


@as_commands("sql")
def statements(change: Json, script: Script) -> Iterator[str]:
    """One transaction, read-only where nothing is to be written; what cannot run in one, alone."""
    effect = change["effect"]
    guard = change.get("guard") or {}
    if guard:
        yield from comment(f"not where {guard.get('says') or 'what was planned for is not so any more'}", "    ")
    found = effect["statement"] if isinstance(effect["statement"], list) else [effect["statement"]]
    write = bool(effect["write"])
    secrets = effect.get("secrets", {})
    lines = [_secret(script, name, reference) for name, reference in secrets.items()]
    if write:
        lines.append(f"SET lock_timeout = '{float(effect.get('lock_timeout') or LOCK_SECONDS):g}s';")
    alone = write and any(outside_transaction(one) for one in found)
    if not alone and (len(found) > 1 or not write):
        lines.append("BEGIN;" if write else "BEGIN READ ONLY;")
    lines += [ended(bound(one, effect.get("parameters", {}), secrets)) for one in found]
    if not alone and (len(found) > 1 or not write):
        lines.append("COMMIT;")
    yield from fed(session(script, effect["component"], write=write), "\n".join(lines) + "\n", "SQL")


@as_commands("sql-exclusive")
def exclusive(change: Json, script: Script) -> Iterator[str]:
    """The statement, with its bound on waiting for the lock."""
    yield from statements({**change, "effect": {**change["effect"], "write": True}}, script)


@as_commands("sql-index")
def index(change: Json, script: Script) -> Iterator[str]:
    """The invalid leftovers are looked for, dropped, and the index built."""
    effect = change["effect"]
    wanted = {name: effect[name] for name in ("schema", "table", "invalid")}
    lock = f"SET lock_timeout = '{float(effect.get('lock_timeout') or LOCK_SECONDS):g}s';"
    lines = [lock, f"{bound(DROP_INVALID, wanted, {})} \\gexec", ended(effect["statement"])]
    yield from fed(session(script, effect["component"], write=True), "\n".join(lines) + "\n", "SQL")


@as_commands("postgres-setting")
def setting(change: Json, script: Script) -> Iterator[str]:
    """Set, reloaded and shown."""
    effect = change["effect"]
    look = "SELECT name, setting, unit, pending_restart FROM pg_settings WHERE name = %(name)s"
    lines = [ended(effect["statement"]), "SELECT pg_reload_conf();", "SELECT pg_sleep(1);"]
    lines.append(ended(bound(look, {"name": effect["name"]}, {})))
    yield from fed(session(script, effect["component"], write=True), "\n".join(lines) + "\n", "SQL")


@as_commands("batch")
def batch(change: Json, script: Script) -> Iterator[str]:
    """The moment is fixed, the rows are counted, and batches deleted until none is left."""
    effect = change["effect"]
    psql = session(script, effect["component"], write=True) + " -Atq -F ' '"
    values = {**effect["parameters"], "from": None, "batch": effect["batch"], "limit": effect["ceiling"] + 1}

    def told(name: str) -> str:
        return ended(bound(effect[name], values, {"before": ""})) + "\n"

    yield from _kept("before", psql, told("before"))
    psql += ' -v before="$before"'
    yield from _kept("rows", psql, told("count"))
    yield f'[ "$rows" -le {int(effect["ceiling"])} ]  # more rows than were meant: stop here'
    yield "while"
    yield from _kept("gone", psql, told("delete"))
    yield '[ "${gone%% *}" -gt 0 ]; do echo "${gone%% *} rows deleted"; done'


def ended(statement: str) -> str:
    """The statement with its semicolon, on a line of its own where a comment ends it."""
    text = statement.strip()
    return text if text.endswith(";") else f"{text}\n;" if "--" in text.rpartition("\n")[2] else f"{text};"


def _kept(name: str, psql: str, text: str) -> Iterator[str]:
    first, *rest = fed(psql, text, "SQL")
    yield f"{name}=$({first}"
    yield from rest
    yield ")"


def _secret(script: Script, name: str, reference: str) -> str:
    # Between backquotes a shell of psql reads the variable: the value stands in no argv of psql.
    return f"\\set {name} `printf %s {script.value(reference, f'{name} of the statement')}`"


def _mixed(values: list[Any]) -> bool:
    return any(isinstance(one, dict | list) for one in values) or len({type(one) for one in values}) > 1


def _text(value: str) -> str:
    if "\\" not in value and all(one.isprintable() for one in value):
        return "'" + value.replace("'", "''") + "'"
    return "E'" + "".join(_escaped(one) for one in value) + "'"


def _escaped(one: str) -> str:
    if one in "\\'":
        return f"\\{one}"
    return one if one.isprintable() else f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"


DROP_INVALID = """SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %%I.%%I', n.nspname, i.relname)
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT x.indisvalid AND n.nspname = %(schema)s AND t.relname = %(table)s AND i.relname ~ %(invalid)s"""
"""Of whose answer psql's `\\gexec` makes statements."""
