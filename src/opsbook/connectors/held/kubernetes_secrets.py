"""Secrets of Kubernetes: written under the resourceVersion that was read, so that nobody's change is lost.

What is to come and what was there before stand in Secrets of their own, beside the one that workloads read: no pod
mounts them. They are of opsbook and go with their last key.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.held.contract import PRIVATE
from opsbook.connectors.held.places import beside
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import MANAGER, ApiFault, NotThere, Object
from opsbook.errors import Refused, Unreachable

OWN = {"app.kubernetes.io/managed-by": MANAGER}
CONFLICT = 409
TRIES = 6
Keys = Mapping[str, bytes | None]
"""Keys of a Secret; None is to be removed."""


@dataclass(frozen=True)
class Secret:
    """One Secret of the environment's namespace."""

    kubernetes: Kubernetes
    name: str

    def __str__(self) -> str:
        return f"secret:{self.name}"

    async def keys(self) -> dict[str, bytes] | None:
        """Its keys and values; None where there is none. Raises Refused, NotReached."""
        found = await self._found()
        return None if found is None else _values(found)

    async def change(self, make: Callable[[Mapping[str, bytes]], Keys], kind: str = "Opaque") -> None:
        """Write what `make` makes of its keys, all at once; others stay. Made where it is not there.

        Raises ChangeFailed where the server says no, NotReached where it does not answer.
        """
        for _ in range(TRIES):
            found = await self._found()
            before = {} if found is None else _values(found)
            after = {key: value for key, value in make(before).items() if before.get(key) != value}
            if not after:
                return
            try:
                await (self._make(after, kind) if found is None else self._patch(found, after))
                return
            except Unreachable as error:
                raise NotReached(error.message, error.hint) from error
            except ApiFault as error:
                if error.code != CONFLICT and not (isinstance(error, NotThere) and found is not None):
                    raise ChangeFailed(f"{self}: {error.message}", error.hint or "may it be written here?") from error
        raise ChangeFailed(f"{self} is changed by somebody else all the time", "find out by whom, and try again")

    async def _make(self, keys: Keys, kind: str) -> None:
        data = {key: _text(value) for key, value in keys.items() if value is not None}
        metadata = {"name": self.name, "labels": OWN}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}
        await self.kubernetes.api.post(self.kubernetes.namespace.core("secrets"), body)

    async def _patch(self, found: Object, keys: Keys) -> None:
        data = {key: None if value is None else _text(value) for key, value in keys.items()}
        guard = {"resourceVersion": found["metadata"]["resourceVersion"]}
        await self.kubernetes.api.patch(self._path, {"metadata": guard, "data": data})

    async def drop(self, *keys: str) -> None:
        """Remove keys, all at once; the Secret too where it is opsbook's own and these were its last.

        One by one would not do for those of a certificate: the server wants both in a Secret of that type, or none.
        """
        for _ in range(TRIES):
            found = await self._found()
            there = set() if found is None else set(_values(found))
            if found is None or not there & set(keys):
                return
            metadata, last = found["metadata"], there <= set(keys)
            own = (metadata.get("labels") or {}).items() >= OWN.items()
            version = {"resourceVersion": metadata["resourceVersion"]}
            try:
                if last and own:
                    await self.kubernetes.api.ask("DELETE", self._path, body={"preconditions": version})
                else:
                    await self._patch(found, dict.fromkeys(there & set(keys)))
                return
            except Unreachable as error:
                raise NotReached(error.message, error.hint) from error
            except ApiFault as error:
                if error.code != CONFLICT and not isinstance(error, NotThere):
                    raise ChangeFailed(f"{self}: {error.message}", error.hint) from error
        raise ChangeFailed(f"{self} is changed by somebody else all the time", "find out by whom, and try again")

    @property
    def _path(self) -> str:
        return self.kubernetes.namespace.core("secrets", self.name)

    async def _found(self) -> Object | None:
        try:
            return await self.kubernetes.api.get(self._path)
        except NotThere:
            return None
        except Unreachable as error:
            raise NotReached(error.message, error.hint) from error
        except ApiFault as error:
            raise Refused(f"{self}: {error.message}", error.hint or "may it be read?") from error


@dataclass(frozen=True)
class InSecret:
    """A key of a Secret."""

    secret: Secret
    key: str

    def __str__(self) -> str:
        return f"{self.secret}/{self.key}"

    async def read(self) -> bytes | None:
        return (await self.secret.keys() or {}).get(self.key)

    async def change(self, make: Callable[[bytes | None], bytes], mode: int = PRIVATE) -> None:  # noqa: ARG002
        await self.secret.change(lambda keys: {self.key: make(keys.get(self.key))})

    async def remove(self) -> None:
        await self.secret.drop(self.key)

    def beside(self, what: str) -> InSecret:
        return InSecret(Secret(self.secret.kubernetes, beside(self.secret.name, what)), self.key)


def _values(found: Object) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
