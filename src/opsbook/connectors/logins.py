"""Failed log-ins of this machine, from whichever record of them can be read."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.log_lines import written_at
from opsbook.connectors.tails import lines_since

AUTH_LOGS = ("/var/log/auth.log", "/var/log/secure")
BTMP = "/var/log/btmp"
JOURNAL = ("/run/log/journal", "/var/log/journal")
JOURNAL_SECONDS = 8
UTMP = struct.Struct("<h2xi32s4s32s256shhiii4i20x")
"""glibc's struct utmp: type, pid, line, id, user, host, exit, session, seconds, microseconds, address."""
_FAILED = re.compile(
    r"(?:Failed (?:password|publickey|keyboard-interactive/pam|none) for (?:invalid user )?|"
    r"FAILED LOGIN .*? FOR |authentication failure;.*?\buser=)(?P<user>\S*)(?:.*?\bfrom (?P<host>\S+))?"
)


@dataclass(frozen=True)
class FailedLogin:
    """One attempt."""

    at: datetime
    user: str
    host: str


def failed_logins(since: datetime, now: datetime, path: Path | None = None) -> tuple[str, list[FailedLogin]]:
    """Where it was read, and the attempts. Raises ReadFailed with what was tried where nothing can be read."""
    if path is not None:
        return str(path), list(_from_file(path, since, now))
    for name in AUTH_LOGS:
        if Path(name).exists():
            return name, list(_from_file(Path(name), since, now))
    if any(Path(folder).is_dir() for folder in JOURNAL):
        return "the journal", list(_from_journal(since, now))
    if Path(BTMP).exists():
        return BTMP, list(_from_file(Path(BTMP), since, now))
    tried = ", ".join((*AUTH_LOGS, BTMP))
    raise ReadFailed(f"this machine keeps no record of failed log-ins that could be read (tried {tried}, the journal)")


def _from_file(path: Path, since: datetime, now: datetime) -> Iterator[FailedLogin]:
    try:
        with path.open("rb") as file:
            start = file.read(8192)
    except OSError as error:
        raise ReadFailed(f"{path}: {error.strerror}; run opsbook as a user who may read it") from error
    read: Callable[[Path, datetime, datetime], Iterator[FailedLogin]] = _binary if b"\0" in start else _text
    return read(path, since, now)


def _text(path: Path, since: datetime, now: datetime) -> Iterator[FailedLogin]:
    return _attempts(lines_since(path, since, now), since, now)


def _attempts(lines: list[str], since: datetime, now: datetime) -> Iterator[FailedLogin]:
    for line in lines:
        found = _FAILED.search(line)
        at = written_at(line, now)
        if found and at and at >= since:
            yield FailedLogin(at, found["user"] or "", found["host"] or "")


def _binary(path: Path, since: datetime, now: datetime) -> Iterator[FailedLogin]:  # noqa: ARG001  as the other reader
    data = path.read_bytes()
    for n in range(0, len(data) - UTMP.size + 1, UTMP.size):
        fields = UTMP.unpack_from(data, n)
        user, host, seconds = fields[4], fields[5], fields[9]
        at = datetime.fromtimestamp(seconds, UTC)
        if at >= since:
            yield FailedLogin(at, _word(user), _word(host))


def _word(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _from_journal(since: datetime, now: datetime) -> Iterator[FailedLogin]:
    command = ["journalctl", "--no-pager", "-o", "short-iso", "--since", f"@{int(since.timestamp())}", "-t", "sshd",
               "-t", "sshd-session", "-t", "login"]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=JOURNAL_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReadFailed(f"journalctl: {error}") from error
    if done.returncode not in (0, 1):
        raise ReadFailed(f"journalctl: {done.stderr.strip()[:200]}")
    return _attempts(done.stdout.splitlines(), since, now)
