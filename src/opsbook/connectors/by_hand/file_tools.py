"""Changes of files by cat, cp and rm. What was there is kept where opsbook keeps it, so that its undo finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, word
from opsbook.connectors.change import Json
from opsbook.connectors.executors.copy import MANIFEST
from opsbook.connectors.executors.file import ABSENT


@as_commands("file")
def file(change: Json, _: Script) -> Iterator[str]:
    """Written whole, put back, or removed."""
    effect, before = change["effect"], (change.get("guard") or {}).get("digest", "")
    path = Path(effect["path"]).expanduser()
    if before not in ("", ABSENT):
        yield f"cp -p -- {word(str(path))} {word(_kept(path, before))}"
    if effect.get("absent"):
        yield f"rm -- {word(str(path))}"
    elif "previous" in effect:
        yield f"cp -p -- {word(_kept(path, effect['previous']))} {word(str(path))}"
    else:
        yield from fed(f"cat > {word(str(path))}", str(effect["content"]))
        if before == ABSENT and "mode" in effect:
            yield f"chmod {effect['mode']:o} {word(str(path))}"


@as_commands("copy")
def copy(change: Json, _: Script) -> Iterator[str]:
    """Copied with their paths, and a manifest of their sums; or the copies removed."""
    effect = change["effect"]
    source, target = word(effect["from"]), word(effect["to"])
    if any("\n" in name for name in effect["files"]):
        yield from comment("by hand: a name of these files holds a line break", "    ")
        return
    names = "".join(f"{name}\n" for name in effect["files"])
    if effect.get("remove"):
        yield from fed(f"( cd {target} && xargs -d '\\n' rm -f -- )", names, "FILES")
        yield from comment(f"and their lines in {effect['to']}/{MANIFEST}", "    ")
        return
    yield f"mkdir -p {target}"
    yield from fed(f"( cd {source} && xargs -d '\\n' cp -p --parents -t {target} -- )", names, "FILES")
    yield from fed(f"( cd {target} && xargs -d '\\n' sha256sum -- >> {MANIFEST} )", names, "FILES")
    yield f"( cd {target} && sha256sum --quiet -c {MANIFEST} )"


def _kept(path: Path, digest: str) -> str:
    return str(path.with_name(f".{path.name}.{digest[:16]}.previous"))
