"""The tool of the book: on this host, or in a container of the version."""

from __future__ import annotations

from opsbook.connectors.contract import Connections
from opsbook.connectors.migrations.alembic import Alembic, alembic_of
from opsbook.connectors.migrations.inside import inside_of


async def tool_of(connections: Connections, version: str) -> Alembic:
    """Raises Refused where the book has none that opsbook drives."""
    settings = connections.system.model.deploys.migrations
    if settings is not None and settings.inside:
        return await inside_of(connections, version)
    return alembic_of(connections.system, version)
