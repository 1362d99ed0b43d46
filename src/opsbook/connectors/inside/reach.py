"""What a workload reaches, as a table: a row for each instance, each thing that it needs, each way of asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.inside.look import Answer, Question, look, question_of
from opsbook.connectors.inside.policies_read import ruling_of
from opsbook.connectors.inside.targets import questions_to
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.workload import workload_name
from opsbook.errors import OpsbookError, UsageError


class Row(TypedDict):
    """One question, asked from one instance."""

    instance: str
    to: str
    """A component, or what was named."""
    asked: str
    ok: bool | None
    """None where it could not be asked; `says` has the reason."""
    seconds: float
    says: str


def rows(answers: Sequence[Answer], to: str = "") -> list[Row]:
    """The answers, for people."""
    return [
        Row(instance=one.instance, to=to or one.question.words, asked=f"{one.question.way} {one.question.words}",
            ok=one.ok, seconds=one.seconds, says=one.words)
        for one in answers
    ]  # fmt: skip


async def reached(connector: Connector, targets: Sequence[str], seconds: float, *, every: bool) -> list[Row]:
    """Asks for components by their names, and for names, HOST:PORT and http:// addresses as they are written.

    A component without an address that means something inside has a row that says so. Raises ReadFailed.
    """
    runtime, system = connector.connections.runtime, connector.connections.system
    asked: list[tuple[str, Question]] = []
    left: list[Row] = []
    for target in targets:
        if target not in system.components:
            asked.append((target, question_of(target)))
            continue
        try:
            asked += [(target, one) for one in await questions_to(system, runtime, target)]
        except OpsbookError as error:
            left.append(Row(instance="", to=target, asked="", ok=None, seconds=0.0, says=error.message))
    if not asked:
        return left
    questions = list(dict.fromkeys(one for _, one in asked))
    answers = await look(runtime, await workload_name(connector), questions, seconds, every=every)
    by = {(one.instance, one.question): one for one in answers}
    instances = dict.fromkeys(one.instance for one in answers)
    return [row for instance in instances for to, one in asked for row in rows([by[instance, one]], to)] + left


async def port_of(connector: Connector, to: str) -> Question:
    """The port that `HOST:PORT` or the name of a component means. Raises UsageError, Absent."""
    system = connector.connections.system
    if to in system.components:
        return (await questions_to(system, connector.connections.runtime, to))[1]
    found = question_of(to)
    if found.way != "tcp":
        raise UsageError(f"{to!r} is neither HOST:PORT nor a component of the book", "write host:port")
    return found


async def policies_told(connector: Connector, table: Sequence[Row]) -> dict[str, str]:
    """`host:port` of each connection of a table → what the network policies say; empty where there are none."""
    runtime = connector.connections.runtime
    if not isinstance(runtime, Kubernetes):
        return {}
    told: dict[str, str] = {}
    for place in dict.fromkeys(one["asked"].removeprefix("tcp ") for one in table if one["asked"].startswith("tcp ")):
        question = question_of(place)
        try:
            found = await ruling_of(runtime, await workload_name(connector), question.host, question.port)
        except ReadFailed as error:
            told[place] = f"not known: {error.message}"
        else:
            told[place] = found.sentence
    return told


def lines(table: Sequence[Row]) -> list[str]:
    """The table as lines of plain text."""
    marks = {True: "reached", False: "NOT REACHED", None: "not asked"}
    return [
        f"{marks[one['ok']]}: {one['to']}" + (f" ({one['asked']})" if one["asked"] else "")
        + (f" from {one['instance']}" if one["instance"] else "") + f": {one['says']}"
        + (f" [{one['seconds'] * 1000:.0f} ms]" if one["ok"] is not None else "")
        for one in table
    ]  # fmt: skip
