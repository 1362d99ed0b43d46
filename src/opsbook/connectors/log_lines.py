"""Reading log lines: when they were written, and which fault they tell. Pure: now is an argument."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, tzinfo

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|UTC|[+-]\d\d:?\d\d)?")
_CLF = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})")
_SLASHED = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d)")
_SYSLOG = re.compile(r"^([A-Z][a-z]{2}) ([ \d]\d) (\d\d:\d\d:\d\d)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_JSON_TIMES = ("timestamp", "time", "ts", "@timestamp", "asctime")
_HEAD = 120
"""Characters at the start of a line within which its time stands."""

_LEVEL = re.compile(
    r"\b(CRITICAL|FATAL|PANIC|ERROR|EMERG|ALERT|SEVERE)\b|\b[Ll]evel[=:\s\"']+(error|fatal|critical|panic)\b"
)
_EXCEPTION = re.compile(
    r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Timeout|Refused|Denied|Interrupt))\b(?=[:(\s]|$)"
)
_RAISED = re.compile(r"^((?:[A-Za-z_]\w*\.)*[A-Z]\w*): ")
_SERVER_ERROR = re.compile(r'" (5\d\d) \d')
"""The status in an access log line of nginx, Apache or uvicorn with sizes."""


def written_at(line: str, now: datetime, zone: tzinfo | None = None) -> datetime | None:
    """The time that a line carries: ISO 8601 and its kin, access logs, nginx' error log, syslog, JSON fields.

    A time without a zone is in `zone` (this machine's where left out). `now` gives syslog lines their year.
    """
    if line.startswith("{"):
        return _json_time(line, zone)
    head = line[:_HEAD]
    if found := _ISO.search(head):
        day, clock, fraction, offset = found.groups()
        text = f"{day}T{clock}" + (f".{fraction[:6].ljust(6, '0')}" if fraction else "")
        return _try(text + _offset(offset), zone)
    if found := _CLF.search(head):
        day, month, year, clock, offset = found.groups()
        return _try(f"{year}-{_month(month)}-{day}T{clock}{offset[:3]}:{offset[3:]}", zone)
    if found := _SLASHED.search(head):
        return _try("{}-{}-{}T{}".format(*found.groups()), zone)
    if found := _SYSLOG.search(head):
        month, day, clock = found.groups()
        at = _try(f"{now.year}-{_month(month)}-{int(day):02d}T{clock}", zone)
        return at.replace(year=at.year - 1) if at and at > now + timedelta(days=1) else at
    return None


def _json_time(line: str, zone: tzinfo | None) -> datetime | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    for key in _JSON_TIMES:
        value = entry.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = value / 1000 if value > 1e11 else value  # some write milliseconds
            return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds < 1e11 else None
        if isinstance(value, str):
            return _try(value.replace(",", "."), zone)
    return None


def _offset(text: str | None) -> str:
    if not text:
        return ""
    return "+00:00" if text in ("Z", "UTC") else text


def _month(name: str) -> str:
    return f"{_MONTHS.index(name) + 1:02d}" if name in _MONTHS else "00"


def _try(text: str, zone: tzinfo | None) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text), zone)
    except ValueError:
        return None


def _aware(at: datetime, zone: tzinfo | None) -> datetime:
    if at.tzinfo:
        return at.astimezone(UTC)
    return (at.replace(tzinfo=zone) if zone else at.astimezone()).astimezone(UTC)


def fault_type(line: str) -> str:
    """What kind of fault a line tells: the exception's name, a 5xx status, or its level; empty where it tells none."""
    if line.startswith("{"):
        return _json_fault(line)
    if line[:1] in (" ", "\t", "}"):
        return ""  # inside a traceback; its last line tells
    level = _LEVEL.search(line)
    if raised := _RAISED.match(line):
        return _short(raised[1]) if level or _EXCEPTION.match(raised[1] + ":") else ""
    if level:
        named = _EXCEPTION.search(line, level.end())
        return _short(named[1]) if named else (level[1] or level[2]).upper()
    if status := _SERVER_ERROR.search(line):
        return f"HTTP {status[1]}"
    return ""


def _json_fault(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    level = str(entry.get("level") or entry.get("levelname") or entry.get("severity") or "").upper()
    if level not in ("ERROR", "CRITICAL", "FATAL", "PANIC", "ALERT", "EMERGENCY"):
        return ""
    for key in ("error_type", "exception", "exc_type", "error", "exc_info"):
        if isinstance(value := entry.get(key), str) and (named := _EXCEPTION.search(value)):
            return _short(named[1])
    named = _EXCEPTION.search(str(entry.get("message") or entry.get("msg") or ""))
    return _short(named[1]) if named else level


def _short(name: str) -> str:
    return name.rpartition(".")[2]
