"""Changes of the kind `config-file`: a file of a component's configuration gets another version, and it is read.

effect: `component`, `workload`, `path`, `lines` (of KEY=VALUE, else a whole text), `running` (instances, when it was
planned), `wait` in seconds, `check` and `reload` (argv on this host; empty: no check, the workload is rolled).
Forward: `from` and `to` (versions), `values`. An undo: `from`, and `previous`, the kept version that comes back; where
the file was changed otherwise meanwhile only the values that are still as they were `deployed`, so that what was
rotated stays. A whole text that was changed meanwhile is refused.

A version that is not taken, or whose workload does not come up with it, is put back at once; what the check refuses,
nobody has read yet. Done again it is gone on with: containers of compose carry what was in the files when they were
made.

result: `version`, `path`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.config_files import ConfigFile, keep, kept, made, values_in, version_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.held.files import InFile
from opsbook.connectors.registry import executor, registered
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_anew import Anew
from opsbook.connectors.runtimes.compose_config import CONFIG, digest_of
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import OpsbookError, Refused

COMMAND_SECONDS = 60.0
Values = Mapping[str, str | None]


@executor("config-file")
class ConfigFileExecutor:
    """Writes the file, and brings it to where it is read."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the file was changed since it was planned, ChangeFailed where all is as before."""
        effect = change.effect
        file = ConfigFile(Path(effect["path"]), effect["lines"])
        before = file.read()
        await self._write(file, lambda content: self._wanted(file, effect, content or b""))
        now = version_of(file.read())
        await out.write(f"{file.path} is of version {now}\n")
        # Where it was written before already, and then cut off, some may have read it.
        read = version_of(before) != effect["from"]
        try:
            await self._run(key, effect["check"], out)
            read = True
            await self._taken(key, effect, out)
        except (OpsbookError, TimeoutError) as error:
            if "values" in effect and effect["from"] != effect["to"]:
                await self._put_back(file, effect, before)
                if read:
                    await self._taken(key, effect, out)
                await out.write(f"{file.path} is as before\n")
                said = error.message if isinstance(error, OpsbookError) else f"no end within {COMMAND_SECONDS:g} s"
                raise ChangeFailed(f"{said}; {file.path.name} was put back", getattr(error, "hint", "")) from error
            raise
        return Done({"version": now, "path": str(file.path)})

    async def end(self, key: str, change: Change) -> bool:
        """Its commands, with all that they have started."""
        return await registered().executors["argv"](self.connections).end(key, change)

    async def _write(self, file: ConfigFile, make: Callable[[bytes | None], bytes]) -> None:
        await InFile(file.path).change(make)
        self.connections.system.forget_variables()

    def _wanted(self, file: ConfigFile, effect: dict[str, Any], content: bytes) -> bytes:
        if "values" not in effect:
            return self._before(file, content, effect["from"], effect["previous"], effect["deployed"])
        version = version_of(content)
        if version == effect["to"]:
            return content
        if version != effect["from"]:
            raise Refused(f"{file.path} was changed since this was planned", "plan anew")
        keep(file.path, content)
        return made(file, content, effect["values"])

    def _before(self, file: ConfigFile, content: bytes, now: str, version: str, deployed: Values) -> bytes:
        """A kept version; where the file is not as it was written since, what is there with the version's values."""
        there = version_of(content)
        if there == version:
            return content
        place = kept(file.path, version)
        try:
            before = place.read_bytes()
        except OSError as error:
            raise ChangeFailed(
                f"{place}: {error.strerror}", "the version from before is gone: write it anew"
            ) from error
        if there == now:
            return before
        if not file.lines:
            raise Refused(f"{file.path} was changed since", f"look at it, and put {place.name} back by hand")
        as_deployed = [key for key, value in values_in(file, content, list(deployed)).items() if value == deployed[key]]
        return made(file, content, values_in(file, before, as_deployed))

    async def _put_back(self, file: ConfigFile, effect: dict[str, Any], before: bytes) -> None:
        """The values from before. Where that fails, what is known is that it must be looked at."""
        await self._write(
            file,
            lambda content: self._before(
                file, before if content is None else content, effect["to"], effect["from"], effect["values"]
            ),
        )

    async def _taken(self, key: str, effect: dict[str, Any], out: Sink) -> None:
        """Whoever reads the file has read it."""
        if effect["reload"]:
            await self._run(key, effect["reload"], out)
        elif isinstance(self.connections.runtime, Compose):
            await self._rolled(self.connections.runtime, effect, out)
        else:
            await self._restarted(key, effect, out)

    async def _rolled(self, compose: Compose, effect: dict[str, Any], out: Sink) -> None:
        workload = effect["workload"]

        def right(one: Container) -> bool:
            # Asked anew for each: what else is in the files may be another by now, and new ones are made with that.
            return one.labels.get(CONFIG, "") == digest_of(compose, compose.service(workload))

        await Anew(compose, workload, effect["wait"], out, right).all()

    async def _restarted(self, key: str, effect: dict[str, Any], out: Sink) -> None:
        """What runs is restarted; what ran and could not be started with the other version is started again."""
        runtime, workload, wait = self.connections.runtime, effect["workload"], {"wait": effect["wait"]}
        if not effect["running"]:
            return
        if (await runtime.status(workload)).workload.ready:
            await self._made(key, await runtime.change(workload, Verb.RESTART, wait), out)
        start = await runtime.change(workload, Verb.START, {**wait, "replicas": effect["running"]})
        await self._made(key, start, out)

    async def _made(self, key: str, change: Change, out: Sink) -> None:
        executor = registered().executors[change.kind](self.connections)
        said = await executor.apply(key, change, None, out)
        while isinstance(said, More):
            said = await executor.apply(key, change, said.cursor, out)

    async def _run(self, key: str, argv: Sequence[str], out: Sink) -> None:
        if argv:
            command = Change("argv", {"argv": list(argv), "timeout": COMMAND_SECONDS})
            await registered().executors["argv"](self.connections).apply(key, command, None, out)
