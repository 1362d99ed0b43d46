"""A token that an API makes, lists, tries and revokes by requests of the book: its text is in no path and no result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from opsbook.book.issuers import HttpIssuer, IssuerRequest
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.credentials.contract import MadeElsewhere
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached, hear, masked, resolve
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.http_client import Answer
from opsbook.connectors.json_path import JsonPath
from opsbook.errors import Refused, Unreachable

REFUSED = (401, 403)
GONE = (401, 403, 404, 410)
"""What says that a token which is to be revoked is no more."""


class HttpTokens(MadeElsewhere):
    """The tokens of one issuer."""

    def __init__(self, connections: Connections, component: str, issuer: HttpIssuer) -> None:
        self.connections, self.component, self.issuer = connections, component, issuer

    def next_login(self, role: str, login: str) -> str:
        if not isinstance(self.connections.of(self.component), HttpConnector):
            raise Refused(f"{self.component} has no address that could be asked", "name an http component as its `of`")
        return login

    async def new(self, name: str, length: int) -> str:
        answer = await self._send(self.issuer.make, {"name": name})
        _must_be_good(answer, "make")
        try:
            token = JsonPath.parse(self.issuer.token).of(answer.json())
        except (ReadFailed, ValueError):
            # Without its cause, which may quote what stands there.
            raise ChangeFailed(f"{answer.url} gave no {self.issuer.token}", "check `token` of the issuer") from None
        if not isinstance(token, str) or not token or not token.isprintable() or "'" in token:
            raise ChangeFailed(f"what {answer.url} gave is no token of one line", "check `token` of the issuer")
        hear([token])
        return token

    async def recall(self, name: str) -> int | None:
        ended = 0
        answer = await self._ask("GET", _filled(self.issuer.list, {"name": name}))
        _must_be_good(answer, "list")
        for id in self._named(answer, name):
            _must_be_good(await self._send(self.issuer.recall, {"id": id, "name": name}), "recall", GONE)
            ended += 1
        return ended

    def _named(self, answer: Answer, name: str) -> Iterator[str]:
        try:
            told: Any = answer.json()
            entries = JsonPath.parse(self.issuer.items).of(told) if self.issuer.items else told
        except (ReadFailed, ValueError) as error:
            raise ChangeFailed(f"{answer.url}: {error}", "check `list` and `items` of the issuer") from None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get(self.issuer.name) == name and self.issuer.id in entry:
                yield str(entry[self.issuer.id])

    async def accepts(self, credential: Credential) -> bool | None:
        carried = f"{self.issuer.scheme} {credential.secret}".strip()
        answer = await self._exchange("GET", self.issuer.test, None, {self.issuer.header: carried})
        if answer.status in REFUSED:
            return False
        if answer.status >= 400:
            raise NotReached(f"{answer.url} answers {answer.words}", "check `test` of the issuer")
        return True

    async def forbid(self, role: str, old: Credential) -> None:
        if await self.accepts(old) is False:
            return
        _must_be_good(await self._send(self.issuer.revoke, {"token": old.secret}), "revoke", GONE)

    async def _send(self, request: IssuerRequest, values: Mapping[str, str]) -> Answer:
        body = json.dumps(_put_in(request.body, values)).encode() if request.body else None
        return await self._ask(request.method, _filled(request.path, values), body, list(values.values()))

    async def _ask(self, method: str, path: str, body: bytes | None = None, secret: list[str] | None = None) -> Answer:
        references = {name: value.text for name, value in self.issuer.headers.items()}
        headers = await resolve(self.connections.system, references)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        return await self._exchange(method, path, body, headers, [*(secret or ()), *headers.values()])

    async def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], secret: list[str] | None = None
    ) -> Answer:
        connector = self.connections.of(self.component)
        assert isinstance(connector, HttpConnector), "planned for one"
        try:
            return await connector.client.send(method, path, body, headers)
        except (Unreachable, ReadFailed) as error:
            raise NotReached(masked(error.message, secret or ()), "is the issuer up?") from None


def _must_be_good(answer: Answer, what: str, also: tuple[int, ...] = ()) -> None:
    if answer.status >= 400 and answer.status not in also:
        raise ChangeFailed(f"{answer.url} answers {answer.words}", f"check `{what}` of the issuer, and its rights")


def _filled(path: str, values: Mapping[str, str]) -> str:
    for name in ("name", "id"):
        path = path.replace(f"{{{name}}}", quote(values.get(name, ""), safe=""))
    return path


def _put_in(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, dict):
        return {key: _put_in(one, values) for key, one in value.items()}
    return [_put_in(one, values) for one in value] if isinstance(value, list) else value
