"""A command in a pod: its argv as it is, never through a shell; marked with its key so that it can be ended.

The protocol is `v4.channel.k8s.io`: the first byte of a message is its channel.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Done, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import Seen
from opsbook.connectors.runtimes.kubernetes_api import ApiFault
from opsbook.connectors.runtimes.kubernetes_pods import Pod
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KEY = "OPSBOOK_KEY"
"""Marks the command and its children, so that they can be ended after a crash of opsbook itself."""
IN, OUT, ERRORS, STATUS = 0, 1, 2, 3
PIECE = 32_768
KEPT = 65_536
"""Characters of the end of its output that are kept as its result."""
SEEN = 16 << 20
"""The same of a program that looks."""
PUT_SECONDS = 120.0
PUTTING = 'head -c "$1" > "$2" && chmod 700 "$2"'
END_SECONDS = 20.0
NO_PROGRAM = ("executable file not found", "no such file or directory", "permission denied")
ENDING = """
for signal in TERM KILL; do
  for round in 1 2 3 4 5 6 7 8 9 10; do
    found=
    for one in /proc/[0-9]*; do
      if [ "$one" != "/proc/$$" ] && tr '\\0' '\\n' < "$one/environ" 2>/dev/null | grep -qxF "$1"; then
        found=yes; kill -$signal "${one#/proc/}" 2>/dev/null
      fi
    done
    [ -n "$found" ] || exit 0
    sleep 0.3
  done
done
exit 1
"""
"""Ends what carries a key, given as its only argument. Only the pod itself can see its processes."""


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
    if code is None and _not_started(words) and '"env"' in words and not variables:
        # An image without `env`: nothing has run yet. Without its mark it cannot be ended afterwards.
        code, said, words = await _bounded(runtime, pod, effect, list(effect["argv"]), key, out)
    if code is None and _not_started(words):
        raise ChangeFailed(f"{effect['argv'][0]} could not be started in {pod.name}: {words[:300]}",
                           "is it in the image of the workload?")  # fmt: skip
    if code is None:
        raise CommandLost(f"the command in {pod.name} was cut off: {words[:300]}", "look whether it has done its work")
    if code in (126, 127) and not said.replace("env: ", "").strip():
        raise ChangeFailed(f"{effect['argv'][0]} is not in the image of {effect['workload']}")
    if code > 128:
        raise CommandLost(f"the command in {pod.name} was ended by signal {code - 128}", "its output says more")
    if code:
        last = next((f": {line.strip()[:300]}" for line in reversed(said.splitlines()) if line.strip()), "")
        raise CommandFailed(f"the command in {pod.name} ended with {code}{last}", "its output says more")
    return Done({"exit": 0, "pod": pod.name, "stdout": said})


def _not_started(words: str) -> bool:
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
    runtime: Kubernetes,
    pod: Pod,
    container: str,
    argv: list[str],
    out: Sink | None,
    kept: int = KEPT,
    given: bytes = b"",
) -> tuple[int | None, str, str]:
    """Exit code, the end of its output, and the server's words where there is no code. `given` is its standard input,
    whose end is not told: this protocol knows none."""
    from httpx_ws import HTTPXWSException

    said = ""
    query: dict[str, str | int | list[str]] = {
        "container": container,
        "command": argv,
        "stdout": "true",
        "stderr": "true",
        **({"stdin": "true"} if given else {}),
    }
    path = runtime.namespace.core("pods", pod.name, "exec")
    try:
        async with runtime.api.socket(path, query) as socket:
            for start in range(0, len(given), PIECE):
                await socket.send_bytes(bytes([IN]) + given[start : start + PIECE])
            while True:
                message = await socket.receive_bytes()
                channel, data = message[0], message[1:]
                if channel in (OUT, ERRORS) and data:
                    text = data.decode("utf-8", errors="replace")
                    said = (said + text)[-kept:]
                    if out is not None:
                        await out.write(text)
                elif channel == STATUS:
                    code, words = read_status(data)
                    return code, said, words
    except HTTPXWSException as error:
        return None, said, f"the connection to its pod was lost ({type(error).__name__})"
    except Unreachable as error:
        return None, said, error.message


def read_status(data: bytes) -> tuple[int | None, str]:
    """The exit code of a v1.Status, and its words; no code where the command was not run to an end."""
    said = json.loads(data)
    if said.get("status") == "Success":
        return 0, ""
    for cause in (said.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), str(said.get("message", ""))
    return None, str(said.get("message", ""))


async def _ready_pod(runtime: Kubernetes, workload: str, container: str) -> Pod:
    pods = [pod for pod in await runtime.pods(workload) if pod.ready and container in pod.images]
    if not pods:
        raise ChangeFailed(f"no pod of {workload} is ready, so that nothing can be run in one", "start it")
    return random.choice(pods)  # noqa: S311  any will do


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
    if code is None and not _not_started(words):
        return Seen(pod.name, None, said, words[:300] or "the look was cut off")
    return Seen(pod.name, code, said)


async def put(runtime: Kubernetes, workload: str, instance: str, path: str, data: bytes) -> None:
    """A file written in a pod. Raises ReadFailed."""
    _, one = await runtime.found(workload)
    container, _ = runtime.image_of(one, workload)
    pod = next((pod for pod in await runtime.pods(workload) if pod.name == instance), None)
    if pod is None:
        raise ReadFailed(f"the pod {instance} is gone")
    argv = ["sh", "-c", PUTTING, "sh", str(len(data)), path]
    try:
        async with asyncio.timeout(PUT_SECONDS):
            code, said, words = await _run(runtime, pod, container, argv, None, given=data)
    except TimeoutError as error:
        raise ReadFailed(f"{path} was not written in {instance} within {PUT_SECONDS:g} s") from error
    if code != 0:
        raise ReadFailed(f"{path} cannot be written in {instance}: {(said.strip() or words)[:300]}")


async def end(runtime: Kubernetes, key: str, effect: Mapping[str, Any]) -> bool:
    """End everything that carries the key, in every pod. True when nothing of it runs any more."""
    done = True
    for pod in await runtime.pods(effect["workload"]):
        if pod.ending or effect["container"] not in pod.images or not pod.started:
            continue
        try:
            async with asyncio.timeout(END_SECONDS):
                argv = ["sh", "-c", ENDING, "sh", f"{KEY}={key}"]
                code, _, _ = await _run(runtime, pod, effect["container"], argv, None)
        except (ApiFault, ReadFailed, Unreachable, TimeoutError):
            code = None
        done = done and code == 0
    return done
