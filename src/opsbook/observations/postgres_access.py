"""Who may log in to PostgreSQL and with which rights, held against what somebody has allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Fact
from opsbook.connectors.postgres import PostgresConnector
from opsbook.observations.postgres_sql import sql_observation
from opsbook.observations.registry import observation

SHOWN = 50


class RoleParameters(Parameters):
    """Who is meant to be there."""

    allowed: tuple[str, ...] = Field((), description="roles that may log in")
    privileged: tuple[str, ...] = Field(
        (),
        description="those of them that may be superuser, make roles, replicate, pass row security, read or write all"
        " data, or reach files and programs of the server",
    )


# A membership counts like the attribute itself: whoever is a member may become that role.
sql_observation(
    "postgres.unexpected_roles",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('role', rolname, 'why', why, 'powers', powers, 'password_ends', rolvaliduntil)
                    ORDER BY rolname) FILTER (WHERE rank <= 50) AS detail,
           string_agg(rolname || ' ' || array_to_string(why, ' and '), '; ' ORDER BY rolname)
             FILTER (WHERE rank <= 5) || CASE WHEN count(*) > 5 THEN ' and ' || count(*) - 5 || ' more' ELSE '' END
             AS message
      FROM (SELECT *, row_number() OVER (ORDER BY rolname) AS rank
              FROM (SELECT rolname, rolvaliduntil, powers, array_remove(ARRAY[
                             CASE WHEN NOT rolname::text = ANY (%(allowed)s::text[]) THEN 'may log in' END,
                             CASE WHEN powers <> '{}' AND NOT rolname::text = ANY (%(privileged)s::text[])
                                  THEN 'has ' || array_to_string(powers, ', ') END], NULL) AS why
                      FROM (SELECT r.*, CASE WHEN r.rolsuper THEN ARRAY['superuser'] ELSE
                                   ARRAY(SELECT DISTINCT power
                                           FROM pg_roles AS g
                                          CROSS JOIN LATERAL unnest(ARRAY[
                                                CASE WHEN g.rolsuper THEN 'superuser' END,
                                                CASE WHEN g.rolcreaterole THEN 'createrole' END,
                                                CASE WHEN g.rolreplication THEN 'replication' END,
                                                CASE WHEN g.rolbypassrls THEN 'bypassrls' END,
                                                CASE WHEN g.rolname IN ('pg_read_all_data', 'pg_write_all_data',
                                                       'pg_read_server_files', 'pg_write_server_files',
                                                       'pg_execute_server_program') THEN g.rolname::text END]) AS power
                                          WHERE power IS NOT NULL AND pg_has_role(r.oid, g.oid, 'MEMBER')
                                          ORDER BY power) END AS powers
                              FROM pg_roles AS r WHERE r.rolcanlogin AND r.oid <> 10) AS l) AS w
             WHERE why <> '{}') AS s
    """,
    parameters=RoleParameters,
    critical="> 0",
    doc="Roles that may log in and are not `allowed`, or have powers and are not `privileged`, by themselves or by a "
    "membership. The superuser that the server was made with never counts. The detail says why of each.",
)


class EndParameters(Parameters):
    """How far an end may lie ahead."""

    within: Duration = Field(timedelta(days=365), description="a password that ends later counts as one without end")
    allowed: tuple[str, ...] = Field((), description="roles whose password needs no end: those that are rotated")


sql_observation(
    "postgres.passwords_without_end",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('role', rolname, 'password_ends', rolvaliduntil) ORDER BY rolname)
             FILTER (WHERE rank <= 50) AS detail
      FROM (SELECT *, row_number() OVER (ORDER BY rolname) AS rank
              FROM pg_roles
             WHERE rolcanlogin AND NOT rolname::text = ANY (%(allowed)s::text[])
               AND (rolvaliduntil IS NULL OR rolvaliduntil > now() + %(within)s::interval)) AS s
    """,
    parameters=EndParameters,
    doc="Roles that may log in and whose password never ends (VALID UNTIL), or ends later than `within` from now. "
    "Whether a role has a password at all, only a superuser sees.",
)

Privilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]


class GrantParameters(Parameters):
    """What is meant to be granted."""

    allowed: dict[str, tuple[Privilege, ...]] = Field({}, description="role, or PUBLIC: its privileges on tables")
    schemas: tuple[str, ...] = Field((), description="schemas whose tables count; all but the system's where left out")


# What the owner holds of its own table is no grant.
GRANTS = """
SELECT n.nspname || '.' || c.relname, coalesce(r.rolname::text, 'PUBLIC'), array_agg(DISTINCT a.privilege_type::text)
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL aclexplode(c.relacl) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.grantee <> c.relowner
   AND CASE WHEN cardinality(%(schemas)s::text[]) > 0 THEN n.nspname::text = ANY (%(schemas)s::text[])
            ELSE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%' END
 GROUP BY 1, 2
 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Grant:
    """Privileges of a role on a table."""

    table: str
    role: str
    privileges: tuple[str, ...]


def beyond(grants: Iterable[Grant], allowed: Mapping[str, Sequence[str]]) -> list[Grant]:
    """Of each grant the privileges that are not allowed to its role."""
    rest = (Grant(g.table, g.role, tuple(p for p in g.privileges if p not in allowed.get(g.role, ()))) for g in grants)
    return [grant for grant in rest if grant.privileges]


@observation(
    "postgres.grants_beyond",
    Dimension.COUNT,
    of="postgres",
    parameters=GrantParameters,
    critical="> 0",
    follows=False,
    doc="Tables and views on which a role, or PUBLIC, was granted more than `allowed`: one for each table and role. The"
    " detail says what is too much. Owners and columns do not count.",
)
async def grants_beyond(postgres: PostgresConnector, said: GrantParameters) -> Fact:
    rows = await postgres.primary.read(GRANTS, {"schemas": list(said.schemas)})
    found = beyond((Grant(table, role, tuple(sorted(privileges))) for table, role, privileges in rows), said.allowed)
    detail = [{"table": one.table, "role": one.role, "privileges": list(one.privileges)} for one in found[:SHOWN]]
    roles = ", ".join(sorted({one.role for one in found}))
    return Fact(float(len(found)), detail, f"too much is granted to {roles}" if found else "")
