"""Redis: a user may have several passwords at a time (ACL, Redis 6, Valkey). The server is told only their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.credentials.contract import MadeHere
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.redis import SECONDS, RedisConnector
from opsbook.errors import OpsbookError

DEFAULT = "default"


class RedisUsers(MadeHere):
    """The users of one server."""

    def __init__(self, connections: Connections, component: str) -> None:
        found = connections.of(component)
        assert isinstance(found, RedisConnector), "planned for a Redis"
        self.connector, self.component = found, component

    def next_login(self, role: str, login: str) -> str:
        return login

    async def allow(self, role: str, new: Credential, old: Credential) -> None:
        await self._acl("SETUSER", role or new.login or DEFAULT, "on", f"#{_digest(new)}")

    async def accepts(self, credential: Credential) -> bool | None:
        from redis.asyncio import Redis
        from redis.exceptions import AuthenticationError, RedisError

        pool = self.connector.client.connection_pool
        options = {
            name: value
            for name, value in pool.connection_kwargs.items()
            if name in ("host", "port", "path", "ssl", "ssl_ca_certs", "ssl_cert_reqs", "db")
        }
        client = Redis(
            **{**options, "unix_socket_path": options.pop("path", None)},
            username=credential.login or DEFAULT, password=credential.secret, socket_connect_timeout=SECONDS,
            socket_timeout=SECONDS, client_name="opsbook",
        )  # fmt: skip
        try:
            await client.ping()
        except AuthenticationError:
            return False
        except (RedisError, OSError) as error:
            if "NOPERM" in str(error):
                return True  # it got in, and may not PING
            raise NotReached(f"{self.component}: {error}", "is the server running?") from None
        finally:
            await client.aclose()
        return True

    async def users(self, old: Credential) -> int | None:
        return None  # a session does not tell by which of the passwords it came

    async def forbid(self, role: str, old: Credential) -> None:
        name, digest = role or old.login or DEFAULT, _digest(old)
        known = await self._passwords(name)
        if name == DEFAULT and await self._required():
            # `requirepass` would bring the old one back, in clear, at the next start. Without it nobody needs one: so
            # both in one transaction, which no other client sees from inside.
            kept = [f"#{one}" for one in known if one != digest]
            await self._at_once(("CONFIG", "SET", "requirepass", ""), ("ACL", "SETUSER", DEFAULT, "resetpass", *kept))
            await self._keep()
        elif digest in known:
            await self._acl("SETUSER", name, f"!{digest}")

    async def _required(self) -> bool:
        settings: Any = await self.connector.ask(lambda redis: redis.config_get("requirepass"))
        return bool(settings.get("requirepass"))

    async def _at_once(self, *commands: tuple[str, ...]) -> None:
        async def run(redis: Any) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                for words in commands:
                    pipeline.execute_command(*words)
                await pipeline.execute()

        await self._said(self.connector.ask(run))

    async def _passwords(self, name: str) -> list[str]:
        found: Any = await self._ask("ACL", "GETUSER", name)
        told = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=False)) if found else {}
        return [str(one).lstrip("#") for one in told.get("passwords", ())]

    async def _acl(self, *words: str) -> None:
        await self._ask("ACL", *words)
        await self._keep()

    async def _keep(self) -> None:
        """Into its own file, so that a restart does not bring the old one back. Raises ChangeFailed."""
        settings: Any = await self.connector.ask(lambda redis: redis.config_get("aclfile"))
        await self._ask(*(("ACL", "SAVE") if settings.get("aclfile") else ("CONFIG", "REWRITE")))

    async def _ask(self, *words: str) -> Any:
        command = self.connector.ask(lambda redis: redis.execute_command(*words))  # type: ignore[no-untyped-call]
        return await self._said(command)

    async def _said(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except ReadFailed as error:
            hint = "may its user change ACLs, and does it run with a file of settings?"
            raise ChangeFailed(error.message, hint) from error
        except OpsbookError as error:
            raise NotReached(error.message, error.hint) from error


def _digest(credential: Credential) -> str:
    return hashlib.sha256(credential.secret.encode()).hexdigest()
