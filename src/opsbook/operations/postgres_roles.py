"""Roles and grants. A password is a reference; PostgreSQL gets its SCRAM verifier, never the password itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName, quoted, quoted_table, statement

ROLE = "SELECT rolcanlogin AS login, rolconnlimit AS connections FROM pg_roles WHERE rolname = %(role)s"
HAS = """
SELECT count(*) FILTER (WHERE NOT has_table_privilege(%(role)s, c.oid, %(privilege)s)) AS missing, count(*) AS tables
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname = %(schema)s
"""


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
    doc="Makes a role, or brings it to these attributes. It has no password until a rotation gives it one.",
)
class _Role(Repeatable):
    async def plan(self, parameters: Role, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(parameters.of, ROLE, {"role": parameters.role})
        role = quoted(parameters.role)
        attributes = f"{'LOGIN' if parameters.login else 'NOLOGIN'} CONNECTION LIMIT {parameters.connections}"
        if not rows:
            drop = statement(parameters.of, f"DROP ROLE IF EXISTS {role}")
            # The guard makes it safe to plan once more after a crash: a role that is there is altered below.
            yield statement(parameters.of, CREATE.format(role=role, literal=_text(parameters.role)), inverse=drop)
        evidence = {"now": rows[0]} if rows else {"now": "it does not exist"}
        before = "it did not exist"
        yield statement(
            parameters.of,
            f"ALTER ROLE {role} {attributes}",
            evidence=evidence,
            inverse=statement(parameters.of, f"ALTER ROLE {role} {_attributes(rows[0])}") if rows else before,
        )
        for other in parameters.member_of:
            grant = f"GRANT {quoted(other)} TO {role}"
            undo = statement(parameters.of, f"REVOKE {quoted(other)} FROM {role}")
            yield statement(parameters.of, grant, inverse=undo if not rows else "it may have had it before")


CREATE = "DO $opsbook$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $opsbook$"


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _attributes(row: Mapping[str, object]) -> str:
    return f"{'LOGIN' if row['login'] else 'NOLOGIN'} CONNECTION LIMIT {row['connections']}"


Privilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


class Grant(OperationParameters):
    role: Identifier = Field(description="who gets the rights")
    privileges: tuple[Privilege, ...] = Field(min_length=1, description="which rights")
    tables: tuple[TableName, ...] = Field((), description="on these tables")
    schema_: Identifier | None = Field(
        None, alias="schema", description="on all tables and sequences of this schema, also future ones"
    )

    @model_validator(mode="after")
    def _where(self) -> Grant:
        if bool(self.tables) == bool(self.schema_):
            raise ValueError("give either `tables` or `schema`")
        return self

    def targets(self) -> list[str]:
        """What follows ON, each."""
        if self.schema_:
            return [f"ALL TABLES IN SCHEMA {quoted(self.schema_)}"]
        return [f"TABLE {quoted_table(table)}" for table in self.tables]


@operation(
    "postgres.grant",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Grant,
    doc="Gives a role rights on tables, or on a schema with what comes into it later (of the granting role).",
)
class _Grant(Repeatable):
    async def plan(self, parameters: Grant, facts: Facts) -> AsyncIterator[Change]:
        role, rights = quoted(parameters.role), ", ".join(parameters.privileges)
        none = "rights that it had before cannot be told from new ones; revoke what it should not have"
        if parameters.schema_:
            schema = quoted(parameters.schema_)
            missing = {
                right: (
                    await facts.rows(
                        parameters.of, HAS, {"role": parameters.role, "privilege": right, "schema": parameters.schema_}
                    )
                )[0]
                for right in parameters.privileges
            }
            yield statement(parameters.of, f"GRANT USAGE ON SCHEMA {schema} TO {role}", evidence=missing, inverse=none)
            if "INSERT" in parameters.privileges:
                yield statement(
                    parameters.of, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}", inverse=none
                )
            later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON TABLES TO {role}"
            yield statement(parameters.of, later, inverse=none)
        for target in parameters.targets():
            yield statement(parameters.of, f"GRANT {rights} ON {target} TO {role}", inverse=none)


@operation(
    "postgres.revoke",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Grant,
    doc="Takes rights on tables from a role.",
)
class _Revoke(Repeatable):
    async def plan(self, parameters: Grant, facts: Facts) -> AsyncIterator[Change]:
        role, rights = quoted(parameters.role), ", ".join(parameters.privileges)
        if parameters.schema_:
            later = (
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quoted(parameters.schema_)} REVOKE {rights} ON TABLES FROM {role}"
            )
            yield statement(parameters.of, later, inverse="grant them again")
        for target in parameters.targets():
            undo = statement(parameters.of, f"GRANT {rights} ON {target} TO {role}")
            yield statement(parameters.of, f"REVOKE {rights} ON {target} FROM {role}", inverse=undo)
