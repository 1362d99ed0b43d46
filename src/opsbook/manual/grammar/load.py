"""Reading the grammars.

`tools/*.json` come from the tools' own help, `by_documentation.yaml` from the reference pages of those that could not
be asked, `by_hand.yaml` says what help does not tell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HERE = files("opsbook.manual.grammar")


@dataclass(frozen=True)
class Tool:
    """A tool's grammar. `flags` values: 0 takes no value, 1 takes one, 2 may take one after `=`.

    A verb whose flags are None is known, its flags are not. An `open` tool takes plugins: verbs that are not listed may
    exist. A verb with the flag `-*` takes the names of algorithms as flags. `version` is the version that was asked for
    its help. One that `abbreviates` takes a long flag by its beginning; flags that begin like one of `plugin_flags` may
    be a plugin's.
    """

    name: str
    version: str = ""
    open: bool = False
    flags: dict[str, int] = field(default_factory=dict)
    verbs: dict[str, dict[str, int] | None] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    abbreviates: bool = False
    plugin_flags: tuple[str, ...] = ()

    def flags_of(self, verb: str) -> dict[str, int] | None:
        """The flags of a verb with the global ones, or None where they are not known."""
        if not self.verbs:
            return self.flags
        own = self.verbs.get(verb)
        return None if own is None else self.flags | own

    @cached_property
    def groups(self) -> frozenset[str]:
        """The first words of verbs that are no verbs themselves: `backup` of `backup create`."""
        return frozenset(first for verb in self.verbs if (first := verb.split(" ")[0]) not in self.verbs)


@cache
def _by_hand() -> dict[str, Any]:
    loaded = yaml.load(_HERE.joinpath("by_hand.yaml").read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    return dict(loaded)


@cache
def _by_documentation() -> dict[str, Any]:
    loaded = yaml.load(_HERE.joinpath("by_documentation.yaml").read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    return dict(loaded)


@cache
def _generated() -> frozenset[str]:
    """The generated grammars. A program's name comes from a manual and is never made into a path unseen."""
    return frozenset(entry.name for entry in _HERE.joinpath("tools").iterdir())


@lru_cache(maxsize=512)
def tool(name: str) -> Tool | None:
    """The grammar of a tool, or None for one that is not known."""
    pages = _by_documentation()
    entry = _by_hand()["tools"].get(name) or pages["tools"].get(name, {})
    wanted = f"{entry.get('like', name)}.json"
    data = json.loads(_HERE.joinpath("tools", wanted).read_text(encoding="utf-8")) if wanted in _generated() else {}
    if not data and not entry:
        return None
    names = dict.fromkeys(data.get("names", ()), 0)
    verbs: dict[str, dict[str, int] | None] = {
        verb: names | flags if flags and "-*" in flags else flags for verb, flags in data.get("verbs", {}).items()
    }
    for verb, flags in (entry.get("verbs") or {}).items():
        verbs[verb] = {**(verbs.get(verb) or {}), **flags} if flags is not None else verbs.get(verb)
    return Tool(
        name=name,
        version=str(entry.get("version", data.get("version", ""))),
        open=bool(entry.get("open", data.get("open", False))),
        flags=dict(data.get("global", {})) | dict(entry.get("flags") or {}),
        verbs=verbs,
        aliases=dict(entry.get("aliases") or {}),
        abbreviates=name in pages["abbreviates"],
        plugin_flags=tuple(pages["plugin_flags"].get(name, ())),
    )


@cache
def removed() -> dict[str, dict[str, str]]:
    """`tool verb` to what is said of commands that are gone or never were: class, why, instead."""
    return dict(_by_hand()["removed"])


@cache
def removed_flags() -> dict[str, dict[str, str]]:
    """`tool verb --flag` to since when it is gone and what stands instead."""
    return dict(_by_hand()["removed_flags"])


@cache
def _risks() -> dict[str, str]:
    return {
        f"{name} {verb}".strip(): risk
        for name, risks in _by_hand()["risks"].items()
        for risk, verbs in risks.items()
        for verb in verbs
    }


def risk_of(name: str, verb: str) -> str:
    """read, safe, disruptive or destructive; empty where the grammar does not say."""
    known = _risks()
    return known.get(f"{name} {verb}".strip(), known.get(f"{name} {verb.split(' ', 1)[0]}".strip(), ""))


@cache
def _redis() -> dict[str, dict[str, Any]]:
    found = json.loads(_HERE.joinpath("tools", "redis-cli.json").read_text(encoding="utf-8"))["commands"]
    return dict(found)


def redis_command(words: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
    """The server's own entry of a Redis command: arity, since, deprecated, instead, and what it is."""
    known = _redis()
    for length in (2, 1):
        name = " ".join(words[:length]).upper()
        if len(words) >= length and name in known:
            return name, known[name]
    return None
