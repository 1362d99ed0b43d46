"""Where a credential is valid: a database server, a cache, or only what the application makes of it."""

from __future__ import annotations

from typing import Protocol

from opsbook.connectors.credentials.places import Credential


class Keeper(Protocol):
    """Makes credentials valid and invalid. All of it may be done twice."""

    def next_login(self, role: str, login: str) -> str:
        """The user of the next credential. Raises Refused where old and new cannot both be valid."""
        ...

    async def made(self) -> str | None:
        """A new secret by whoever issues it; None where opsbook makes it. Raises ChangeFailed."""
        ...

    async def allow(self, role: str, new: Credential) -> None:
        """Make the new one valid, beside the old one. Raises ChangeFailed."""
        ...

    async def accepts(self, credential: Credential) -> bool | None:
        """Whether somebody gets in with it, tried; None where that cannot be tried. Raises NotReached."""
        ...

    async def users(self, old: Credential) -> int | None:
        """How many sessions live by the old one; None where that cannot be seen."""
        ...

    async def forbid(self, role: str, old: Credential) -> None:
        """Make the old one invalid. Raises ChangeFailed."""
        ...
