"""What `$(date …)` prints, for a fixed moment: the example of a parameter that holds a date."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

MOMENT = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
"""The moment of all examples: an import makes the same book whenever it is made."""
_ISO = {"date": "%Y-%m-%d", "hours": "%Y-%m-%dT%H+00:00", "minutes": "%Y-%m-%dT%H:%M+00:00",
        "seconds": "%Y-%m-%dT%H:%M:%S+00:00", "s": "%Y-%m-%dT%H:%M:%S+00:00"}  # fmt: skip
_OURS = re.compile(r"%[-_0^#]?[aAbBcdDeFHIjklmMNpRsSTuUVwWxXyYZz%]")
"""Directives of GNU date (date(1)) whose output is known; any other has no example."""


def example_of(command: str) -> str | None:
    """What the substitution would print at MOMENT, `-d` left aside; None where that is not known."""
    inside = command.strip().removeprefix("$(").removesuffix(")").strip("` ")
    try:
        words = shlex.split(inside)[1:]
    except ValueError:
        return None
    form = next((word[1:] for word in words if word.startswith("+")), None)
    for word in words:
        if word == "-I" or word.startswith(("--iso-8601", "-I")):
            form = _ISO.get(word.partition("=")[2] or word[2:].lstrip("-") or "date", _ISO["date"])
    if form is None:
        return MOMENT.strftime("%a %b %d %H:%M:%S UTC %Y")
    if re.sub(_OURS, "", form).count("%"):
        return None
    plain = form.replace("%s", str(int(MOMENT.timestamp()))).replace("%N", "000000000")
    return MOMENT.strftime(plain)
