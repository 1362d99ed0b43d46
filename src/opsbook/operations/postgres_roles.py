"""Roles and grants. A role gets no password here; a rotation gives it one, and the password never stands in a plan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_tables import Table, tables_now
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName, quoted, statement

ROLE = """
SELECT r.rolcanlogin AS login, r.rolconnlimit AS connections, r.rolsuper AS superuser,
       (SELECT array_agg(g.rolname::text) FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid
         WHERE m.member = r.oid) AS member_of
FROM pg_roles AS r
WHERE r.rolname = %(role)s
"""
ROLES = "SELECT rolname::text AS name FROM pg_roles WHERE rolname = ANY (%(names)s)"
# Rights given to the role itself: those that it has by a membership or by PUBLIC are others'.
HELD = """
SELECT n.nspname || '.' || c.relname AS name, array_agg(a.privilege_type ORDER BY 1) AS privileges
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
JOIN pg_roles AS r ON r.oid = a.grantee
WHERE r.rolname = %(role)s AND n.nspname || '.' || c.relname = ANY (%(tables)s)
GROUP BY 1
"""
USAGE = """
SELECT EXISTS (SELECT FROM aclexplode(n.nspacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
                WHERE r.rolname = %(role)s AND a.privilege_type = 'USAGE') AS held
FROM pg_namespace AS n
WHERE n.nspname = %(schema)s
"""
SEQUENCES = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname = %(schema)s AND NOT EXISTS (
    SELECT FROM aclexplode(c.relacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE r.rolname = %(role)s AND a.privilege_type = 'USAGE')
ORDER BY 1
"""
"""Those that the role has no right of its own to use."""
# Whoever gave them: which role will apply the change is not known to the one that plans, and what somebody gave stays.
LATER = """
SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' ELSE 'SEQUENCES' END AS kind, a.privilege_type AS privilege
FROM pg_default_acl AS d
JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
JOIN pg_roles AS r ON r.oid = a.grantee
WHERE r.rolname = %(role)s AND n.nspname = %(schema)s AND d.defaclobjtype IN ('r', 'S')
"""
MOST_TABLES = 1_000
"""Tables of a schema whose rights are granted one by one, so that exactly those can be taken back."""


class Role(OperationParameters):
    role: Identifier = Field(description="the role")
    login: bool = Field(True, description="whether it may connect")
    connections: int = Field(-1, ge=-1, description="most connections it may hold; -1: as many as there are")
    member_of: tuple[Identifier, ...] = Field((), description="roles whose rights it has")


@operation(
    "postgres.role",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Role,
    doc="Makes a role, or brings it to these attributes. It has no password until a rotation gives it one. Undo drops "
    "a role that was made, or puts back what it was.",
)
class _Role(Repeatable):
    async def plan(self, parameters: Role, facts: Facts) -> AsyncIterator[Change]:
        await _must_exist(facts, parameters.of, parameters.member_of)
        rows = await facts.rows(parameters.of, ROLE, {"role": parameters.role})
        now = rows[0] if rows else None
        if now and now["superuser"]:
            raise Refused(f"{parameters.role} is a superuser: opsbook does not change those", "change it by hand")
        role = quoted(parameters.role)
        grants = [f"GRANT {quoted(other)} TO {role}" for other in parameters.member_of]
        wanted = {"login": parameters.login, "connections": parameters.connections}
        alter = f"ALTER ROLE {role} {_attributes(wanted)}"
        # Without a row it is made first; where it is there by then, after a crash, it is only altered.
        statements = [_create(role), alter, *grants]
        yield statement(
            parameters.of,
            statements,
            evidence={"now": now or "it does not exist"},
            inverse=statement(parameters.of, _back(role, now, parameters.member_of)),
        )


def _create(role: str) -> str:
    tag = "opsbook"
    while f"${tag}$" in role:
        tag += "_"
    return f"DO ${tag}$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END ${tag}$"


def _back(role: str, now: Mapping[str, Json] | None, member_of: Sequence[str]) -> str | list[str]:
    if now is None:
        return f"DROP ROLE IF EXISTS {role}"
    new = [other for other in member_of if other not in (now["member_of"] or ())]
    return [f"ALTER ROLE {role} {_attributes(now)}", *(f"REVOKE {quoted(other)} FROM {role}" for other in new)]


def _attributes(row: Mapping[str, object]) -> str:
    return f"{'LOGIN' if row['login'] else 'NOLOGIN'} CONNECTION LIMIT {row['connections']}"


async def _must_exist(facts: Facts, component: str, roles: Sequence[str]) -> None:
    known = {str(row["name"]) for row in await facts.rows(component, ROLES, {"names": list(roles)})} if roles else set()
    for role in roles:
        if role not in known:
            raise Refused(f"{component} has no role {role}", "make it first with postgres.role")


Privilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


class Grant(OperationParameters):
    role: Identifier = Field(description="whose rights are changed")
    privileges: tuple[Privilege, ...] = Field(min_length=1, description="which rights")
    tables: tuple[TableName, ...] = Field((), description="on these tables")
    schema_: Identifier | None = Field(
        None, alias="schema", description="on all tables that this schema has now, and on those that come later"
    )

    @model_validator(mode="after")
    def _where(self) -> Grant:
        if bool(self.tables) == bool(self.schema_):
            raise ValueError("give either `tables` or `schema`")
        return self


async def _targets(facts: Facts, parameters: Grant) -> tuple[list[Table], dict[str, set[str]]]:
    """The tables that are meant, and which rights of each the role itself was given before."""
    await _must_exist(facts, parameters.of, (parameters.role,))
    if parameters.schema_ is None:
        tables = await tables_now(facts, parameters.of, parameters.tables)
    else:
        found = await tables_now(facts, parameters.of)
        tables = sorted((t for t in found if t.schema == parameters.schema_), key=lambda table: table.name)
        if len(tables) > MOST_TABLES:
            raise Refused(f"{parameters.schema_} has more than {MOST_TABLES:,} tables", "name them in groups")
    rows = await facts.rows(parameters.of, HELD, {"role": parameters.role, "tables": [t.label for t in tables]})
    held: dict[str, Json] = {str(row["name"]): row["privileges"] for row in rows}
    return tables, {name: set(rights or ()) for name, rights in held.items()}


def _evidence(tables: Sequence[Table], held: Mapping[str, set[str]]) -> Json:
    return {"tables": len(tables), "held": {name: sorted(rights) for name, rights in held.items()}}


@operation(
    "postgres.grant",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Grant,
    doc="Gives a role rights on tables, or on a schema with what comes into it later (made by the same admin role). "
    "Undo takes back those that it did not have before.",
)
class _Grant(Repeatable):
    async def plan(self, parameters: Grant, facts: Facts) -> AsyncIterator[Change]:
        tables, held = await _targets(facts, parameters)
        role, rights = quoted(parameters.role), ", ".join(parameters.privileges)
        forward = [f"GRANT {rights} ON TABLE {table.sql} TO {role}" for table in tables]
        back = [
            f"REVOKE {', '.join(new)} ON TABLE {table.sql} FROM {role}"
            for table in tables
            if (new := [right for right in parameters.privileges if right not in held.get(table.label, ())])
        ]
        if parameters.schema_:
            in_schema, out_of_it = await _schema_wide(facts, parameters, parameters.schema_)
            forward = [*in_schema[:1], *forward, *in_schema[1:]]
            back += out_of_it
        inverse = statement(parameters.of, back) if back else "the role had all of it before"
        yield statement(parameters.of, forward, evidence=_evidence(tables, held), inverse=inverse)


async def _schema_wide(facts: Facts, parameters: Grant, schema: str) -> tuple[list[str], list[str]]:
    """What gives the rights on the schema, its sequences and its future, and what takes back those that are new."""
    names = {"role": parameters.role, "schema": schema}
    used = await facts.rows(parameters.of, USAGE, names)
    if not used:
        raise Refused(f"{parameters.of} has no schema {schema}", "check its name")
    had = {(str(row["kind"]), str(row["privilege"])) for row in await facts.rows(parameters.of, LATER, names)}
    place, role, rights = quoted(schema), quoted(parameters.role), ", ".join(parameters.privileges)
    later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {place}"
    forward, back = [f"GRANT USAGE ON SCHEMA {place} TO {role}", f"{later} GRANT {rights} ON TABLES TO {role}"], []
    if new := [right for right in parameters.privileges if ("TABLES", right) not in had]:
        back.append(f"{later} REVOKE {', '.join(new)} ON TABLES FROM {role}")
    if "INSERT" in parameters.privileges:
        forward.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {place} TO {role}")
        forward.append(f"{later} GRANT USAGE ON SEQUENCES TO {role}")
        if ("SEQUENCES", "USAGE") not in had:
            back.append(f"{later} REVOKE USAGE ON SEQUENCES FROM {role}")
        unused = await facts.rows(parameters.of, SEQUENCES, names)
        back += [f"REVOKE USAGE ON SEQUENCE {row['name']} FROM {role}" for row in unused]
    if not used[0]["held"]:
        back.append(f"REVOKE USAGE ON SCHEMA {place} FROM {role}")
    return forward, back


@operation(
    "postgres.revoke",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Grant,
    doc="Takes rights on tables from a role. What it has by a membership or by PUBLIC stays. Undo gives back what it "
    "had.",
)
class _Revoke(Repeatable):
    async def plan(self, parameters: Grant, facts: Facts) -> AsyncIterator[Change]:
        tables, held = await _targets(facts, parameters)
        role, rights = quoted(parameters.role), ", ".join(parameters.privileges)
        forward = [f"REVOKE {rights} ON TABLE {table.sql} FROM {role}" for table in tables]
        back = [
            f"GRANT {', '.join(had)} ON TABLE {table.sql} TO {role}"
            for table in tables
            if (had := [right for right in parameters.privileges if right in held.get(table.label, ())])
        ]
        if parameters.schema_:
            later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quoted(parameters.schema_)}"
            forward.append(f"{later} REVOKE {rights} ON TABLES FROM {role}")
        inverse = statement(parameters.of, back) if back else "the role had nothing of it itself"
        yield statement(parameters.of, forward, evidence=_evidence(tables, held), inverse=inverse)
