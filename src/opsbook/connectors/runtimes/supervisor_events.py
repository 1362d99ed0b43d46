"""What happened to the processes, as supervisord's own log tells it. The words are those of supervisor 4."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from opsbook.connectors.log_lines import written_at
from opsbook.connectors.runtimes.contract import CRASHED, Event

WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("started", re.compile(r"spawned: '(?P<process>.+)' with pid \d+")),
    ("ready", re.compile(r"success: (?P<process>.+?) entered RUNNING state")),
    (CRASHED, re.compile(r"exited: (?P<process>.+?) \(.*; not expected\)")),
    ("ended", re.compile(r"exited: (?P<process>.+?) \(.*; expected\)")),
    ("failed", re.compile(r"gave up: (?P<process>.+?) entered FATAL state")),
    ("stopped", re.compile(r"stopped: (?P<process>.+?) \(")),
    ("killed", re.compile(r"killing '(?P<process>.+)' \(\d+\) with SIGKILL")),
)
_MESSAGE = re.compile(r"^\S+ \S+ [A-Z]+ (.*)$")


def read_events(lines: Iterable[str], processes: set[str], now: datetime) -> Iterator[Event]:
    """The events of these processes, oldest first. supervisord does not write the group into its log."""
    for line in lines:
        for kind, words in WORDS:
            found = words.search(line)
            if found and found["process"] in processes:
                message = _MESSAGE.match(line)
                yield Event(written_at(line, now), kind, message[1] if message else line, found["process"])
                break
