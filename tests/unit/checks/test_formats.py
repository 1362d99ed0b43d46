"""A sweep in the formats of the ecosystem."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from opsbook.book.checks import Check
from opsbook.book.units import Dimension
from opsbook.checks.evaluate import Result, State
from opsbook.checks.formats import as_json, as_junit, as_nagios, as_prometheus, by_component
from opsbook.checks.sweep import Sweep
from opsbook.connectors.contract import Value
from opsbook.observations.registry import make_spec

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
DURATION = make_spec("http.latency_p95", Dimension.DURATION, "http", "doc")
UP = make_spec("postgres.up", Dimension.STATE, "postgres", "doc", vital=True)


def a_result(id: str, of: str, state: State, value: Value, sentence: str = "", cause: str | None = None) -> Result:
    spec = UP if id.endswith("up") else DURATION
    check = Check.model_validate({"id": id, "observe": spec.name, "of": of})
    return Result(check, spec, state, value, sentence, NOW, cause=cause)


SWEEP = Sweep(
    "shop",
    "production",
    NOW,
    0.5,
    (
        a_result("ui-latency", "ui", State.OK, 0.02),
        a_result("api-latency", "api", State.WARNING, 0.12, "120 ms is warning: > 50ms"),
        a_result("db-up", "database", State.CRITICAL, None, "refused | \x1b[31mby <host>"),
        a_result("api-p95", "api", State.UNKNOWN, None, "no answer", cause="db-up"),
    ),
)


def test_json_has_value_unit_and_cause_of_every_check() -> None:
    document = json.loads(as_json(SWEEP))
    assert document["state"] == "critical"
    assert document["totals"] == {"critical": 1, "unknown": 1, "warning": 1, "ok": 1}
    by_id = {result["id"]: result for result in document["results"]}
    assert (by_id["api-latency"]["value"], by_id["api-latency"]["unit"], by_id["api-latency"]["shown"]) == (
        0.12,
        "s",
        "120 ms",
    )
    assert by_id["api-p95"]["cause"] == "db-up"


def test_junit_counts_critical_as_failure_and_unknown_as_error() -> None:
    root = ElementTree.fromstring(as_junit(SWEEP))
    suites = {suite.get("name"): suite for suite in root}
    assert (suites["database"].get("failures"), suites["database"].get("errors")) == ("1", "0")
    assert (suites["api"].get("failures"), suites["api"].get("errors")) == ("0", "1")
    error = suites["api"].find("testcase/error")
    assert error is not None and "follows from db-up" in (error.get("message") or "")


def test_nagios_has_one_status_line_with_performance_data_and_no_stray_bar() -> None:
    first, *rest = as_nagios(SWEEP).splitlines()
    assert first.startswith(
        "OPSBOOK CRITICAL - shop production: 1 critical, 1 unknown, 1 warning, 1 ok; db-up: refused ¦"
    )
    assert first.count("|") == 1
    assert "'api-latency'=0.12s" in first
    assert [line.split(":")[0] for line in rest] == ["CRITICAL db-up", "WARNING api-latency", "UNKNOWN api-p95"]


def test_prometheus_leaves_out_the_value_that_is_not_there() -> None:
    text = as_prometheus(SWEEP)
    labels = 'system="shop",environment="production",component="database",check="db-up",observation="postgres.up"'
    assert f"opsbook_check_state{{{labels}}} 2" in text
    assert f"opsbook_check_value{{{labels}}}" not in text


def test_the_component_with_the_worst_check_comes_first() -> None:
    assert list(by_component(SWEEP)) == ["database", "api", "ui"]


def test_json_stays_json_where_a_value_is_infinite() -> None:
    sweep = replace(SWEEP, results=(replace(a_result("api", "api", State.CRITICAL, math.inf), detail={"x": math.nan}),))
    (result,) = json.loads(as_json(sweep), parse_constant=pytest.fail)["results"]
    assert (result["value"], result["shown"], result["detail"]) == (None, "∞", {"x": None})
    assert "inf" not in as_nagios(sweep)


def test_every_result_has_a_unit_even_a_plain_number() -> None:
    count = make_spec("x.count", Dimension.COUNT, "any", "doc")
    sweep = replace(SWEEP, results=(replace(a_result("n", "api", State.OK, 3.0), spec=count),))
    assert json.loads(as_json(sweep))["results"][0]["unit"] == "count"


def test_large_figures_keep_their_digits() -> None:
    sweep = replace(SWEEP, results=(a_result("n", "api", State.OK, 1234567891.0),))
    assert " 1234567891\n" in as_prometheus(sweep)
    assert "'n'=1234567891s" in as_nagios(sweep)
