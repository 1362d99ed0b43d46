"""What a form of channel is given, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from opsbook.connectors.offered import import_modules
from opsbook.errors import OpsbookError, UsageError
from opsbook.watch.recipients import Route


@dataclass(frozen=True)
class Sending:
    """One message on its way. `key` is the same however often it is sent: who can, forgets the second one."""

    key: str
    kind: str
    urgency: str
    subject: str
    body: str
    incident: str = ""
    acknowledge: str = ""
    """A signed address by which the one who gets it acknowledges; empty where there is none."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """The signed addresses of a digest, by incident: of the first few that it holds pages of."""
    over: bool | None = None
    """Whether its incident is over now; asked only for channels that take each message alone."""

    @property
    def text(self) -> str:
        """The body with its links."""
        told = [f"Acknowledge by a click: {self.acknowledge}"] if self.acknowledge else []
        told += [f"Acknowledge {incident} by a click: {address}" for incident, address in self.links.items()]
        return "\n".join([self.body, "", *told]) if told else self.body


class NotDelivered(OpsbookError):
    """A channel did not take a message. `permanent`: it will not take it later either."""

    def __init__(self, message: str, hint: str = "", *, permanent: bool = False) -> None:
        super().__init__(message, hint)
        self.permanent = permanent


class NotWanted(OpsbookError):
    """A channel has no use for a message: it is not sent, and goes no other way."""


T = TypeVar("T")
_waiting = ThreadPoolExecutor(max_workers=32, thread_name_prefix="channel")


async def in_thread(call: Callable[..., T], *given: object) -> T:
    """Call what waits for a server, in threads of its own: one that hangs must keep nothing else from going on."""
    return await asyncio.get_running_loop().run_in_executor(_waiting, call, *given)


Send = Callable[[Route, Sending], Awaitable[str]]
"""Sends one message and returns its receipt. Raises NotDelivered; whatever it says may name the address."""
Takes = Callable[[Route], bool]


@dataclass(frozen=True)
class Form:
    """What sends to the addresses that `takes` accepts. `needs`: modules that it imports when it first sends."""

    takes: Takes
    send: Send
    order: int = 0
    needs: tuple[str, ...] = ()
    alone: Takes = lambda _: False


FORMS: list[Form] = []
LAST = 100


def form(
    takes: Takes, *, order: int = 0, needs: tuple[str, ...] = (), alone: Takes = lambda _: False
) -> Callable[[Send], Send]:
    """Registers what sends to the addresses that `takes` accepts; the lowest `order` is asked first.

    `alone`: which of them are services that keep incidents of their own. These get each message by itself, and are told
    that an incident was acknowledged."""

    def register(send: Send) -> Send:
        FORMS.append(Form(takes, send, order, needs, alone))
        return send

    return register


@cache
def _forms() -> tuple[Form, ...]:
    import_modules("opsbook.watch.channels")
    return tuple(sorted(FORMS, key=lambda one: one.order))


def sender(route: Route) -> Send:
    """What sends to an address. Raises UsageError."""
    return _form_of(route).send


def alone(route: Route) -> bool:
    """Whether it keeps incidents of its own, so that each message goes to it by itself. False for what none takes."""
    return any(one.alone(route) for one in _forms() if one.takes(route))


def make_ready(routes: Iterable[Route]) -> None:
    """Import what sends to these addresses: the first page must not wait for that. Blocking."""
    for route in routes:
        with suppress(UsageError, ImportError):
            for name in _form_of(route).needs:
                import_module(name)


def _form_of(route: Route) -> Form:
    for one in _forms():
        if one.takes(route):
            return one
    raise UsageError("no form of channel fits this address", "write one that Apprise knows, or https:// for a webhook")


def scheme(route: Route) -> str:
    """The scheme of an address, in lower case."""
    return route.url.partition(":")[0].lower()
