"""The Kubernetes API over one kept connection: paged lists, patches, streams, WebSockets; its refusals as our errors.

Credentials (kubeconfig, contexts, exec plugins, the service account of a pod) are read by kr8s, which also holds the
HTTP session. Paths are written out here, so that one client serves every version of the API from Kubernetes 1.20 on.
Concepts and error bodies: kubernetes.io/docs/reference/using-api/api-concepts.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.connectors.contract import CredentialRefused, ReadFailed
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    import httpx
    from httpx_ws import AsyncWebSocketSession
    from kr8s.asyncio import Api

Object = dict[str, Any]
"""An object of the API, as its JSON is."""
Query = Mapping[str, str | int | list[str]]

PAGE = 500
"""Objects in one answer, so that the memory that a list takes does not grow with the namespace."""
MANAGER = "opsbook"
"""The field manager under which our changes stand in `managedFields`."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
LONGEST_MESSAGE = 1 << 20
"""Bytes of one message of a WebSocket. The server sends 32 KiB at most."""
ROLE = (
    "`opsbook generate rbac` prints the role that this book needs, `opsbook generate rbac --whole` that of procedures"
    " over the whole system"
)
"""The next step of who may not do something."""


class ApiFault(ReadFailed):
    """The API server answered, and said no: nothing happened."""

    def __init__(self, code: int, reason: str, words: str, causes: tuple[str, ...] = ()) -> None:
        hint = ""
        if code == 401:
            hint = "put one that is valid into the kubeconfig, or log in anew"
        elif code == 403 and reason == "Forbidden" and " cannot " in words:
            hint = ROLE
        super().__init__(f"Kubernetes: {words}", hint)
        self.code, self.reason, self.causes = code, reason, causes


class Unauthorized(ApiFault, CredentialRefused):
    """It does not know who asks."""


class NotThere(ApiFault):
    """There is no such object, or this server does not know its kind."""


