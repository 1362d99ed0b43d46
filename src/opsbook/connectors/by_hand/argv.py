"""Commands on this host, as they are."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import word
from opsbook.connectors.change import Json


@as_commands("argv")
def argv(change: Json, script: Script) -> Iterator[str]:
    """The command with its variables, in its folder."""
    effect = change["effect"]
    given = [f"{name}={word(value)}" for name, value in effect.get("env", {}).items()]
    given += [f"{name}={script.value(text, name)}" for name, text in effect.get("secrets", {}).items()]
    run = " ".join([*given, *(word(one, script=True) for one in effect["argv"])])
    yield f"( cd {word(effect['workdir'])} && {run} )" if effect.get("workdir") else run
