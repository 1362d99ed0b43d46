"""Celery: its workers, asked by broadcast, and its queues, read in the Redis that is its broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
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
        return await self.once(command, lambda: self.broadcast(command))

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

    async def broadcast(
        self, command: str, arguments: Mapping[str, Any] | None = None, nodes: Sequence[str] | None = None
    ) -> Replies:
        """What the workers, or these nodes of them, answer to any command of Celery's remote control."""
        # The broker first, with a time-out of our own: kombu would go on trying.
        await self.broker.ask(lambda client: client.ping())
        most = len(nodes) if nodes else await self._listening()
        url, loop = await self._broker_url(), asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, url, command, dict(arguments or {}), nodes, most)

    async def _listening(self) -> int | None:
        """How many answers there are at most: each worker listens on a connection of its own to the broker's database.

        Others may listen there too, and then the whole patience is waited. None where the broker does not tell.
        """
        try:
            clients = await self.broker.ask(lambda client: client.client_list(_type="pubsub"))
        except ReadFailed:
            return None
        database = str(self.broker.client.connection_pool.connection_kwargs.get("db") or 0)
        return sum(one.get("db") == database for one in clients) or None

    async def publish(
        self, task: str, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], queue: str
    ) -> None:
        """Put one call into a queue. Raises Unreachable; whether the message arrived is not known then."""
        url, loop = await self._broker_url(), asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._send, url, task, task_id, list(args), dict(kwargs), queue)

    async def _broker_url(self) -> str:
        # As the broker's own connector finds it, which may go through the runtime.
        broker = self.broker
        assert isinstance(broker.component, RedisComponent)
        return await asyncio.to_thread(broker.system.resolve, broker.component.url)

    def _ask(
        self, url: str, command: str, arguments: dict[str, Any], nodes: Sequence[str] | None, most: int | None
    ) -> Replies:
        """One broadcast and all answers that come in time. Blocks for the patience, unless `most` answer before."""
        patience = self.component.patience.total_seconds()
        app, lost = self._control(url)
        try:
            answers = app.control.broadcast(
                command, arguments=arguments, destination=nodes, reply=True, timeout=patience, limit=most
            )
        except lost as error:
            raise Unreachable(f"{self.name}: {error}", f"is the broker {self.component.broker!r} running?") from error
        return {node: said for answer in answers or () for node, said in answer.items()}

    def _send(self, url: str, task: str, task_id: str, args: list[Any], kwargs: dict[str, Any], queue: str) -> None:
        app, lost = self._control(url)
        try:
            # The header tells observations how long it waits.
            app.send_task(
                task, args, kwargs, task_id=task_id, queue=queue, retry=False, headers={"enqueued_at": time.time()}
            )
        except lost as error:
            raise Unreachable(f"{self.name}: {error}", f"is the broker {self.component.broker!r} running?") from error

    def _control(self, url: str) -> tuple[Any, tuple[type[Exception], ...]]:
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
        return self._app, (OSError, KombuError, RedisError)


class CeleryMissing(OpsbookError):
    """The optional package is not installed."""

    def __init__(self) -> None:
        super().__init__("asking Celery workers needs the package celery", "pip install 'opsbook[celery]'")
