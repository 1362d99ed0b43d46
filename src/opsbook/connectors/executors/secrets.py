"""Secrets of a change: taken at the moment of use, and kept out of everything that is said about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.errors import OpsbookError

MASK = "***"
SHORTEST = 4
"""Shorter values are words of every text; masking them would hide everything and protect nothing."""


class NotReached(ChangeFailed):
    """What the change needs could not be reached or found: it is certain that nothing happened."""

    exit_code = 3


async def resolve(system: System, references: Mapping[str, str]) -> dict[str, str]:
    """The values of secret references. Raises NotReached with the next step where one has none."""
    values = {}
    for name, text in references.items():
        try:
            # In a thread: a reference may be a command that takes its time.
            values[name] = await asyncio.to_thread(system.resolve, Reference(text))
        except (OpsbookError, ValueError) as error:
            message = error.message if isinstance(error, OpsbookError) else str(error)
            hint = error.hint if isinstance(error, OpsbookError) else "write ${NAME} or file:PATH"
            raise NotReached(message, hint) from error
    return values


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, longest first."""
    for secret in sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
