"""Celery: its workers, asked by broadcast, and its queues, read in the Redis that is its broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.system import System
from opsbook.book.values import Duration, Name
from opsbook.connectors.contract import Connections, Connector, ReadFailed
from opsbook.connectors.redis import RedisComponent, RedisConnector
from opsbook.connectors.registry import connector
from opsbook.errors import OpsbookError, Unreachable

THREADS = 4
"""One for each kind of question that a sweep can have."""
CONNECT_SECONDS = 2.0
PRIORITY_STEPS = (3, 6, 9)
"""kombu's lists of lower priority beside a queue's own, `name\\x06\\x16step` (kombu.transport.redis)."""
SEPARATOR = "\x06\x16"
UNACKNOWLEDGED = "unacked"
"""kombu's hash of messages that workers took and have not finished."""


class CeleryBroker(Component):
    """What workers and scheduler have in common."""

    broker: Name = Field(description="the redis component that holds the queues")
    results: Name | None = Field(
        None, description="the redis component of the result backend; the broker where left out"
    )
    queues: tuple[str, ...] = Field(("celery",), description="names of the queues that are read")
    patience: Duration = Field(timedelta(seconds=1), description="how long workers have to answer a broadcast")

    linked: ClassVar[tuple[str, ...]] = ("broker", "results")


class CeleryComponent(CeleryBroker):
    """Celery workers over a Redis broker."""

    kind: Literal["celery"]


class CeleryBeatComponent(CeleryBroker):
    """Celery's scheduler. It cannot be asked itself: it shows in what it caused to run."""

    kind: Literal["celery-beat"]


Replies = Mapping[str, Any]
"""What each worker said, by its node name."""


@connector(CeleryBeatComponent)
@connector(CeleryComponent)
class CeleryConnector(Connector):
    """Broadcasts run in threads of its own, as Celery blocks; everything else goes over the broker's connection."""

    component: CeleryBroker

    def __init__(self, name: str, component: CeleryBroker, system: System, connections: Connections) -> None:
        super().__init__(name, component, system, connections)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"celery-{name}")
        self._app: Any = None

    @property
    def broker(self) -> RedisConnector:
        """The connector of the broker. Raises ReadFailed where that is no Redis."""
        return self._redis(self.component.broker, "broker")

    @property
    def results(self) -> RedisConnector:
        """The connector of the result backend."""
        return self._redis(self.component.results or self.component.broker, "results")

    async def inspect(self, command: str) -> Replies:
        """What the workers answer to `ping`, `active`, `reserved` or `stats`; asked once a sweep.

        Empty where no worker answers within the component's patience. Raises Unreachable where the broker is.
        """
        return await self.once(command, lambda: self._broadcast(command))

    def lists(self, queue: str) -> list[str]:
        """The Redis lists that make up a queue: one for each priority step."""
        return [queue, *(f"{queue}{SEPARATOR}{step}" for step in PRIORITY_STEPS)]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._app is not None:
            self._app.close()

    def _redis(self, name: str, key: str) -> RedisConnector:
        found = self.connections.of(name)
        if not isinstance(found, RedisConnector):
            raise ReadFailed(f"{self.name}: {key} {name!r} is a {found.component.kind}, not a redis component")
        return found

    async def _broadcast(self, command: str) -> Replies:
        # The broker first, with a time-out of our own: kombu would go on trying.
        await self.broker.ask(lambda client: client.ping())
        component = self.broker.component
        assert isinstance(component, RedisComponent)
        url = await asyncio.to_thread(self.system.resolve, component.url)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, url, command)

    def _ask(self, url: str, command: str) -> Replies:
        """One broadcast and all answers that come in time. Blocks for the patience."""
        patience = self.component.patience.total_seconds()
        mailbox, lost = self._control(url)
        try:
            answers = mailbox(command, reply=True, timeout=patience) or []
        except lost as error:
            raise Unreachable(f"{self.name}: {error}", f"is the broker {self.component.broker!r} running?") from error
        return {node: said for answer in answers for node, said in answer.items()}

    def _control(self, url: str) -> tuple[Callable[..., Any], tuple[type[Exception], ...]]:
        try:
            import celery
            from kombu.exceptions import KombuError
            from redis.exceptions import RedisError
        except ImportError:
            raise CeleryMissing from None
        if self._app is None:
            self._app = celery.Celery(f"opsbook-{self.name}", broker=url, set_as_current=False)
            self._app.conf.update(
                accept_content=["json"],
                broker_connection_timeout=CONNECT_SECONDS,
                broker_connection_retry=False,
                broker_pool_limit=THREADS,
                broker_transport_options={
                    "socket_timeout": CONNECT_SECONDS + self.component.patience.total_seconds(),
                    "socket_connect_timeout": CONNECT_SECONDS,
                    "max_retries": 0,
                },
            )
        return self._app.control.broadcast, (OSError, KombuError, RedisError)


class CeleryMissing(OpsbookError):
    """The optional package is not installed."""

    def __init__(self) -> None:
        super().__init__("asking Celery workers needs the package celery", "pip install 'opsbook[celery]'")
