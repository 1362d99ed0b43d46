"""A tool run to its end within a bounded time, its answer apart from its chatter."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.audits.finding import NotAsked

SECONDS = 110.0
"""Less than the time-out that an audit gives a check, so that the tool's own words are heard."""
MOST_BYTES = 64 * 1024 * 1024
USUAL = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
         "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
         "DOCKER_HOST", "PIP_INDEX_URL", "PIP_CONFIG_FILE")  # fmt: skip
"""What a tool sees of opsbook's own environment, which holds secrets."""


@dataclass(frozen=True)
class Answer:
    """How a tool ended, and what it said."""

    code: int
    out: str
    chatter: str

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in (self.chatter or self.out).splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"it said nothing and ended with {self.code}"


def program(name: str, install: str) -> str:
    """Where it is. Raises NotAsked; beside opsbook's own Python is a place too."""
    beside = Path(sys.executable).with_name(name)
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    if found := shutil.which(name):
        return found
    raise NotAsked(f"{name} is not installed on opsbook's host", install)


async def run(argv: Sequence[str], folder: Path | None = None, more: Mapping[str, str] | None = None,
              seconds: float = SECONDS) -> Answer:  # fmt: skip
    """To its end. Raises NotAsked where it does not start, or takes longer; everything it started has ended then."""
    environment = {name: os.environ[name] for name in USUAL if name in os.environ} | dict(more or {})
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NotAsked(f"{Path(argv[0]).name} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            out, chatter = await child.communicate()
    except TimeoutError as error:
        raise NotAsked(f"{Path(argv[0]).name} did not answer within {seconds:g} s") from error
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if len(out) > MOST_BYTES:
        raise NotAsked(f"{Path(argv[0]).name} said more than can be read")
    return Answer(child.returncode or 0, out.decode("utf-8", "replace"), chatter.decode("utf-8", "replace"))


def as_json(tool: str, answer: Answer) -> Any:
    """The JSON it printed. Raises NotAsked with its last words where it printed none."""
    try:
        return json.loads(answer.out)
    except ValueError as error:
        raise NotAsked(f"{tool} gave no answer: {answer.last_words}") from error
