"""Changes of the kinds `celery-call`, `celery-control`, `celery-consumers`, `celery-drain`, `celery-inspect`.

A call is never made twice: its task id is made from the key of its change, and a mark in the result backend's Redis is
set before the message is sent and renewed after. Made again, the change finds no mark (nothing was sent), or the task
(and goes on following it), or a mark and no task: then nobody can know, and it is ambiguous.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

from opsbook.connectors.celery import CeleryConnector
from opsbook.connectors.celery_results import ENDED, Result, anywhere, result_of
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.secrets import NotReached, put_in, resolve
from opsbook.connectors.registry import executor
from opsbook.errors import Ambiguous, Unreachable

NAMESPACE = uuid.UUID("5c0d7e1e-6f0a-4f0e-9d50-6f7073626f6b")
"""Of the task ids that are made from keys."""
MARK = "opsbook:call:"
MARK_SECONDS = 14 * 86_400
SENDING, SENT = "sending", "sent"
LOOK_SECONDS = 0.2
SLICE_SECONDS = 1.0
TAKEN_UP_SECONDS = 10.0
"""How long workers get to do what they were told."""
LONGEST_WORDS = 300


class TaskFailed(ChangeFailed):
    """The task ran to its end and failed, or was revoked, or did not end in time."""


def task_id_of(key: str) -> str:
    """The id of the task that a change calls: always the same for the same key."""
    return str(uuid.uuid5(NAMESPACE, key))


async def mark_of(celery: CeleryConnector, task_id: str) -> str | None:
    """`sending`, `sent`, or None where no call with this id was ever begun."""
    found = await celery.results.ask(lambda client: client.get(MARK + task_id))
    return None if found is None else str(found)


class CeleryChanges:
    """What the executors share."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    def celery(self, change: Change) -> CeleryConnector:
        """The connector of the component."""
        found = self.connections.of(change.effect["component"])
        assert isinstance(found, CeleryConnector), "planned for a celery component"
        return found

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it runs here. A task that was called goes on: it is found again by its id."""
        return True


@executor("celery-call")
class Call(CeleryChanges):
    """`calls`: a list of `{"task", "args", "kwargs", "queue", "id", "secrets"}` (JSON pointer into args and kwargs →
    reference) or `{"again": id of a failed task}`; `follow`,
    `within` seconds. An id that is left out is made from the key.

    result: of one call `task_id`, `state`, `result`, `seconds`; of several `calls` with those of each.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises TaskFailed, NotReached, or Ambiguous where it cannot be told whether the task was called."""
        celery, effect = self.celery(change), change.effect
        state = cursor or {"sent": 0, "since": time.time(), "done": []}
        calls, started = effect["calls"], time.monotonic()
        while state["sent"] < len(calls):
            await self._send(celery, key, calls[state["sent"]], out)
            state = {**state, "sent": state["sent"] + 1}
            if time.monotonic() - started > SLICE_SECONDS:
                return More(state, f"{state['sent']} of {len(calls)} called")
        ids = [_id_of(key, call) for call in calls]
        if not effect["follow"]:
            return Done(_told([{"task_id": one} for one in ids]))
        while True:
            results = [await result_of(celery.results, one) for one in ids]
            ended = [one for one in results if one is not None and one.get("status") in ENDED]
            if len(ended) == len(ids):
                return await self._concluded(calls, ids, ended, time.time() - state["since"], out)
            if time.time() - state["since"] > effect["within"]:
                raise TaskFailed(
                    f"{len(ids) - len(ended)} of {len(ids)} tasks did not end within {effect['within']:g} s; "
                    f"they go on by themselves ({', '.join(ids[:3])})",
                    "`opsbook check` tells what the workers do",
                )
            if time.monotonic() - started > SLICE_SECONDS:
                return More(state, f"{len(ended)} of {len(ids)} tasks ended")
            await asyncio.sleep(LOOK_SECONDS)

    async def _send(self, celery: CeleryConnector, key: str, call: Mapping[str, Any], out: Sink) -> None:
        task_id = _id_of(key, call)
        try:
            await celery.broker.ask(lambda client: client.ping())
            fresh = await celery.results.ask(
                lambda client: client.set(MARK + task_id, SENDING, nx=True, ex=MARK_SECONDS)
            )
        except Unreachable as error:
            raise NotReached(error.message, error.hint) from error
        if not fresh:
            await self._found(celery, task_id, call)
            await out.write(f"{task_id} was called before\n")
            return
        task, args, kwargs, queue = await self._what(celery, task_id, call)
        try:
            await celery.publish(task, task_id, args, kwargs, queue)
        except Unreachable as error:
            raise Ambiguous(f"{error.message}; whether {task} was called is not known", error.hint) from error
        await celery.results.ask(lambda client: client.set(MARK + task_id, SENT, ex=MARK_SECONDS))
        await out.write(f"called {task}: {task_id}\n")

    async def _what(
        self, celery: CeleryConnector, task_id: str, call: Mapping[str, Any]
    ) -> tuple[str, list[Any], dict[str, Any], str]:
        if "again" not in call:
            values = await resolve(celery.system, call.get("secrets", {}))
            return (
                call["task"],
                put_in(call["args"], values, "/args"),
                put_in(call["kwargs"], values, "/kwargs"),
                call["queue"],
            )
        failed = await result_of(celery.results, call["again"])
        args, kwargs = (failed or {}).get("args"), (failed or {}).get("kwargs")
        if failed is None or not isinstance(args, list) or not isinstance(kwargs, dict):
            await celery.results.ask(lambda client: client.delete(MARK + task_id))
            raise ChangeFailed(f"the result of {call['again']} is gone, or does not hold its arguments", "plan anew")
        return str(failed["name"]), args, kwargs, str(failed.get("queue") or celery.component.queues[0])

    async def _found(self, celery: CeleryConnector, task_id: str, call: Mapping[str, Any]) -> None:
        """Raises Ambiguous where the call was begun and there is no sign of the task."""
        if await mark_of(celery, task_id) == SENT:
            return
        if not await anywhere(celery, task_id, call.get("queue") or celery.component.queues[0]):
            raise Ambiguous(
                f"whether the task {task_id} was called is not known: it was begun, and there is no sign of it",
                "look at the workers' log for it, then `opsbook runs resolve`",
            )
        await celery.results.ask(lambda client: client.set(MARK + task_id, SENT, ex=MARK_SECONDS))

    async def _concluded(
        self, calls: list[Any], ids: list[str], ended: list[Result], seconds: float, out: Sink
    ) -> Done:
        bad = [
            f"{one.get('name') or call.get('task') or task_id}: {_words(one)}"
            for call, task_id, one in zip(calls, ids, ended, strict=True)
            if one["status"] != "SUCCESS"
        ]
        if bad:
            more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            raise TaskFailed(f"{'; '.join(bad[:3])}{more}", "`opsbook logs` of the worker says more")
        told = [
            {"task_id": task_id, "state": one["status"], "result": one.get("result"), "seconds": round(seconds, 2)}
            for task_id, one in zip(ids, ended, strict=True)
        ]
        await out.write(f"{len(told)} ended well\n")
        return Done(_told(told))


def _id_of(key: str, call: Mapping[str, Any]) -> str:
    return str(call.get("id") or task_id_of(key))


def _told(calls: list[dict[str, Json]]) -> Json:
    return calls[0] if len(calls) == 1 else {"calls": calls, "count": len(calls)}


def _words(result: Result) -> str:
    said = result.get("result")
    if not isinstance(said, dict):
        return str(result["status"]).lower()
    message = said.get("exc_message")
    words = " ".join(map(str, message)) if isinstance(message, list | tuple) else str(message or "")
    return f"{said.get('exc_type', result['status'])}: {words}"[:LONGEST_WORDS]


@executor("celery-control")
class Control(CeleryChanges):
    """`command` and `arguments` of Celery's remote control, told to all workers. result: `workers`, what each says."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed where no worker answers, or one refuses."""
        replies = await self.celery(change).broadcast(change.effect["command"], change.effect["arguments"])
        if not replies:
            raise ChangeFailed(f"no worker of {change.effect['component']} answers", "are they running?")
        refused = [f"{node}: {said['error']}" for node, said in replies.items() if _error(said)]
        if refused:
            raise ChangeFailed("; ".join(refused), "the others did it; mend these and do it again")
        return Done({"workers": dict(replies)})


