"""Changes of the kind `http`: one request.

effect: `method`; `url`, whole, or a path of `component`; `headers`; `body`; `timeout` in seconds; `ok` "good" (a
status below 400) or "any" (whoever asked judges it); `sensitive` (no body is kept). `url`, headers and body are text,
or a list of texts and `{"secret": reference, "as": encoding}` (`engine/http_values.py`).

A redirect is never followed: where a change points elsewhere, that is its answer.

result: `status`, `headers`, the beginning of `body`, `json` where it is JSON as a whole, `seconds`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.secrets import NotReached, masked, resolve
from opsbook.connectors.registry import executor
from opsbook.connectors.trust import client_context
from opsbook.errors import Ambiguous, OpsbookError

if TYPE_CHECKING:
    import httpx

READS = ("GET", "HEAD", "OPTIONS")
DEFAULT_SECONDS = 60.0
KEPT_BODY = 64 * 1024
"""Characters of a body in the result."""
ENCODINGS = ("url", "form", "json-text", "xml")
LARGEST_JSON = 1_000_000
"""Bytes of a body that are read; a longer one is no answer to a request of operations."""


class BadStatus(ChangeFailed):
    """The server answered, and its answer says no."""


@executor("http")
def make(connections: Connections) -> HttpExecutor:
    """The executor for requests to the components of these connections and elsewhere."""
    return HttpExecutor(connections)


@dataclass(frozen=True)
class _Target:
    """Where requests of a component go: base URL, headers of its own, trust, and the address to connect to."""

    base: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    ca: Any = None
    insecure: bool = False
    address: str = ""


class HttpExecutor:
    """Sends requests, each over a connection of its own."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Send it. Raises NotReached, BadStatus or ReadFailed where it is certain that nothing happened; Ambiguous or
        TimeoutError where the request may have been taken.
        """
        effect = change.effect
        secrets = await resolve(self.system, {ref: ref for ref in _references(effect)})
        target = await self._target(effect.get("component", ""))
        known = [form for secret in secrets.values() for form in _forms(secret)]
        known += [value for _, value in target.headers]
        url = target.base + _joined(effect["url"], secrets)
        headers = {
            "User-Agent": "opsbook", **dict(target.headers),
            **{name: _joined(text, secrets) for name, text in effect.get("headers", {}).items()},
        }  # fmt: skip
        if effect["method"] not in READS:
            headers.setdefault("Idempotency-Key", hashlib.sha256(key.encode()).hexdigest()[:40])
        body = _joined(effect.get("body") or "", secrets).encode()
        started = time.monotonic()
        status, answered, content = await self._send(effect, target, url, headers, body, known)
        told = masked(f"{effect['method']} {url}: {status}\n", known)
        await out.write(told)
        return self._concluded(effect, status, answered, content, known, time.monotonic() - started)

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of a request outlives its connection here; what the server does with it cannot be ended."""
        return True

    async def _target(self, name: str) -> _Target:
        if not name:
            return _Target()
        component: Any = self.system.components.get(name)
        if component is None or getattr(component, "url", None) is None:
            raise NotReached(f"{name!r} has no URL", "name an http component of the book")
        # As its connector finds it, which may go through the runtime.
        connector = self.connections.of(name)
        component, system = connector.component, connector.system
        references = {"": component.url.text, **{k: v.text for k, v in getattr(component, "headers", {}).items()}}
        base = await resolve(system, {"": references.pop("")}, secret=False)
        values = {**base, **await resolve(self.system, references)}
        ca = getattr(component, "ca", "")
        return _Target(
            values.pop("").rstrip("/"), tuple(values.items()), self.system.path(ca) if ca else None,
            bool(getattr(component, "insecure", False)), await self._address(component),
        )  # fmt: skip

    async def _address(self, component: Any) -> str:
        """Where to connect to in place of the host of the URL; empty: there."""
        said = getattr(component, "address", "")
        return (await resolve(self.system, {"": said}, secret=False))[""] if said and isinstance(said, str) else ""

    async def _send(
        self,
        effect: Mapping[str, Any],
        target: _Target,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        known: list[str],
    ) -> tuple[int, dict[str, str], bytes]:
        import httpx

        seconds = float(effect.get("timeout") or DEFAULT_SECONDS)
        reads = effect["method"] in READS
        shown = masked(url, known)
        trust = client_context(target.ca, insecure=target.insecure)
        try:
            place = httpx.URL(url)
            asked = {"Host": place.netloc.decode(), **headers} if target.address else dict(headers)
            async with (
                httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=seconds) as client,
                asyncio.timeout(seconds),
                client.stream(
                    effect["method"],
                    place.copy_with(host=target.address) if target.address else place,
                    headers=asked,
                    content=body or None,
                    extensions={"sni_hostname": place.host},
                ) as response,  # fmt: skip
            ):
                return response.status_code, dict(response.headers), await _bounded(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            raise NotReached(f"{shown} cannot be requested: {masked(str(error), known)}", "mend the request") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            why = masked(str(error), known) or "no connection"
            raise NotReached(f"{shown}: {why}", "is its server up, and the address right?") from None
        except (httpx.HTTPError, TimeoutError) as error:
            why = masked(str(error), known) or f"no answer within {seconds:g} s"
            if reads:
                raise ReadFailed(f"{shown}: {why}", "look at its server") from None
            raise Ambiguous(
                f"{effect['method']} {shown}: {why}; the server may have taken it",
                "look there, then `opsbook runs resolve`",
            ) from None

    def _concluded(
        self,
        effect: Mapping[str, Any],
        status: int,
        answered: dict[str, str],
        content: bytes,
        known: list[str],
        seconds: float,
    ) -> Done:
        text = masked(content.decode("utf-8", errors="replace"), known)
        if effect.get("ok", "good") == "good" and status >= 400:
            raise self._bad(effect, status, "" if effect.get("sensitive") else text)
        result: dict[str, Json] = {"status": status, "seconds": round(seconds, 3)}
        if not effect.get("sensitive"):
            result["headers"] = {name.lower(): masked(value, known)[:1000] for name, value in answered.items()}
            result["body"] = text[:KEPT_BODY]
            with suppress(ValueError):
                result["json"] = json.loads(text)
        return Done(result)

    def _bad(self, effect: Mapping[str, Any], status: int, text: str) -> OpsbookError:
        words = " ".join(re.sub(r"<[^>]*>", " ", text[:2000]).split())[:200]
        message = f"{effect['method']} {_shown_url(effect)} answers {status}" + (f": {words}" if words else "")
        hint = 'where another status is fine, say so: expect="status == …"'
        if effect["method"] in READS:
            return ReadFailed(message, hint)
        # A server that fails may have done a part before: only a refusal (4xx) is certain.
        return (
            BadStatus(message, hint) if status < 500 else Ambiguous(message, "look there, then `opsbook runs resolve`")
        )


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > LARGEST_JSON:
            break
    return bytes(content[:LARGEST_JSON])


def _references(effect: Mapping[str, Any]) -> set[str]:
    texts = [effect["url"], effect.get("body") or "", *effect.get("headers", {}).values()]
    return {part["secret"] for text in texts if isinstance(text, list) for part in text if isinstance(part, dict)}


def _joined(text: Json, secrets: Mapping[str, str]) -> str:
    if isinstance(text, str):
        return text
    return "".join(part if isinstance(part, str) else _encoded(secrets[part["secret"]], part["as"]) for part in text)


def _encoded(secret: str, how: str) -> str:
    """As `engine/http_values.py` encodes values that are no secret."""
    if how == "header" and re.search(r"[\r\n\0]", secret):
        raise NotReached("a secret has a line break, which no header can carry", "mend the secret")
    ways = {
        "url": lambda: quote(secret, safe=""),
        "form": lambda: quote_plus(secret, safe=""),
        "json": lambda: json.dumps(secret),
        "json-text": lambda: json.dumps(secret)[1:-1],
        "xml": lambda: secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;"),
    }
    return ways[how]() if how in ways else secret


def _forms(secret: str) -> set[str]:
    """A secret as servers give it back: plain, and as it was encoded."""
    return {secret, json.dumps(secret, ensure_ascii=False)[1:-1], *(_encoded(secret, how) for how in ENCODINGS)}


def _shown_url(effect: Mapping[str, Any]) -> str:
    text = effect["url"]
    return text if isinstance(text, str) else "".join(part if isinstance(part, str) else "***" for part in text)
