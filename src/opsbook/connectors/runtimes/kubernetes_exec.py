"""A command in a pod: its argv as it is, never through a shell; marked with its key so that it can be ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Done, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import Seen
from opsbook.connectors.runtimes.ending import END_SECONDS, ending
from opsbook.connectors.runtimes.kubernetes_api import ApiFault
from opsbook.connectors.runtimes.kubernetes_exchange import TAKEN, exchange
from opsbook.connectors.runtimes.kubernetes_pods import Pod
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KEY = "OPSBOOK_KEY"
"""Marks the command and its children, so that they can be ended after a crash of opsbook itself."""
KEPT = 65_536
"""Characters of the end of its output that are kept as its result."""
SEEN = 16 << 20
"""The same of a program that looks."""
NO_PROGRAM = ("executable file not found", "no such file or directory", "permission denied")


class CommandFailed(ChangeFailed):
    """The command ran to its end and said that it failed."""


class CommandLost(OpsbookError):
    """The command was cut off: what it had done by then is not known."""

    exit_code = 1


async def run(runtime: Kubernetes, key: str, effect: Mapping[str, Any], out: Sink) -> Done:
    """Run it to its end in one ready pod: `exit`, `pod`, and the end of what it printed as `stdout`.

    Raises ChangeFailed where it did not start, CommandFailed where it ended badly, CommandLost where it was cut off.
    """
    pod = await _ready_pod(runtime, effect["workload"], effect["container"])
    variables = [f"{name}={value}" for name, value in effect.get("env", {}).items()]
    argv = ["env", f"{KEY}={key}", *variables, *effect["argv"]]
    code, said, words = await _bounded(runtime, pod, effect, argv, key, out)
    if code is None and not_started(words) and '"env"' in words and not variables:
        # An image without `env`: nothing has run yet. Without its mark it cannot be ended afterwards.
        code, said, words = await _bounded(runtime, pod, effect, list(effect["argv"]), key, out)
    if code is None and not_started(words):
        raise ChangeFailed(f"{effect['argv'][0]} could not be started in {pod.name}: {words[:300]}",
                           "is it in the image of the workload?")  # fmt: skip
    if code is None or (code > 128 and words == TAKEN):
        raise CommandLost(f"the command in {pod.name} was cut off: {words[:300]}", "look whether it has done its work")
    if code in (126, 127) and not said.replace("env: ", "").strip():
        raise ChangeFailed(f"{effect['argv'][0]} is not in the image of {effect['workload']}")
    if code > 128:
        raise CommandLost(f"the command in {pod.name} was ended by signal {code - 128}", "its output says more")
    if code:
        last = next((f": {line.strip()[:300]}" for line in reversed(said.splitlines()) if line.strip()), "")
        raise CommandFailed(f"the command in {pod.name} ended with {code}{last}", "its output says more")
    return Done({"exit": 0, "pod": pod.name, "stdout": said})


def not_started(words: str) -> bool:
    """Whether these words say that a program is not in the image."""
    return any(one in words.lower() for one in NO_PROGRAM) or "OCI runtime exec failed" in words


async def _bounded(
    runtime: Kubernetes, pod: Pod, effect: Mapping[str, Any], argv: list[str], key: str, out: Sink
) -> tuple[int | None, str, str]:
    try:
        async with asyncio.timeout(effect["timeout"]):
            return await _run(runtime, pod, effect["container"], argv, out)
    except TimeoutError as error:
        await end(runtime, key, effect)
        raise CommandLost(
            f"{effect['argv'][0]} did not end within {effect['timeout']:g} s and was ended",
            "look what it did until then",
        ) from error
    except asyncio.CancelledError:
        await end(runtime, key, effect)
        raise


async def _run(
    runtime: Kubernetes, pod: Pod, container: str, argv: list[str], out: Sink | None, kept: int = KEPT
) -> tuple[int | None, str, str]:
    """Exit code, the end of its output, and why where there is no code."""
    said = ""

    async def hear(_: int, data: bytes) -> None:
        nonlocal said
        text = data.decode("utf-8", errors="replace")
        said = (said + text)[-kept:]
        if out is not None:
            await out.write(text)

    code, words = await exchange(runtime, pod, container, argv, hear)
    return code, said, words


async def _ready_pod(runtime: Kubernetes, workload: str, container: str) -> Pod:
    pods = [pod for pod in await runtime.pods(workload) if pod.ready and container in pod.images]
    if not pods:
        raise ChangeFailed(f"no pod of {workload} is ready, so that nothing can be run in one", "start it")
    # Always the same: what one command leaves there, the next one, its undo and `workload.fetch` find.
    return pods[0]


async def look(
    runtime: Kubernetes,
    workload: str,
    argv: Sequence[str],
    seconds: float,
    instances: Sequence[str] | None,
    every: bool,
) -> list[Seen]:
    """A program that only looks, in pods whose containers run. Raises ReadFailed where there is none."""
    _, one = await runtime.found(workload)
    container, _ = runtime.image_of(one, workload)
    every_pod = await runtime.pods(workload)
    running = [pod for pod in every_pod if container in pod.images and pod.started and not pod.ending]
    if instances is not None:
        running = [pod for pod in running if pod.name in instances]
    if not running:
        why = next((f": {pod.name}: {pod.reason}" for pod in every_pod if pod.reason), "")
        raise ReadFailed(f"no pod of {workload} runs at this moment, so that nothing is seen from inside{why}")
    # One that is ready last: what fails is looked at first.
    chosen = running if every else sorted(running, key=lambda pod: pod.ready)[:1]
    return list(await asyncio.gather(*(_look(runtime, pod, container, argv, seconds) for pod in chosen)))


async def _look(runtime: Kubernetes, pod: Pod, container: str, argv: Sequence[str], seconds: float) -> Seen:
    try:
        async with asyncio.timeout(seconds):
            code, said, words = await _run(runtime, pod, container, list(argv), None, SEEN)
    except TimeoutError:
        return Seen(pod.name, None, "", f"nothing came back from {pod.name} within {seconds:g} s")
    except (ApiFault, Unreachable) as error:
        return Seen(pod.name, None, "", error.message)
    if code is None and not not_started(words):
        return Seen(pod.name, None, said, words[:300] or "the look was cut off")
    return Seen(pod.name, code, said)


async def end(runtime: Kubernetes, key: str, effect: Mapping[str, Any]) -> bool:
    """End everything that carries the key, in every pod. True when nothing of it runs any more."""
    done = True
    for pod in await runtime.pods(effect["workload"]):
        if pod.ending or effect["container"] not in pod.images or not pod.started:
            continue
        try:
            async with asyncio.timeout(END_SECONDS):
                code, _, _ = await _run(runtime, pod, effect["container"], ending(f"{KEY}={key}"), None)
        except (ApiFault, ReadFailed, Unreachable, TimeoutError):
            code = None
        done = done and code == 0
    return done
