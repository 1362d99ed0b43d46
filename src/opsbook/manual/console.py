"""Terminal sessions in manuals: `$ command` and `# command` followed by what it printed."""

from __future__ import annotations

import re

_USER = r"(?:\([\w.-]+\)\s*)?(?:\[?[\w.-]+@[\w.-]+[:\s]?[^\s$#\]]*\]?\s?)?"
_DOLLAR = re.compile(rf"(\s*{_USER}[$❯]\s+)(?=\S)")
_ROOT = re.compile(r"(\s*\[?[\w.-]+@[\w.-]+[:\s]?[^\s$#\]]*\]?\s?#\s+|\s*#\s+)(?=\S)")
_ROOT_NAMED = re.compile(r"(\s*\[?[\w.-]+@[\w.-]+[:\s]?[^\s$#\]]*\]?\s?#\s+)(?=\S)")
_CONTINUED = re.compile(r"(\s*>\s)")


def blank_console(text: str, console: bool | None) -> str:
    """The same text with prompts and output made blank, or the text itself where it is no session."""
    lines = text.split("\n")
    dollars = any(_DOLLAR.match(line) for line in lines)
    first = next((line for line in lines if line.strip()), "")
    if console is None:
        console = bool(_DOLLAR.match(first) or _ROOT_NAMED.match(first))
    if not console:
        return text
    prompt = _DOLLAR if dollars else _ROOT
    if not any(prompt.match(line) or _ROOT_NAMED.match(line) for line in lines):
        return text
    kept, open_command = [], False
    for line in lines:
        match = prompt.match(line) or _ROOT_NAMED.match(line)
        if match:
            line = " " * match.end() + line[match.end() :]
        elif open_command:
            more = _CONTINUED.match(line)
            line = " " * more.end() + line[more.end() :] if more else line
        elif not (dollars and line.lstrip().startswith("#")):
            line = " " * len(line)
        kept.append(line)
        open_command = bool(line.strip()) and (line.rstrip().endswith("\\") or _quotes_open("\n".join(kept[-1:])))
    return "\n".join(kept)


def _quotes_open(line: str) -> bool:
    quote = ""
    for char in re.sub(r"\\.", "", line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return bool(quote)
