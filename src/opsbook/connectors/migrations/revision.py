"""Where a schema is, asked of the database itself: a version does not know the revisions of newer ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from opsbook.connectors.contract import Connections
from opsbook.connectors.migrations.alembic import BASE
from opsbook.connectors.postgres import PostgresConnector
from opsbook.errors import Refused, UsageError

READ_SECONDS = 30.0
PLACES = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS place
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = 'alembic_version' AND c.relkind = 'r'
ORDER BY n.nspname <> 'public', n.nspname
"""
"""Where Alembic keeps its revision; that of `public` first."""

Rows = Callable[[str], Awaitable[Sequence[str]]]
"""A statement → the first column of its rows."""


async def revision(rows: Rows) -> str:
    """The revision; `base` before the first. Raises Refused for more than one."""
    places = await rows(PLACES)
    if not places:
        return BASE
    found = list(await rows(f"SELECT version_num FROM {places[0]}"))  # noqa: S608  (quoted there)
    if len(found) > 1:
        raise Refused(f"the schema is at several revisions: {', '.join(found)}", "merge them: alembic merge")
    return found[0] if found else BASE


async def revision_of(connections: Connections, component: str) -> str:
    """That of a component. Raises Refused, Unreachable, ReadFailed."""
    connector = connections.of(component)
    if not isinstance(connector, PostgresConnector):
        raise UsageError(f"{component} is no PostgreSQL component", "correct `of` of `deploys.migrations`")

    async def rows(statement: str) -> list[str]:
        return [str(row[0]) for row in await connector.primary.read(statement, None, limit=READ_SECONDS)]

    return await revision(rows)
