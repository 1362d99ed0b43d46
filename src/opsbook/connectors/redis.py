"""Redis and Valkey."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connector, LoginRefused, ReadFailed
from opsbook.connectors.registry import connector
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

SECONDS = 5.0
"""A server that takes longer to greet or to answer is of no use to whom waits for it."""


class RedisComponent(Component):
    """A Redis or Valkey server; its URL names one database of it."""

    kind: Literal["redis"]
    url: Reference = Field(description="redis://[:password@]host:port/database, rediss:// or unix://")


@connector(RedisComponent)
class RedisConnector(Connector):
    """One connection, with RESP answers as text."""

    component: RedisComponent
    _client: Redis | None = None

    @property
    def client(self) -> Redis:
        """The client, connected at its first command."""
        if self._client is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            try:
                pool = BlockingConnectionPool.from_url(
                    self.system.resolve(self.component.url),
                    max_connections=1,
                    timeout=SECONDS,
                    decode_responses=True,
                    encoding_errors="replace",
                    socket_connect_timeout=SECONDS,
                    socket_timeout=SECONDS,
                    client_name="opsbook",
                    retry=Retry(NoBackoff(), 1),  # a connection that broke between two sweeps is opened again
                )
            except ValueError as error:
                raise Unreachable(
                    f"{self.name}: {self.component.url} is no URL of a Redis server",
                    "write redis://:password@host:port/database, rediss:// or unix://",
                ) from error
            self._client = Redis.from_pool(pool)
        return self._client

    async def ask(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Run one command. Raises Unreachable or ReadFailed with the server's own words."""
        from redis.exceptions import AuthenticationError, ConnectionError, RedisError, TimeoutError

        try:
            return await command(self.client)
        except AuthenticationError as error:
            raise LoginRefused(f"{self.name}: {error}", f"check the password in {self.component.url}") from error
        except (ConnectionError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self.name}: {error}", f"is the server of {self.component.url} running?") from error
        except RedisError as error:
            raise ReadFailed(f"{self.name}: {error}") from error

    async def info(self) -> dict[str, Any]:
        """INFO, asked once for all facts of a sweep."""
        return await self.once("info", lambda: self.ask(lambda redis: redis.info("everything")))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
