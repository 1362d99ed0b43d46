"""What an imported book still has to be told before it runs: addresses and secrets, all of them in one file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from opsbook.manual.importing.book import Draft
from opsbook.manual.importing.procedures import Written

FILE = "addresses.env.example"
_REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_FORMS = {
    "postgres": "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    "pgbouncer": "postgresql://USER:PASSWORD@HOST:6432/pgbouncer",
    "redis": "redis://:PASSWORD@HOST:6379/0",
    "http": "https://HOST",
    "proxy": "https://HOST",
    "prometheus": "http://HOST:9090",
    "alertmanager": "http://HOST:9093",
    "tcp": "HOST:PORT",
}
"""Kind of component → what its address looks like."""


@dataclass(frozen=True)
class Opening:
    """A variable that the book reads: for what, in what form, and the value that the manual gives for it."""

    name: str
    use: str
    form: str = ""
    default: str = ""


def openings(draft: Draft, procedures: list[Written]) -> list[Opening]:
    """Every variable of the book, in its order; one that several read is told once, with all that read it."""
    uses: dict[str, dict[str, None]] = {}
    first: dict[str, Opening] = {}
    for one in _all(draft, procedures):
        uses.setdefault(one.name, {})[one.use] = None
        known = first.get(one.name, one)
        first[one.name] = replace(known, form=known.form or one.form, default=known.default or one.default)
    return [replace(one, use=", ".join(uses[name])) for name, one in first.items()]


def _all(draft: Draft, procedures: list[Written]) -> Iterator[Opening]:
    for section, noun in (("components", ""), ("channels", "channel ")):
        for name, (value, _) in draft.mappings.get(section, {}).items():
            kind = str(value.get("kind", "")) if isinstance(value, dict) else ""
            for match in _references(value):
                told = f"{noun}{name} ({kind})" if kind else f"{noun}{name}"
                yield Opening(match["name"], told, _FORMS.get(kind, ""), match["default"] or "")
    for entry, _ in draft.lists.get("backups", []):
        for match in _references(entry):
            yield Opening(match["name"], f"backup {entry.get('id', '')}", "", match["default"] or "")
    for one in procedures:
        for step in one.steps:
            for name in step.attributes.get("env", "").split(","):
                if name:
                    yield Opening(name, f"procedure {one.name}")


def _references(value: Any) -> Iterator[re.Match[str]]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, str):
        yield from _REFERENCE.finditer(value)


def as_file(system: str, found: list[Opening], parts: dict[str, str]) -> str:
    """The text of the file. `parts` are the components of the book and their kinds."""
    lines = [
        f"# What the book of {system} reads from its environment. Fill it in under another name, such as",
        "# rehearsal.env, keep that out of version control, and name it in book.yaml under `environments`:",
        "#",
        "#   rehearsal:",
        "#     runtime: {kind: …}            # supervisor, compose or kubernetes: where this copy of the system runs",
        "#     env_file: rehearsal.env",
        "#     policy: open",
        "#     disposable: true             # `opsbook rehearse` runs only where nothing can be lost",
    ]
    if extra := [f"#       {name}: {_EXTRA[kind]}" for name, kind in parts.items() if kind in _EXTRA]:
        lines += ["#     components:                  # what no manual says, where it applies", *extra]
    for one in found:
        lines += ["", f"# {one.use}" + (f": {one.form}" if one.form else "")]
        lines.append(f"#{one.name}={one.default}" if one.default else f"{one.name}=")
    return "\n".join(lines) + "\n"


_EXTRA = {
    "postgres": "{admin: '${DATABASE_ADMIN_URL}', replica: '${REPLICA_URL}'}   # who may change; a standby",
    "http": "{ca: '${CA_FILE}'}   # of its certificate, where you have your own authority",
}
"""Kind of component → keys that differ from one environment to the next and that manuals do not tell."""
