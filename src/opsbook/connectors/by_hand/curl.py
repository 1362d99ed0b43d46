"""Requests by curl. Headers and bodies with secrets are handed over by a file of the shell, never in an argv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, inside_quotes, word
from opsbook.connectors.change import Json

PLAIN = ("", "plain", "header", "text")
"""Ways in which a secret stands as it is."""


@as_commands("http")
def request(change: Json, script: Script) -> Iterator[str]:
    """One request, which fails for a status of 400 and more."""
    yield from _encodings(change["effect"])
    judged = [] if change["effect"].get("ok") == "any" else ["--fail-with-body"]
    yield " ".join(["curl -sS", *judged, *_request(change["effect"], script)])


@as_commands("http-expecting")
def expecting(change: Json, script: Script) -> Iterator[str]:
    """One request, held against the status that it must have."""
    effect = change["effect"]
    yield from _encodings(effect)
    command = " ".join(["curl -sS -o /dev/null -w '%{http_code}'", *_request(effect, script)])
    yield f'[ "$({command})" = {int(effect["status"])} ]'


@as_commands("wait")
def wait(change: Json, script: Script) -> Iterator[str]:
    """Asked each second until it answers well."""
    effect = change["effect"]
    path = script.component(effect["component"]).health
    base, options = _target(effect["component"], script)
    tries = max(1, int(effect["within"]))
    retry = f"--retry {tries} --retry-delay 1 --retry-max-time {tries} --retry-all-errors"
    yield " ".join(["curl -fsS -o /dev/null", retry, *options, f'"{base}{inside_quotes(path)}"'])


def _request(effect: dict[str, Any], script: Script) -> Iterator[str]:
    base, options = _target(effect["component"], script) if effect.get("component") else ("", [])
    if effect["method"] == "HEAD":
        yield "-I"
    elif effect["method"] != "GET":
        yield f"-X {word(effect['method'])}"
    yield from options
    for name, text in effect.get("headers", {}).items():
        yield f"-H {_given(text, script, f'{name}: ', 'header')}"
    if effect.get("body"):
        yield f"--data-binary {_given(effect['body'], script, '', 'body')}"
    yield (
        f'"{base}{_joined(effect["url"], script)}"' if base or isinstance(effect["url"], list) else word(effect["url"])
    )


def _target(component: str, script: Script) -> tuple[str, list[str]]:
    """The base URL as the inside of a word in double quotes, and what requests of the component need besides."""
    settings = script.component(component)
    base = script.part(settings.url, f"url of {component}")
    options = []
    if getattr(settings, "ca", ""):
        options.append(f"--cacert {script.value(settings.ca, f'ca of {component}')}")
    if getattr(settings, "insecure", False):
        options.append("-k")
    for name, reference in getattr(settings, "headers", {}).items():
        value = script.part(reference, f"header {name} of {component}")
        options.append(f"-H @<(printf '%s\\n' \"{inside_quotes(name)}: {value}\")")
    return base, options


def _given(text: Json, script: Script, before: str, what: str) -> str:
    if isinstance(text, str):
        return word(f"{before}{text}")
    return f"@<(printf '%s' \"{inside_quotes(before)}{_joined(text, script, what)}\")"


def _joined(text: Json, script: Script, what: str = "address") -> str:
    parts = [text] if isinstance(text, str) else text
    return "".join(
        inside_quotes(one) if isinstance(one, str) else script.part(one["secret"], f"a secret of the {what}")
        for one in parts
    )


def _encodings(effect: dict[str, Any]) -> Iterator[str]:
    for text in (effect["url"], effect.get("body") or "", *effect.get("headers", {}).values()):
        for one in text if isinstance(text, list) else ():
            if isinstance(one, dict) and one["as"] not in PLAIN:
                yield from comment(f"{one['secret']} must stand there encoded as {one['as']}", "    ")
