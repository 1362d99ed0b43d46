"""Where a credential is valid: a database server, a cache, an issuer, or only what the application makes of it."""

from __future__ import annotations

from typing import Protocol

from opsbook.connectors.credentials.pending import generated
from opsbook.connectors.credentials.places import Credential


class Keeper(Protocol):
    """Makes credentials valid and invalid. All of it may be done twice."""

    issues: bool
    """Whether new ones are made by somebody else, who knows them before opsbook does."""

    def next_login(self, role: str, login: str) -> str:
        """The user of the next credential. Raises Refused where old and new cannot both be valid."""
        ...

    async def new(self, name: str, length: int) -> str:
        """A new secret: of opsbook's own making, of this length and valid nowhere yet, or made by whoever issues it,
        under a name. Raises ChangeFailed.
        """
        ...

    async def recall(self, name: str) -> int | None:
        """Make invalid what was made under a name and is known to nobody: how many; None where that cannot be asked.

        Raises ChangeFailed.
        """
        ...

    async def allow(self, role: str, new: Credential, old: Credential) -> None:
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


class MadeHere:
    """Secrets that opsbook makes: they are written down before they are valid, so that none is ever unknown."""

    issues = False

    async def new(self, name: str, length: int) -> str:
        return generated(length)

    async def recall(self, name: str) -> int | None:
        return 0


class MadeElsewhere:
    """Secrets that an issuer makes: its name is written down before it is asked."""

    issues = True

    def next_login(self, role: str, login: str) -> str:
        return login

    async def allow(self, role: str, new: Credential, old: Credential) -> None:
        """It is valid since it was made."""

    async def users(self, old: Credential) -> int | None:
        return None
