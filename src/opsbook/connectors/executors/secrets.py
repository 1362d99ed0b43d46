"""Secrets of a change: taken at the moment of use, and kept out of everything that is said about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opsbook.book.references import Reference, SecretReference
from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed, Json
from opsbook.errors import OpsbookError

MASK = "***"
SHORTEST = 4
"""Shorter values are words of every text; masking them would hide everything and protect nothing."""


class NotReached(ChangeFailed):
    """What the change needs could not be reached or found: it is certain that nothing happened."""

    exit_code = 3


_heard: ContextVar[Callable[[Iterable[str]], object] | None] = ContextVar("heard", default=None)


@contextmanager
def heard_by(take: Callable[[Iterable[str]], object]) -> Iterator[None]:
    """Within, every secret that a change takes is told to `take` before it is used: whoever shows output masks it."""
    token = _heard.set(take)
    try:
        yield
    finally:
        _heard.reset(token)


async def resolve(system: System, references: Mapping[str, str], *, secret: bool = True) -> dict[str, str]:
    """The values of references. Raises NotReached with the next step where one has none."""
    values = {}
    for name, text in references.items():
        try:
            # In a thread: a reference may be a command that takes its time.
            values[name] = await asyncio.to_thread(system.resolve, Reference(text))
        except (OpsbookError, ValueError) as error:
            message = error.message if isinstance(error, OpsbookError) else str(error)
            hint = error.hint if isinstance(error, OpsbookError) else "write ${NAME} or file:PATH"
            raise NotReached(message, hint) from error
    if secret:
        hear(values.values())
    return values


def hear(values: Iterable[str]) -> None:
    """Tell that these are secrets, before they are used: also those that no reference names yet."""
    if (take := _heard.get()) is not None:
        take(values)


def told_apart(value: Json, path: str = "") -> tuple[Json, dict[str, str]]:
    """Plain data in which references stand in the places of secrets, and those places: JSON pointer → reference.

    Only a `SecretReference` is one: text that merely looks like a reference stays text.
    """
    if isinstance(value, SecretReference):
        return value.text, {path: value.text}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if pairs is None:
        return value, {}
    found: dict[Json, Json] = {}
    places: dict[str, str] = {}
    for key, one in pairs:
        step = str(key).replace("~", "~0").replace("/", "~1")
        found[key], inner = told_apart(one, f"{path}/{step}")
        places |= inner
    return (found if isinstance(value, dict) else list(found.values())), places


def put_in(value: Json, secrets: Mapping[str, str], path: str = "") -> Json:
    """The data with the secrets in their places (JSON pointer → value), the other way round of `told_apart`."""
    if path in secrets:
        return secrets[path]
    if isinstance(value, dict):
        return {
            key: put_in(one, secrets, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [put_in(one, secrets, f"{path}/{n}") for n, one in enumerate(value)]
    return value


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, longest first."""
    for secret in sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
