"""Errors of log lines by type, and the time that a line carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from opsbook.connectors.log_lines import fault_type, written_at
from opsbook.connectors.runtimes.contract import LogLine
from opsbook.observations.workload_logs import errors, of_lines

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("2026-01-02 11:00:00,123 ERROR src.api: no such page", "ERROR"),
        ("2026-01-02 11:00:00 ERROR psycopg.OperationalError: connection refused", "OperationalError"),
        ("sqlalchemy.exc.TimeoutError: QueuePool limit", "TimeoutError"),
        ("[2026-01-02 11:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)", "CRITICAL"),
        ('level=error msg="scrape failed"', "ERROR"),
        ('1.2.3.4 - - [02/Jan/2026:11:00:00 +0000] "GET /x HTTP/1.1" 503 12 "-" "curl"', "HTTP 503"),
        ('1.2.3.4 - - [02/Jan/2026:11:00:00 +0000] "GET /x HTTP/1.1" 200 5021 "-" "curl"', ""),
        ('{"level": "error", "message": "boom", "exception": "KeyError: 1"}', "KeyError"),
        ('{"level": "info", "message": "an error was avoided"}', ""),
        ("2026-01-02 11:00:00 INFO 0 errors, all well", ""),
        ("2026-01-02 11:00:00 WARNING slow", ""),
        ('  File "x.py", line 3, in f', ""),
        ("    raise ValueError: x", ""),
        ("FATAL:  password authentication failed", "FATAL"),
        ("{not json ERROR", ""),
        ("", ""),
    ],
)
def test_a_line_tells_its_fault(line: str, kind: str) -> None:
    assert fault_type(line) == kind


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("2026-01-02 11:00:00,123 INFO x", datetime(2026, 1, 2, 11, 0, 0, 123000, UTC)),
        ("2026-01-02T11:00:00.5Z x", datetime(2026, 1, 2, 11, 0, 0, 500000, UTC)),
        ("2026-01-02T11:00:00-06:00 x", datetime(2026, 1, 2, 17, 0, 0, 0, UTC)),
        ("[2026-01-02 11:00:00 +0100] [7] [INFO]", datetime(2026, 1, 2, 10, 0, tzinfo=UTC)),
        ('1.2.3.4 - - [02/Jan/2026:11:00:00 +0200] "GET', datetime(2026, 1, 2, 9, 0, tzinfo=UTC)),
        ("2026/01/02 11:00:00 [error] 7#7: *1 open()", datetime(2026, 1, 2, 11, 0, tzinfo=UTC)),
        ("Jan  2 11:00:00 host sshd[1]: x", datetime(2026, 1, 2, 11, 0, tzinfo=UTC)),
        ("Dec 31 11:00:00 host sshd[1]: of last year", datetime(2025, 12, 31, 11, 0, tzinfo=UTC)),
        ('{"ts": 1767351600.0}', datetime(2026, 1, 2, 11, 0, tzinfo=UTC)),
        ('{"time": "2026-01-02T11:00:00+00:00"}', datetime(2026, 1, 2, 11, 0, tzinfo=UTC)),
        ('{"ts": 1e300}', None),
        ("no time at all", None),
        ("2026-99-02 11:00:00 x", None),
        ("[1]", None),
        ('["2026"]', None),
    ],
)
def test_a_line_tells_its_time(line: str, at: datetime | None) -> None:
    assert written_at(line, NOW, UTC) == at


def test_a_time_without_a_zone_is_in_the_zone_that_is_said() -> None:
    at = written_at("2026-01-02 11:00:00 x", NOW, timezone(timedelta(hours=-6)))
    assert at == datetime(2026, 1, 2, 17, 0, tzinfo=UTC)


def test_errors_are_counted_by_type_with_the_last_of_them() -> None:
    fact = errors([f"ERROR {n}" for n in range(10)] + ["KeyError: x", "fine"])
    assert fact.value == 11
    assert fact.detail["by_type"] == {"ERROR": 10, "KeyError": 1}
    assert len(fact.detail["last"]) == 5
    assert fact.message == "ERROR 10×, KeyError 1×"


def test_one_type_alone_is_counted() -> None:
    assert errors(["ERROR 1", "KeyError: x"], "KeyError").value == 1


def test_an_instance_whose_lines_are_missing_is_named_and_its_reason_is_no_error_of_it() -> None:
    lines = [LogLine("a", "KeyError: x"), LogLine("b", "its lines cannot be had: ERROR 500", missing=True)]
    fact = of_lines(lines)
    assert (fact.value, fact.detail["by_type"], fact.detail["missing"]) == (1, {"KeyError": 1}, ["b"])
    assert fact.message == "KeyError 1×, without the lines of b, which cannot be had"
    assert of_lines(lines[1:]).message == "without the lines of b, which cannot be had"
    assert "missing" not in of_lines(lines[:1]).detail
