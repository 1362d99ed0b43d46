"""Changes of the kind `migrate`: the schema is brought to a revision by the application's own tool.

effect: `verb` (upgrade or downgrade), `version` whose migrations they are, `to` (revision), `component`,
`lock_timeout` and `timeout` in seconds. guard: `revision`, where the schema was when it was planned.

A statement that waits longer than `lock_timeout` for a lock fails, and all of its migration with it: nobody else queues
up behind it. The tool runs each migration in a transaction, so that doing it again goes on where it stopped.

result: `revision`, where the schema is now.
"""

from __future__ import annotations

import re

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.argv import ArgvExecutor, CommandFailed
from opsbook.connectors.migrations.alembic import alembic_of
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

KEPT = 16 * 1024
"""Characters of the end of its output in which the reason is looked for."""
_REASON = re.compile(
    r"^(?:[\w.]*(?:Error|Exception|LockNotAvailable|errors\.\w+): |\(?[\w.]+\.errors\.\w+\)? |FAILED: |ERROR: +)(.+)"
)


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
        """Raises Refused where the schema has moved, ChangeFailed where the tool failed or did not get there."""
        effect, guard = change.effect, change.guard or {}
        tool = alembic_of(self.system, effect["version"])
        now = await tool.current()
        if now == effect["to"]:
            return Done({"revision": now})
        known = [guard.get("revision", now), *guard.get("between", ())]
        if now not in known:
            raise Refused(f"the schema is at {now}, not at {known[0]}, since this was planned", "plan anew")
        heard = Heard(out)
        command = ArgvExecutor(self.connections).apply(
            key,
            Change(
                "argv",
                {
                    "argv": tool.argv(effect["verb"], effect["to"]),
                    "env": {"PGOPTIONS": f"-c lock_timeout={round(effect['lock_timeout'] * 1000)}"},
                    "secrets": {name: f"${{{name}}}" for name in tool.settings.env},
                    "workdir": str(tool.folder),
                    "timeout": effect["timeout"],
                    "ok": "good",
                },
            ),
            None,
            heard,
        )
        try:
            await command
        except CommandFailed as error:
            raise ChangeFailed(
                f"{effect['verb']} to {effect['to']}: {heard.reason() or error.message}", error.hint
            ) from error
        after = await tool.current()
        if after != effect["to"]:
            raise ChangeFailed(f"the schema is at {after}, not at {effect['to']}", "look at what the tool said")
        return Done({"revision": after})

    async def end(self, key: str, change: Change) -> bool:
        """The tool with all its children."""
        return bool(await end_tree(key))
