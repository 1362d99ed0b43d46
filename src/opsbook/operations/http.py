"""One request, held against what it should answer."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk
from opsbook.book.references import SecretReference
from opsbook.connectors.change import Change, Json
from opsbook.connectors.http import HttpSettings
from opsbook.errors import Refused
from opsbook.operations.contract import MAY_HOLD_SECRETS, Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

NOTHING = "nothing to undo: it only asks"


class Get(OperationParameters):
    path: str = Field("/", pattern=r"^/", description="path and query")
    status: int | None = Field(
        None, ge=100, le=599, description="the status it must have; any below 400 where left out"
    )
    timeout: float = Field(60, gt=0, le=3600, description="seconds that it may take")


@operation(
    "http.get",
    Risk.READ,
    of=("http", "proxy"),
    idempotent=True,
    parameters=Get,
    doc="One GET; its status, headers, body and JSON are the result, to be held against an `expect`.",
)
class _Get(Repeatable):
    async def plan(self, parameters: Get, facts: Facts) -> AsyncIterator[Change]:
        yield _change(facts, parameters.of, "GET", parameters.path, "", parameters, NOTHING)


class Send(OperationParameters):
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="its method")
    path: str = Field(pattern=r"^/", description="path and query")
    json_: Any = Field(
        None, alias="json", description="its body, sent as JSON; may hold secrets", json_schema_extra=MAY_HOLD_SECRETS
    )
    status: int | None = Field(
        None, ge=100, le=599, description="the status it must have; any below 400 where left out"
    )
    timeout: float = Field(60, gt=0, le=3600, description="seconds that it may take")

    @model_validator(mode="after")
    def _plain(self) -> Send:
        _body(self.json_)
        return self


@operation(
    "http.request",
    Risk.DESTRUCTIVE,
    of=("http", "proxy"),
    idempotent=False,
    parameters=Send,
    doc="One request that changes something; what it does is not known to opsbook. It carries an Idempotency-Key that "
    "stays the same when it is sent again.",
)
class _Send:
    async def plan(self, parameters: Send, facts: Facts) -> AsyncIterator[Change]:
        yield _change(
            facts, parameters.of, parameters.method, parameters.path, _body(parameters.json_), parameters,
            "what a request did, only its server knows",
        )  # fmt: skip

    async def verify(self, key: str, change: Change, facts: Facts) -> Literal["unknown"]:
        return "unknown"


def _body(value: Any) -> Json:
    """The text of the body; a list of texts and secrets, as `http` has them, where there are any."""
    if value is None:
        return ""
    marks: dict[str, SecretReference] = {}

    def mark(secret: Any) -> str:
        if not isinstance(secret, SecretReference):
            raise TypeError(f"{type(secret).__name__} is no JSON")
        # Not to be guessed: a text of the body must not be able to stand for a secret.
        name = uuid.uuid4().hex
        marks[name] = secret
        return name

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=mark)
    if not marks:
        return text
    pieces = re.split("(" + "|".join(f'"{name}"' for name in marks) + ")", text)
    parts = [{"secret": marks[one[1:-1]].text, "as": "json"} if one[1:-1] in marks else one for one in pieces]
    return [part for part in parts if part]


def _change(
    facts: Facts, component: str, method: str, path: str, body: Json, parameters: Get | Send, inverse: str
) -> Change:
    if not isinstance(facts.system.components[component], HttpSettings):
        raise Refused(f"{component} does not speak HTTP", "name an http or proxy component")
    effect = {
        "component": component, "method": method, "url": path, "body": body, "timeout": parameters.timeout,
        "headers": {"Content-Type": "application/json"} if body else {}, "ok": "good",
    }  # fmt: skip
    if parameters.status is not None:
        return Change("http-expecting", {**effect, "ok": "any", "status": parameters.status}, inverse=inverse)
    return Change("http", effect, inverse=inverse)