class KubernetesApi:
    """One cluster, with one credential."""

    def __init__(self, kubeconfig: str, context: str, seconds: float) -> None:
        """`seconds`: how long one answer may take. Nothing is opened before the first question."""
        self._kubeconfig, self._context, self.seconds = kubeconfig, context, seconds
        self._api: Api | None = None
        self._retired: Api | None = None
        """The session before, with a credential that was refused: an answer may still come by it."""
        self._opening = asyncio.Lock()

    async def open(self) -> Api:
        """The session. Raises Unreachable where there is no credential, or no server."""
        async with self._opening:
            if self._api is None:
                self._api = await self._opened()
            return self._api

    async def _opened(self) -> Api:
        import httpx

        try:
            from kr8s import APITimeoutError
            from kr8s.asyncio import Api
        except ImportError as error:
            raise Unreachable(
                "the Python package kr8s is not installed here", "pip install 'opsbook[kubernetes]'"
            ) from error
        given = {"kubeconfig": self._kubeconfig} if self._kubeconfig else {}
        try:
            # An instance of its own: kr8s shares others, and this one is closed with the connections of its system.
            found = Api(bypass_factory=True, **given, **({"context": self._context} if self._context else {}))
            # Not `await found`, which asks for the version first, and tells a credential that is refused as its own.
            async with asyncio.timeout(self.seconds):
                await found.auth
                await found._create_session()
        except (httpx.HTTPError, APITimeoutError, TimeoutError, ssl.SSLError) as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, OSError, AssertionError) as error:
            raise Unreachable(
                f"no credential for Kubernetes can be read: {error}",
                "set `kubeconfig` or `context` of the runtime in book.yaml, or KUBECONFIG",
            ) from error
        _remove_written_keys(found)
        return found

    async def version(self) -> tuple[int, int]:
        """Major and minor version of the server."""
        said = await self.get("/version")
        return int(said["major"]), int(str(said["minor"]).rstrip("+"))

    async def get(self, path: str, query: Query | None = None, accept: str = "application/json") -> Object:
        """One object or one page. Raises NotThere, ApiFault, Unreachable."""
        return await self.ask("GET", path, query, accept=accept)

    async def pages(
        self, path: str, query: Query | None = None, accept: str = "application/json"
    ) -> AsyncIterator[Object]:
        """Every object of a list, a page at a time."""
        token = ""
        while True:
            asked = {"limit": PAGE, **(query or {}), **({"continue": token} if token else {})}
            page = await self.get(path, asked, accept)
            for one in page["items"] or []:
                yield one
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def patch(self, path: str, body: Any, how: str = MERGE, *, dry: bool = False, manager: str = MANAGER,
                    force: bool = True) -> Object:  # fmt: skip
        """Changes an object, or asks the server what it would say (`dry`). Server-side apply where `how` is APPLY."""
        query: dict[str, str | int | list[str]] = {"fieldManager": manager}
        if how == APPLY and force:
            query["force"] = "true"
        return await self.ask("PATCH", path, query | _dry(dry), body, how)

    async def post(self, path: str, body: Any, *, dry: bool = False) -> Object:
        """Makes an object."""
        return await self.ask("POST", path, {"fieldManager": MANAGER} | _dry(dry), body)

    async def ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """One exchange. A read is asked once more where a kept connection was closed meanwhile."""
        import httpx

        content = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2, 3):
            api = await self.open()
            try:
                answer = await self._once(
                    api, method, path, query, content, {"content-type": content_type, "accept": accept}
                )
            except httpx.RemoteProtocolError as error:
                if method == "GET" and attempt < 3:
                    continue
                raise self._unreachable(error) from error
            if answer.status_code == 401 and attempt == 1:
                await self._authenticate_anew(api)
                continue
            break
        if answer.is_error:
            raise _fault(answer.status_code, answer.content)
        try:
            found: Object = answer.json()
        except ValueError as error:
            raise ReadFailed(f"what answers at {self.where} is not Kubernetes: its answer is no JSON") from error
        return found

    async def _once(
        self, api: Api, method: str, path: str, query: Query | None, content: bytes | None, headers: dict[str, str]
    ) -> httpx.Response:
        import httpx
        from kr8s import APITimeoutError

        base, last = _split(path)
        try:
            async with api.call_api(
                method, version="", base=base, url=last, raise_for_status=False, params=query or {}, content=content,
                headers=headers, timeout=self.seconds,
            ) as answer:  # fmt: skip
                return answer
        except httpx.RemoteProtocolError:
            raise
        except (httpx.HTTPError, APITimeoutError, ssl.SSLError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def lines(self, path: str, query: Query, follow: bool = False) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an endless or long answer, as they come."""
        import httpx
        from kr8s import APITimeoutError

        api = await self.open()
        base, last = _split(path)
        seconds = httpx.Timeout(self.seconds, read=None if follow else self.seconds)
        try:
            async with api.call_api("GET", version="", base=base, url=last, raise_for_status=False, stream=True,
                                    params=query, timeout=seconds) as answer:  # fmt: skip
                if answer.is_error:
                    raise _fault(answer.status_code, await answer.aread())
                yield answer.aiter_lines()
        except (httpx.HTTPError, APITimeoutError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def socket(self, path: str, query: Query) -> AsyncIterator[AsyncWebSocketSession]:
        """A WebSocket of `exec` or `portforward`. Raises ApiFault where it is refused: then nothing was begun."""
        import httpx
        from httpx_ws import WebSocketUpgradeError

        api = await self.open()
        base, last = _split(path)
        try:
            async with api.open_websocket(
                version="",
                base=base,
                url=last,
                params=query,
                subprotocols=("v4.channel.k8s.io",),
                max_message_size_bytes=LONGEST_MESSAGE,
            ) as socket:
                yield socket
        except WebSocketUpgradeError as error:
            words = b""
            with suppress(httpx.HTTPError, httpx.StreamError):
                words = await error.response.aread()
            raise _fault(error.response.status_code, words) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    @property
    def where(self) -> str:
        """The server's address, for messages."""
        return self._api.auth.server if self._api is not None else "the address of the kubeconfig"

    async def _authenticate_anew(self, refused: Api) -> None:
        """A session with what stands in the kubeconfig now; one for all that were refused at the same time."""
        async with self._opening:
            if self._api is not refused:
                return
            # Not by its own means: others that ask meanwhile would meet a session without an address.
            self._api = await self._opened()
            before, self._retired = self._retired, refused
        if before is not None:
            await _closed(before)

    def _unreachable(self, error: BaseException) -> Unreachable:
        words = str(error) or type(error).__name__
        if "imeout" in type(error).__name__ or isinstance(error, TimeoutError):
            words = f"no answer within {self.seconds:g} s"
        return Unreachable(
            f"Kubernetes does not answer at {self.where}: {words}", "is the API server up, and is this its address?"
        )

    async def close(self) -> None:
        """Give the session back."""
        for one in (self._api, self._retired):
            if one is not None:
                await _closed(one)


async def _closed(api: Api) -> None:
    if api._session is not None:
        await api._session.aclose()


def _split(path: str) -> tuple[str, str]:
    """A path as kr8s puts it together again."""
    first, _, rest = path.lstrip("/").partition("/")
    return f"/{first}", rest


def _dry(dry: bool) -> dict[str, str | int | list[str]]:
    return {"dryRun": "All"} if dry else {}


def _fault(code: int, content: bytes) -> OpsbookError:
    """What the server said, in its own words. Server errors leave it open whether something happened."""
    try:
        said = json.loads(content)
        words, reason = str(said["message"]), str(said.get("reason", ""))
        found = (said.get("details") or {}).get("causes") or []
        causes = tuple(str(cause.get("message", "")) for cause in found)
    except (ValueError, KeyError, TypeError):
        words, reason, causes = content.decode("utf-8", errors="replace").strip()[:300] or f"status {code}", "", ()
    if code >= 500:
        return Unreachable(f"Kubernetes answers {code}: {words}", "look at the API server and its webhooks")
    if code == 401:
        words = "the credential is not taken (any more)"
    return {401: Unauthorized, 404: NotThere}.get(code, ApiFault)(code, reason, words, causes)


def _remove_written_keys(api: Api) -> None:
    """kr8s writes keys that a kubeconfig holds inline into files and leaves them; the session has read them by now."""
    auth = api.auth
    user, cluster = auth._user, auth._cluster
    for holds, path in (
        ("client-key-data" in user, auth.client_key_file),
        ("client-certificate-data" in user, auth.client_cert_file),
        ("certificate-authority-data" in cluster, auth.server_ca_file),
    ):
        if holds and path:
            Path(str(path)).unlink(missing_ok=True)
