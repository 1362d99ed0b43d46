"""PostgreSQL facts as SQL, and the reader that asks many of them in one statement.

A fact is a query of one row with the columns `value` and, where there is more to say, `detail` (JSON: the rows behind
the value), `message` (one sentence) and `failure` (why there can be no value). The reader makes each a JSON sub-select
of one statement. If that statement fails, each fact is asked alone, and the one that spoiled it is asked alone from
then on. Facts that read the users' tables are always alone, so that a slow or locked table costs only its own checks.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from opsbook.book.catalogue import Cost, NoParameters, ObservationSpec, Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Connector, Fact, ReadFailed, Reading, Request, Value
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.postgres_session import CATALOGUE_PATH, Server, Session
from opsbook.errors import OpsbookError
from opsbook.observations.registry import Absent, failed, make_spec, reading, register, timed_out

MERGED_AT_MOST = 400
"""PostgreSQL takes 1,664 columns in a select; this leaves the planner something it can hold."""
MERGED_SHARE = 0.5
"""Share of the time that the merged statement may take, so that there is time to ask alone what it did not answer."""
QUERY_LENGTH = 200
MARK = "/* opsbook */"
"""Stands in every statement, so that slow queries can leave opsbook out."""

_PASSWORD = re.compile(
    r"""(password|identified\ by)(\s+|\s*[=:]\s*)
        (''[^']+''                      # inside another literal
        |E?'(?:[^']|'')*(?:'|$)
        |\$\$.*?(?:\$\$|$)
        |(?<=[=:])[^\s'"$]+)""",
    re.I | re.S | re.X,
)
_MARK = re.compile(r"%%|%\((\w+)\)s")


Words = Mapping[str, str | Mapping[int, str]]
"""Parts of SQL by the word that stands for them. Those that differ between versions: by the first version of each."""


@dataclass(frozen=True)
class Sql:
    """How a fact is asked. `{words}` in it are chosen by the version of the server, or of the fact's extension."""

    text: str | Callable[[Any], str]
    words: Words = field(default_factory=dict)
    on: Literal["primary", "replica"] = "primary"
    sees_all: bool = False
    extension: str = ""
    alone: bool = False


FACTS: dict[str, Sql] = {}


def sql_observation(
    name: str,
    dimension: Dimension,
    text: str | Callable[[Any], str],
    *,
    doc: str,
    words: Words | None = None,
    on: Literal["primary", "replica"] = "primary",
    sees_all: bool = False,
    extension: str = "",
    alone: bool = False,
    parameters: type[Parameters] = NoParameters,
    cost: Cost = Cost.CHEAP,
    warning: str = "",
    critical: str = "",
    vital: bool = False,
) -> None:
    """Registers a fact. `text` is SQL or makes it of the parameters; `%(name)s` are parameters, a plain `%` is `%%`."""
    FACTS[name] = Sql(text, words or {}, on, sees_all, extension, alone)
    register(make_spec(name, dimension, "postgres", doc, parameters, cost, warning, critical, vital), READER)


def statement(fact: Sql, parameters: Parameters, server: Server) -> str:
    """The SQL text of a fact for this server. Raises ReadFailed where the server or the role cannot have it."""
    version = server.version
    names = {}
    if fact.sees_all and not server.sees_all:
        raise ReadFailed(
            f"the role {server.role} may not see what others do: GRANT pg_monitor TO {quoted(server.role)}"
        )
    if fact.extension:
        if fact.extension not in server.extensions:
            raise ReadFailed(f"the extension {fact.extension} is not there: CREATE EXTENSION {fact.extension}")
        schema, version = server.extensions[fact.extension]
        names["schema"] = quoted(schema)
    text = fact.text(parameters) if callable(fact.text) else fact.text
    names |= {word: by_version(choices, version) for word, choices in fact.words.items()}
    for word, chosen in names.items():
        text = text.replace("{" + word + "}", chosen)
    return text


def by_version(choices: str | Mapping[int, str], version: int) -> str:
    """The choice of the newest version that is not newer than this one."""
    if isinstance(choices, str):
        return choices
    return choices[max(since for since in choices if since <= version)]


def quoted(*parts: str) -> str:
    """An identifier in SQL, whatever it is made of; ready for a text in which `%` marks parameters."""
    return ".".join('"' + part.replace('"', '""').replace("\0", "") + '"' for part in parts).replace("%", "%%")


def bound(parameters: Parameters) -> dict[str, Any]:
    """Parameters as psycopg takes them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters}


def masked(query: str) -> str:
    """A statement for people: one line, no password, at most 200 characters."""
    shown = " ".join(_PASSWORD.sub(r"\1\2***", query).split())
    return shown if len(shown) <= QUERY_LENGTH else shown[: QUERY_LENGTH - 1] + "…"


class SqlReader:
    """Reads all SQL facts of one component: one statement for the primary and one for the replica."""

    async def read(self, connector: Connector, batch: Sequence[Request]) -> list[Reading]:
        assert isinstance(connector, PostgresConnector)
        sides: dict[str, list[Request]] = {}
        for request in batch:
            sides.setdefault(FACTS[request.observation.name].on, []).append(request)
        parts = []
        for side, requests in sides.items():
            session = connector.primary if side == "primary" else connector.replica
            parts.append(_Round(session, requests).readings() if session else _without_replica(connector, requests))
        return [one for part in await asyncio.gather(*parts) for one in part]


READER = SqlReader()


async def _without_replica(connector: PostgresConnector, requests: Sequence[Request]) -> list[Reading]:
    error = ReadFailed(f"{connector.name} has no `replica` in the book")
    return [failed(request, error) for request in requests]


@dataclass(frozen=True)
class _Asked:
    """A request with its SQL."""

    request: Request
    text: str
    parameters: Mapping[str, Any]
    alone: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.text, repr(self.parameters)


class _Round:
    """One round of questions to one server. Each request is answered or cut within its own time."""

    def __init__(self, session: Session, requests: Sequence[Request]) -> None:
        self.session, self.requests = session, requests
        self.started = time.monotonic()
        self.found: dict[str, Reading] = {}

    async def readings(self) -> list[Reading]:
        try:
            asked = await self._prepare()
            merged = [one for one in asked if not one.alone and one.key not in self.session.suspects]
            alone = [one for one in asked if one not in merged]
            spoiled = [
                one
                for start in range(0, len(merged), MERGED_AT_MOST)
                for one in await self._merged(merged[start : start + MERGED_AT_MOST])
            ]
            await self._alone(spoiled + alone, {one.key for one in spoiled})
        except TimeoutError:
            self._rest(timed_out)
        except OpsbookError as error:
            reason = error
            self._rest(lambda request: failed(request, reason))
        return list(self.found.values())

    def _rest(self, say: Callable[[Request], Reading]) -> None:
        for request in self.requests:
            self.found.setdefault(request.id, say(request))

    def _left(self, timeout: float) -> float:
        left = timeout - (time.monotonic() - self.started)
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def _longest(self) -> float:
        return max(request.timeout for request in self.requests)

    async def _prepare(self) -> list[_Asked]:
        server = await self.session.server(self._left(self._longest))
        facts = [FACTS[request.observation.name] for request in self.requests]
        if any((f.sees_all and not server.sees_all) or (f.extension not in ("", *server.extensions)) for f in facts):
            server = await self.session.server(self._left(self._longest), again=True)
        asked = []
        for request, fact in zip(self.requests, facts, strict=True):
            try:
                text = statement(fact, request.parameters, server)
            except OpsbookError as error:
                self.found[request.id] = failed(request, error)
            else:
                asked.append(_Asked(request, text, bound(request.parameters), fact.alone))
        return asked

    async def _merged(self, asked: Sequence[_Asked]) -> Sequence[_Asked]:
        """Ask them in one statement; those that are to be asked alone if it fails."""
        if not asked:
            return ()
        text, parameters = merge([(one.text, one.parameters) for one in asked])
        try:
            limit = self._left(min(one.request.timeout for one in asked)) * (MERGED_SHARE if len(asked) > 1 else 1)
            (row,) = await self.session.read(text, parameters, limit)
        except (ReadFailed, TimeoutError):
            return asked
        for one, answer in zip(asked, row, strict=True):
            self._answer(one.request, answer)
        return ()

    async def _alone(self, waiting: Sequence[_Asked], merged_before: set[tuple[str, str]]) -> None:
        """Ask one by one; what is slow is put back once, so that it takes only the time that the others left."""
        for last in (False, True):
            slow = []
            for n, one in enumerate(waiting):
                try:
                    left = self._left(one.request.timeout)
                    await self._ask(one, left if last else left / (len(waiting) - n))
                except TimeoutError:
                    slow.append(one)
                    if one.key in merged_before:
                        self._suspect(one)
                except ReadFailed as error:
                    self.found[one.request.id] = failed(one.request, error)
                    if one.key in merged_before:
                        self._suspect(one)
            waiting = slow
        for one in waiting:
            self.found[one.request.id] = timed_out(one.request)

    async def _ask(self, one: _Asked, limit: float) -> None:
        text, parameters = merge([(one.text, one.parameters)])
        ((answer,),) = await self.session.read(text, parameters, limit, None if one.alone else CATALOGUE_PATH)
        self._answer(one.request, answer)

    def _suspect(self, one: _Asked) -> None:
        if len(self.session.suspects) < MERGED_AT_MOST:
            self.session.suspects.add(one.key)

    def _answer(self, request: Request, answer: Mapping[str, Any] | None) -> None:
        try:
            self.found[request.id] = reading(request, fact_of(answer, request.observation))
        except OpsbookError as error:
            self.found[request.id] = failed(request, error)


def merge(queries: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """One statement of many queries: a row with one JSON object for each. Parameters are named apart."""
    parts: list[str] = []
    parameters: dict[str, Any] = {}
    for n, (text, values) in enumerate(queries):
        used = {name for name in _MARK.findall(text) if name}
        text = _MARK.sub(partial(_apart, n), text)
        parts.append(f"(SELECT row_to_json(f) FROM ({text}\n) AS f) AS f{n}")  # noqa: S608 - texts of this package
        parameters |= {f"f{n}_{name}": values[name] for name in used}
    return f"SELECT {MARK} " + ",\n".join(parts), parameters


def _apart(n: int, mark: re.Match[str]) -> str:
    return f"%(f{n}_{mark[1]})s" if mark[1] else "%%"


def fact_of(answer: Mapping[str, Any] | None, spec: ObservationSpec) -> Fact:
    """The fact in an answer. Raises Absent where there is none, ReadFailed where it is no value of its dimension."""
    if answer is None:
        raise Absent("there is nothing to measure: the statement yields no row")
    message = answer.get("message") or ""
    if answer.get("failure"):
        raise ReadFailed(answer["failure"])
    if answer["value"] is None:
        raise Absent(message or "there is nothing to measure: the value is NULL")
    return Fact(_value(answer["value"], spec), _shown(answer.get("detail")), message)


def _value(found: Any, spec: ObservationSpec) -> Value:
    if spec.dimension is Dimension.TEXT:
        return str(found)
    if spec.dimension is Dimension.STATE:
        return bool(found)
    try:
        number = float(found)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ReadFailed(f"{found!r} is not a {spec.dimension}")
    return number


def _shown(detail: Any) -> Any:
    if isinstance(detail, list):
        return [_shown(row) for row in detail]
    if isinstance(detail, dict):
        return {
            key: masked(value) if isinstance(value, str) and key.endswith("query") else _shown(value)
            for key, value in detail.items()
        }
    return detail
