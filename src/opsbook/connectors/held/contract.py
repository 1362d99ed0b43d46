"""One thing that a workload reads a secret from. Whoever writes to it changes it whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

PUBLIC, PRIVATE = 0o644, 0o600


class Held(Protocol):
    """A file, or a key of a Secret. Shown as text by where it is, never by what it holds."""

    async def read(self) -> bytes | None:
        """None where there is nothing. Raises Refused where it cannot be read."""
        ...

    async def change(self, make: Callable[[bytes | None], bytes], mode: int = PRIVATE) -> None:
        """Write what `make` makes of what is there. It may be asked again, where somebody else was quicker.

        `mode` is for a file that is not there yet. Raises ChangeFailed; nothing is changed then.
        """
        ...

    async def remove(self) -> None:
        """What is not there is fine."""
        ...

    def beside(self, what: str) -> Held:
        """Something of its own that no workload reads: what is to come, or what was there before."""
        ...


async def write(held: Held, content: bytes, mode: int = PRIVATE) -> None:
    """Whatever was there before. Raises ChangeFailed."""
    await held.change(lambda _: content, mode)
