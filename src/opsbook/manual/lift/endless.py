"""Commands that never end, in a form that does: a follower shows the newest lines, a watcher looks once.

Sources: tail(1), journalctl(1), dmesg(1), ping(8), top(1), vmstat(8), iostat(1), `docker logs --help`,
`kubectl logs --help`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LINES = 1000
"""So many of the newest lines are shown in place of all that will come."""
MENDED = "it no longer waits for ever: what is there now is looked at"
_AT = (
    r"(?m)(?P<lead>(?:^|[|;&(]|&&|\|\|)\s*(?:sudo\s+)?)(?P<program>{program})(?P<words>(?:[ \t]+(?:\\\n|[^|;&\n()])*)?)"
)
"""A program where a command begins, and its words up to the end of the command."""

Bounding = Callable[[str], "str | None"]
"""The words of a command → those of the form that ends; None where it ends anyway."""


def _follower(add: str, limits: str) -> Bounding:
    """Without `-f`, and with a number of lines where the words name no limit of their own."""

    def bounded(words: str) -> str | None:
        rest = re.sub(r"(?<=\s)(?:-[fF]|--follow(?:=\w+)?)(?=\s|$)", "", words)
        rest = re.sub(r"(?<=\s)-(\d+)[fF](?=\s|$)", rf"{add}\1", rest)
        rest = re.sub(r"(?<=\s)-[fF]n(?=\s*\d)", "-n", rest)
        rest = re.sub(r"(?<=\s)-([a-eg-zA-EG-Z]*)[fF]([a-zA-Z]+)(?=\s)", r"-\1\2", rest)
        if rest == words:
            return None
        rest = re.sub(r"[ \t]+", " ", rest).rstrip()
        return rest if re.search(rf"\s(?:{limits})", rest) else f" {add}{LINES}{rest}"

    return bounded


def _without(*flags: str, add: str = "") -> Bounding:
    pattern = re.compile(rf"(?<=\s)(?:{'|'.join(flags)})(?=\s|$)")

    def bounded(words: str) -> str | None:
        rest = pattern.sub("", words)
        return None if rest == words else re.sub(r"[ \t]+", " ", rest).rstrip() + add

    return bounded


def _unless(limit: str, add: str) -> Bounding:
    """With what ends it in front, where the words do not hold the limit."""
    return lambda words: None if re.search(limit, words) else f" {add}{words.rstrip()}"


def _interval(words: str) -> str | None:
    """`vmstat 5` reports for ever; `vmstat 5 3` three times."""
    numbers = re.findall(r"(?<=\s)\d+(?=\s|$)", words)
    return f"{words.rstrip()} 3" if len(numbers) == 1 else None


FORMS: tuple[tuple[str, Bounding], ...] = (
    ("tail", _follower("-n ", r"-n|-c|--lines|--bytes|-\d|\+\d")),
    ("journalctl", _follower("-n ", r"-n|--lines|--since|-S|-b\b")),
    ("dmesg", _without("-w", "-W", "--follow", "--follow-new")),
    ("ping6?", _unless(r"\s(?:-c|-w)", "-c 4")),
    ("h?top", _unless(r"\s-\w*b", "-b -n 1")),
    ("vmstat|iostat|mpstat", _interval),
)
"""Program → its form that ends."""


def bounded(script: str) -> tuple[str, str]:
    """The script in the form that ends, and the sentence about it; the script as it is, and nothing, where it ends."""
    if re.search(r"\btimeout\s+[-\d]", script):
        return script, ""
    text = script
    for program, form in FORMS:
        text = _each(text, program, form)
    text = _each(text, "kubectl|oc|docker|podman|docker-compose", _log_follower)
    text = _each(text, "kubectl|oc", _watcher)
    return text, MENDED if text != script else ""


def _each(text: str, program: str, form: Bounding) -> str:
    def written(match: re.Match[str]) -> str:
        made = form(match["words"])
        if made is None:
            return match[0]
        name = "top" if match["program"] == "htop" else match["program"]
        space = " " if match["words"].endswith((" ", "\t")) else ""
        return f"{match['lead']}{name}{made}{space}"

    return re.sub(_AT.format(program=f"(?:{program})(?=\\s|$)"), written, text)


def _log_follower(words: str) -> str | None:
    """`logs` of a container or pod; its flags stand behind the verb."""
    match = re.match(r"(.*?\slogs)(?=\s|$)(.*)", words, re.DOTALL)
    made = _follower("--tail=", "--tail|--since")(match[2]) if match else None
    return f"{match[1]}{made}" if match and made is not None else None


def _watcher(words: str) -> str | None:
    return _without("-w", "--watch", "--watch=true", "--watch-only")(words) if re.search(r"\sget\b", words) else None