def _error(said: Any) -> bool:
    return isinstance(said, dict) and "error" in said


@executor("celery-inspect")
class Inspect(CeleryChanges):
    """`commands` of remote control that only look. result: what each worker says, by command."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ReadFailed where no worker answers."""
        celery = self.celery(change)
        told = {command: dict(await celery.broadcast(command)) for command in change.effect["commands"]}
        if not any(told.values()):
            raise ReadFailed(f"no worker of {change.effect['component']} answers", "are they running?")
        return Done(told)


@executor("celery-consumers")
class Consumers(CeleryChanges):
    """`queues`, `consume` (true: workers take tasks of them, false: they do not), `nodes` by queue where only some are
    meant. result: `workers`, the queues that each consumes afterwards.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed where workers do not do it."""
        celery = self.celery(change)
        now = await set_consumers(celery, change.effect)
        await out.write("".join(f"{node} consumes {', '.join(queues) or 'nothing'}\n" for node, queues in now.items()))
        return Done({"workers": now})


async def consumed(celery: CeleryConnector) -> dict[str, list[str]]:
    """The queues of each worker."""
    replies = await celery.broadcast("active_queues")
    return {node: sorted(one["name"] for one in said or ()) for node, said in replies.items() if not _error(said)}


async def set_consumers(celery: CeleryConnector, effect: Mapping[str, Any]) -> dict[str, list[str]]:
    """Tell the workers, and wait until all that are meant have done it."""
    command = "add_consumer" if effect["consume"] else "cancel_consumer"
    deadline = time.monotonic() + TAKEN_UP_SECONDS
    while True:
        now = await consumed(celery)
        if not now:
            raise ChangeFailed(f"no worker of {celery.name} answers", "are they running?")
        left = {queue: _not_yet(now, queue, effect) for queue in effect["queues"]}
        if not any(left.values()):
            return now
        if time.monotonic() > deadline:
            late = sorted({node for nodes in left.values() for node in nodes})
            raise ChangeFailed(f"{', '.join(late)} did not do as told", "look at the workers' logs")
        for queue, nodes in left.items():
            if nodes:
                await celery.broadcast(command, {"queue": queue}, nodes)


