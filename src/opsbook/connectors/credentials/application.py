"""A secret that only the application knows what to do with: opsbook gives it a new one, and sees that it is taken."""

from __future__ import annotations

from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials.places import Credential


class ApplicationSecret:
    """Valid as soon as the workloads have read it; whether the old one still is, only the application can say."""

    def __init__(self, connections: Connections, component: str) -> None:
        self.connections, self.component = connections, component

    def next_login(self, role: str, login: str) -> str:
        return login

    async def allow(self, role: str, new: Credential) -> None:
        """Nothing to do."""

    async def accepts(self, credential: Credential) -> bool | None:
        return None

    async def users(self, old: Credential) -> int | None:
        return None

    async def forbid(self, role: str, old: Credential) -> None:
        """Nothing to do."""
