"""Changes of the kind `migrate`: the schema is brought to a revision by the application's own tool.

effect: `verb` (upgrade, downgrade, or `look`, which does nothing), `version` whose migrations they are, `to`
(revision), `component`, `lock_timeout` and `timeout` in seconds. guard: `revision`, where the schema was when it was
planned.

The tool runs on this host, or in a container of the version (`inside` of the book).

A statement that waits longer than `lock_timeout` for a lock fails, and all of its migration with it: nobody else queues
up behind it. The tool runs each migration in a transaction, so that doing it again goes on where it stopped.

result: `revision`, where the schema is now.
"""

from __future__ import annotations

import re
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.argv import ArgvExecutor, CommandFailed
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.migrations.alembic import OPTIONS, Alembic, waiting
from opsbook.connectors.migrations.inside import AlembicInside, key_of, name_of
from opsbook.connectors.migrations.revision import revision_of
from opsbook.connectors.migrations.tool import tool_of
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.once import end_once, run_once
from opsbook.connectors.switches.service import patiently
from opsbook.errors import OpsbookError, Refused

KEPT = 16 * 1024
"""Characters of the end of its output in which the reason is looked for."""
_REASON = re.compile(
    r"^(?:[\w.]*(?:Error|Exception|LockNotAvailable|errors\.\w+): |\(?[\w.]+\.errors\.\w+\)? |FAILED: |ERROR: +)(.+)"
)


class HalfWay(OpsbookError):
    """Some of the migrations were made, and one failed: what was made is there."""

    exit_code = 1


class Heard:
    """Passes output on, and remembers its end."""

    def __init__(self, out: Sink) -> None:
        self.out, self.text = out, ""

    async def write(self, text: str) -> None:
        self.text = (self.text + text)[-KEPT:]
        await self.out.write(text)

    def reason(self) -> str:
        """The line in which the tool, or the server through it, says why; empty where there is none."""
        found = [_REASON.match(line.strip()) for line in self.text.splitlines()]
        return next((one[1].strip() for one in reversed(found) if one), "")


@executor("migrate")
class Migrate:
    """Runs the tool below a guardian, marked with the key of the change."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the schema has moved, ChangeFailed where the tool failed and the schema is as it was,
        HalfWay where it stopped between two revisions.
        """
        effect, guard = change.effect, change.guard or {}
        component = effect["component"]
        if effect["verb"] == "look":
            return Done(None)  # the plan has told it
        now = await patiently(lambda: revision_of(self.connections, component))
        if now == effect["to"]:
            return Done({"revision": now})
        known = [guard.get("revision", now), *guard.get("between", ())]
        if now not in known:
            raise Refused(f"the schema is at {now}, not at {known[0]}, since this was planned", "plan anew")
        heard = Heard(out)
        tool = await tool_of(self.connections, effect["version"])
        if isinstance(tool, AlembicInside):
            failed = await self._inside(tool, key, effect, heard)
        else:
            failed = await self._here(tool, key, effect, heard)
        after = await patiently(lambda: revision_of(self.connections, component))
        if after == effect["to"]:
            return Done({"revision": after})
        said = f"{effect['verb']} to {effect['to']}: {heard.reason() or failed or 'the tool did nothing'}"
        # Held against the plan: an attempt before this one may have come half way.
        if after != known[0]:
            raise HalfWay(f"{said}; the schema is at {after} now", "it is gone on with from there, or taken back")
        raise ChangeFailed(said, "look at what the tool said")

    async def _here(self, tool: Alembic, key: str, effect: dict[str, Any], heard: Heard) -> str:
        """What the tool failed with; empty where it did not."""
        named = [name for name in tool.settings.env if name == OPTIONS]
        given = (await resolve(self.system, {OPTIONS: f"${{{OPTIONS}}}"}, secret=False))[OPTIONS] if named else ""
        said = {
            "argv": tool.argv(effect["verb"], effect["to"]),
            "env": {OPTIONS: f"{given} {waiting(effect['lock_timeout'])}".strip()},
            "secrets": {name: f"${{{name}}}" for name in tool.settings.env if name != OPTIONS},
            "workdir": str(tool.folder),
            "timeout": effect["timeout"],
            "ok": "good",
        }
        try:
            await ArgvExecutor(self.connections).apply(key, Change("argv", said), None, heard)
        except CommandFailed as error:
            return error.message
        return ""

    async def _inside(self, tool: AlembicInside, key: str, effect: dict[str, Any], heard: Heard) -> str:
        once = tool.once(key, effect["verb"], effect["to"], effect["timeout"], effect["lock_timeout"])
        ran = await run_once(self.connections.runtime, once, heard)
        if ran.exit is None:
            return "it was ended before it was done"
        return f"it ended with {ran.exit}" if ran.exit else ""

    async def end(self, key: str, change: Change) -> bool:
        """The tool with all its children, or the container in which it runs."""
        settings = self.system.model.deploys.migrations
        if settings is not None and settings.inside:
            return await end_once(self.connections.runtime, name_of(settings.of), key_of(key))
        return bool(await end_tree(key))
