"""PostgreSQL: two logins that take turns, with the rights of one role.

A role has one password, so that the old and the new one cannot both be valid. `app` becomes a role that nobody logs in
as; `app_a` and `app_b` are its members and act as it. The password itself never reaches the server: it gets the
verifier (SCRAM-SHA-256, RFC 5802), as psql's \\password sends it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials.contract import MadeHere
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached, masked, resolve
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_change import Database
from opsbook.connectors.postgres_session import plain_url
from opsbook.errors import Refused

SESSION = "opsbook:credential"
LOGINS = ("_a", "_b")
MOST_NAME = 63 - 2
"""Bytes of a role's name, with the ending of a login."""
EXISTS = "SELECT rolsuper FROM pg_roles WHERE rolname = %(role)s"
USERS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %(login)s"


class PostgresLogins(MadeHere):
    """The logins of one server."""

    def __init__(self, connections: Connections, component: str) -> None:
        self.connections, self.component = connections, component
        self.database = Database(connections, component, write=True)

    def next_login(self, role: str, login: str) -> str:
        if not login:
            raise Refused(
                "none of the places of the rotation holds the user's name, so that two logins cannot take turns",
                "name a place with the whole address in `to` or `also`",
            )
        if len(role.encode()) > MOST_NAME:
            raise Refused(f"the name of the role {role} is too long for its two logins", "use a shorter role")
        if login not in (role, *(f"{role}{ending}" for ending in LOGINS)):
            raise Refused(
                f"the places hold the user {login}, which is neither {role} nor one of its two logins",
                "set `role` of the rotation to the role whose login it is",
            )
        return f"{role}{LOGINS[1]}" if login == f"{role}{LOGINS[0]}" else f"{role}{LOGINS[0]}"

    async def allow(self, role: str, new: Credential, old: Credential) -> None:
        from psycopg import sql

        async with self._session() as connection:
            await self._must_be_plain(connection, role)
            verifier = connection.pgconn.encrypt_password(new.secret.encode(), new.login.encode(), b"scram-sha-256")
            names = {"login": sql.Identifier(new.login), "role": sql.Identifier(role)}
            found = await (await connection.execute(EXISTS, {"role": new.login})).fetchone()
            statements = [
                "ALTER ROLE {login} LOGIN INHERIT PASSWORD {verifier}",
                "GRANT {role} TO {login}",
                # What it makes belongs to the role, not to one of the two.
                "ALTER ROLE {login} SET role = {role}",
            ]
            if found is None:
                statements.insert(0, "CREATE ROLE {login}")
            async with connection.transaction():
                if await _super(connection):
                    await connection.execute("SET LOCAL log_statement = 'none'")
                for text in statements:
                    await connection.execute(sql.SQL(text).format(**names, verifier=sql.Literal(verifier.decode())))

    async def accepts(self, credential: Credential) -> bool | None:
        import psycopg

        settings = self.connections.system.components[self.component]
        assert isinstance(settings, PostgresComponent)
        url = plain_url((await resolve(self.database.system, {"url": settings.dsn.text}))["url"])
        try:
            connection = await psycopg.AsyncConnection.connect(
                url, user=credential.login, password=credential.secret, connect_timeout=10,
                application_name=SESSION, autocommit=True,
            )  # fmt: skip
        except psycopg.OperationalError as error:
            words = masked(str(error), [credential.secret])
            if "FATAL" in words and "too many" not in words and "starting up" not in words:
                return False
            raise NotReached(f"{self.component}: {words.strip().splitlines()[-1]}", "is the server running?") from None
        await connection.close()
        return True

    async def users(self, old: Credential) -> int | None:
        async with self._session() as connection:
            row = await (await connection.execute(USERS, {"login": old.login})).fetchone()
            return int(row[0]) if row else 0

    async def forbid(self, role: str, old: Credential) -> None:
        from psycopg import sql

        async with self._session() as connection:
            if await (await connection.execute(EXISTS, {"role": old.login})).fetchone() is None:
                return
            statement = sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(old.login))
            await connection.execute(statement)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        """A session of the role that changes things; its errors are failures of the change, in the server's words."""
        import psycopg

        try:
            async with self.database.session(SESSION) as connection:
                yield connection
        except psycopg.Error as error:
            words = self.database.words(error)
            raise ChangeFailed(f"{self.component}: {words}", f"may {self.database.reference} change roles?") from None

    async def _must_be_plain(self, connection: Any, role: str) -> None:
        row = await (await connection.execute(EXISTS, {"role": role})).fetchone()
        if row is None:
            raise ChangeFailed(f"{self.component} has no role {role}", "set `role` of the rotation")
        if row[0]:
            raise ChangeFailed(f"{role} is a superuser: its logins would not be", "rotate it by hand")


async def _super(connection: Any) -> bool:
    row = await (await connection.execute("SELECT current_setting('is_superuser') = 'on'")).fetchone()
    return bool(row and row[0])
