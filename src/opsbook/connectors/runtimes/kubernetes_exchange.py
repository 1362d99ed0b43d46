"""What goes to and comes from a command in a pod, by `v4.channel.k8s.io`: a message begins with its channel.

The API server notices late, or never, that a pod is gone whose node is away: so the pod is looked at meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_pods import Pod
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

IN, OUT, ERRORS, STATUS = 0, 1, 2, 3
PIECE = 32_768
FIRST_LOOK_SECONDS, LOOK_SECONDS = 1.0, 2.0
LAST_WORDS_SECONDS = 5.0
"""How long the end of a command may be under way when its pod is gone already."""
OVERDUE_SECONDS = 15.0
"""A pod that has not ended so long after its grace is on a node that is away."""
TAKEN = "its pod was taken away meanwhile: evicted, drained or deleted"

Hear = Callable[[int, bytes], Awaitable[None]]
"""Takes a piece of output and its channel: OUT or ERRORS."""


async def exchange(
    runtime: Kubernetes, pod: Pod, container: str, argv: Sequence[str], hear: Hear, given: bytes = b""
) -> tuple[int | None, str]:
    """Run it to its end: its exit code, or None and why there is none.

    `given` is its standard input, whose end is not told: this protocol knows none. Raises ApiFault where it was
    refused, and Unreachable where no connection came about: then nothing was begun.
    """
    talk = asyncio.ensure_future(_talk(runtime, pod, container, argv, hear, given))
    watch = asyncio.ensure_future(_gone(runtime, pod, container))
    try:
        await asyncio.wait({talk, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not talk.done():
            await asyncio.wait({talk}, timeout=LAST_WORDS_SECONDS)
        if not talk.done():
            return None, watch.result()
        code, words = talk.result()
        if code is None or code > 128:
            words = await _fate(runtime, pod) or words
        return code, words
    finally:
        for one in (talk, watch):
            one.cancel()
        await asyncio.gather(talk, watch, return_exceptions=True)


async def _talk(
    runtime: Kubernetes, pod: Pod, container: str, argv: Sequence[str], hear: Hear, given: bytes
) -> tuple[int | None, str]:
    from httpx_ws import HTTPXWSException

    query: dict[str, str | int | list[str]] = {
        "container": container, "command": list(argv), "stdout": "true", "stderr": "true",
        **({"stdin": "true"} if given else {}),
    }  # fmt: skip
    path = runtime.namespace.core("pods", pod.name, "exec")
    try:
        async with runtime.api.socket(path, query) as socket:
            for start in range(0, len(given), PIECE):
                await socket.send_bytes(bytes([IN]) + given[start : start + PIECE])
            while True:
                message = await socket.receive_bytes()
                channel, data = message[0], message[1:]
                if channel in (OUT, ERRORS) and data:
                    await hear(channel, data)
                elif channel == STATUS:
                    return read_status(data)
    except HTTPXWSException as error:
        return None, f"the connection to its pod was lost ({type(error).__name__})"
    except Unreachable as error:
        return None, error.message


def read_status(data: bytes) -> tuple[int | None, str]:
    """The exit code of a v1.Status, and its words; no code where the command was not run to an end."""
    said = json.loads(data)
    if said.get("status") == "Success":
        return 0, ""
    for cause in (said.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), str(said.get("message", ""))
    return None, str(said.get("message", ""))


async def _gone(runtime: Kubernetes, pod: Pod, container: str) -> str:
    """Returns why nothing can run in the container any more, once that is so."""
    first: Object = {}
    overdue = 0.0
    await asyncio.sleep(FIRST_LOOK_SECONDS)
    while True:
        try:
            now = await runtime.api.get(runtime.namespace.core("pods", pod.name))
        except NotThere:
            return TAKEN
        except (ApiFault, Unreachable):
            now = first  # what cannot be seen now may be seen the next time
        first = first or now
        if now and (why := why_gone(first, now, container)):
            return why
        if now and now["metadata"].get("deletionTimestamp"):
            grace = float(now["metadata"].get("deletionGracePeriodSeconds") or 0)
            overdue = overdue or time.monotonic() + grace + OVERDUE_SECONDS
            if time.monotonic() > overdue:
                return f"{TAKEN}; its node {pod.node} does not say that it has ended, and may be away"
        await asyncio.sleep(LOOK_SECONDS)


def why_gone(first: Object, now: Object, container: str) -> str:
    """Why nothing that was started in the container still runs; empty where it may."""
    if now["metadata"].get("uid") != first["metadata"].get("uid"):
        return TAKEN
    status = now.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        why = ": ".join(filter(None, (status.get("reason", ""), status.get("message", ""))))
        return f"its pod has ended{f' ({why[:200]})' if why else ''}"
    before, after = _container(first, container), _container(now, container)
    if "terminated" in (after.get("state") or {}) or before.get("containerID") != after.get("containerID"):
        return "its container has ended meanwhile, or was started anew"
    return ""


def _container(pod: Object, name: str) -> Object:
    every: list[Any] = (pod.get("status") or {}).get("containerStatuses") or []
    return next((one for one in every if one.get("name") == name), {})


async def _fate(runtime: Kubernetes, pod: Pod) -> str:
    """What became of the pod of a command that was cut off or killed; empty where it goes on."""
    try:
        now = await runtime.api.get(runtime.namespace.core("pods", pod.name))
    except NotThere:
        return TAKEN
    except (ApiFault, Unreachable):
        return ""
    return TAKEN if now["metadata"].get("deletionTimestamp") else ""
