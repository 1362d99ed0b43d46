"""The Docker API of docker or podman: the PyPI client `docker`, whose blocking calls run in a few threads at most."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opsbook.connectors.blocking import on_thread
from opsbook.connectors.contract import ReadFailed
from opsbook.errors import Unreachable, UsageError

CALLS = 8
"""Calls at a time: as many threads at most."""
CALL_SECONDS = 20.0
PODMAN_PATH, PODMAN_HEADER = "/v4.0.0/libpod", "Libpod-API-Version"
LEAST_VERSION = "1.24"


class ApiFault(ReadFailed):
    """The engine answered that it will not."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the container engine: {message}")
        self.code = code


class NotThere(ApiFault):
    """What is named is not there."""


def address(written: str) -> str:
    """Where the engine listens: as the book says, as DOCKER_HOST says, or the first usual socket that is there."""
    if written or os.environ.get("DOCKER_HOST"):
        return written or os.environ["DOCKER_HOST"]
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    places = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    places += [f"{own}/docker.sock", f"{own}/podman/podman.sock"] if own else []
    for place in places:
        if Path(place).exists():
            return f"unix://{place}"
    raise Unreachable(
        "no container engine is found on this host", "set `runtime.host`, or start docker or podman.socket"
    )


class ComposeApi:
    """One client, opened at the first call."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._client: Any = None
        self._slots = asyncio.Semaphore(CALLS)
        self._podman: bool | None = None

    @property
    def host(self) -> str:
        """Where the engine listens. Raises Unreachable where none is found."""
        return address(self._host)

    async def call(self, method: str, *arguments: Any, deadline: float = CALL_SECONDS, **keywords: Any) -> Any:
        """What a method of docker.APIClient answers. Raises NotThere, ApiFault, Unreachable."""
        async with self._slots:
            try:
                async with asyncio.timeout(deadline):
                    return await on_thread(object(), self._call, method, arguments, keywords)
            except TimeoutError as error:
                raise Unreachable(
                    f"the container engine did not answer within {deadline:g} s", "is it busy? ask again"
                ) from error

    def _call(self, method: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        with told():
            return getattr(self.client, method)(*arguments, **keywords)

    async def get(self, path: str, **params: Any) -> str:
        """The text of a page that the client has no method for."""
        async with self._slots:
            return await on_thread(object(), self._get, path, params)

    def _get(self, path: str, params: dict[str, Any]) -> str:
        with told():
            answer = self.client.get(self.client.base_url + path, params=params, timeout=CALL_SECONDS)
            if answer.status_code >= 400:
                raise ApiFault(answer.status_code, answer.text.strip()[:300])
            return str(answer.text)

    @property
    def client(self) -> Any:
        """The client itself, for streams. Only from a thread: opening it asks the engine for its version."""
        if self._client is None:
            self._client = self.another()
        return self._client

    def another(self) -> Any:
        """A client of one's own, for a stream that another thread may close."""
        where = address(self._host)
        with told(where):
            import docker

            # As the docker command has it: DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say with which keys.
            tls = docker.utils.kwargs_from_env().get("tls") if where.startswith("tcp") else None
            keys = {"base_url": where, "timeout": int(CALL_SECONDS), "tls": tls or False}
            try:
                docker.utils.parse_host(where, tls=bool(tls))
            except (docker.errors.DockerException, ValueError):
                # Without its value, which may be a secret that was meant for something else.
                raise UsageError(
                    "`runtime.host` is not an address of a container engine", "write unix:///path or tcp://host:port"
                ) from None
            # `version="auto"` would ask for all that an engine consists of, which takes podman seconds under load.
            first = docker.APIClient(version=LEAST_VERSION, **keys)
            try:
                headers = first.get(first.base_url + "/_ping", timeout=CALL_SECONDS).headers
            finally:
                first.close()
            self._podman = PODMAN_HEADER in headers
            return docker.APIClient(version=headers.get("Api-Version") or "auto", **keys)

    async def podman(self) -> bool:
        """Whether podman answers: its health checks may have to be asked for."""
        if self._podman is None:
            await self.call("ping")
        return bool(self._podman)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()


@contextmanager
def told(where: str = "") -> Iterator[None]:
    """Errors of the client as ours."""
    try:
        import docker.errors
        import requests
    except ModuleNotFoundError as error:
        raise UsageError("the Python package docker is not installed here", "pip install 'opsbook[compose]'") from error
    try:
        yield
    except docker.errors.NotFound as error:
        raise NotThere(404, str(error.explanation or error)) from error
    except docker.errors.APIError as error:
        # podman says 500 of a container that is removed while it is asked for.
        if "no such container" in str(error.explanation).lower():
            raise NotThere(404, str(error.explanation)) from error
        raise ApiFault(error.status_code or 500, str(error.explanation or error)) from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise Unreachable(
            f"the container engine{' at ' + where if where else ''} cannot be reached: {error}",
            "is docker or podman's service running, and may this user use its socket?",
        ) from error