def _not_yet(now: Mapping[str, list[str]], queue: str, effect: Mapping[str, Any]) -> list[str]:
    meant = (effect.get("nodes") or {}).get(queue)
    return [
        node
        for node, queues in now.items()
        if (meant is None or node in meant) and (queue in queues) is not effect["consume"]
    ]


@executor("celery-drain")
class Drain(CeleryChanges):
    """`queues`, of which nothing more is taken, and `within` seconds until the workers have nothing left to do.

    result: `seconds`, and `waiting`, the tasks with a later time that go back to their queue when a worker stops.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed where tasks still run after that time; their queues stay without consumers."""
        celery, effect, started = self.celery(change), change.effect, time.monotonic()
        state = cursor or {"since": time.time()}
        if cursor is None:
            await set_consumers(celery, {"queues": effect["queues"], "consume": False})
        while True:
            busy = _count(await celery.broadcast("active")) + _count(await celery.broadcast("reserved"))
            seconds = time.time() - state["since"]
            if not busy:
                later = _count(await celery.broadcast("scheduled"))
                await out.write(f"drained in {seconds:.1f} s\n")
                return Done({"seconds": round(seconds, 2), "waiting": later})
            if seconds > effect["within"]:
                raise ChangeFailed(
                    f"{busy} tasks of {effect['component']} still run after {effect['within']:g} s",
                    "wait longer, or revoke them; `celery.resume` lets the workers take tasks again",
                )
            if time.monotonic() - started > SLICE_SECONDS:
                return More(state, f"{busy} tasks left")
            await asyncio.sleep(LOOK_SECONDS)


def _count(replies: Mapping[str, Any]) -> int:
    return sum(len(said) for said in replies.values() if isinstance(said, list))
