"""One cause, its consequences folded under it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.checks import Check
from opsbook.book.units import Dimension
from opsbook.checks.causes import fold
from opsbook.checks.evaluate import Result, State
from opsbook.observations.registry import make_spec

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
VITAL = make_spec("x.up", Dimension.STATE, "any", "doc", vital=True)
FIGURE = make_spec("x.count", Dimension.COUNT, "any", "doc")
NEEDS = {"database": [], "broker": [], "api": ["database", "broker"], "ui": ["api"]}


def upstream(name: str) -> Iterable[str]:
    for direct in NEEDS[name]:
        yield direct
        yield from upstream(direct)


def a_result(component: str, state: State, vital: bool = False, id: str = "", **keys: object) -> Result:
    check = Check.model_validate({"id": id or f"{component}-{vital}".lower(), "observe": "x", "of": component, **keys})
    return Result(check, VITAL if vital else FIGURE, state, None, "", NOW)


def causes(*results: Result) -> dict[str, str | None]:
    return {result.check.id: result.cause for result in fold(results, upstream)}


def test_what_is_bad_on_a_component_that_is_down_follows_from_that() -> None:
    found = causes(a_result("database", State.CRITICAL, True, "db-up"), a_result("database", State.UNKNOWN, id="locks"))
    assert found == {"db-up": None, "locks": "db-up"}


def test_it_goes_up_to_the_component_that_nothing_explains() -> None:
    found = causes(
        a_result("ui", State.CRITICAL, True, "ui-up"),
        a_result("api", State.CRITICAL, True, "api-up"),
        a_result("database", State.CRITICAL, True, "db-up"),
        a_result("ui", State.WARNING, id="ui-slow"),
    )
    assert found == {"ui-up": "db-up", "api-up": "db-up", "db-up": None, "ui-slow": "db-up"}


def test_a_fault_beside_a_healthy_component_has_no_cause() -> None:
    assert causes(a_result("database", State.OK, True), a_result("api", State.CRITICAL, id="slow"))["slow"] is None


def test_a_bad_figure_is_no_cause() -> None:
    found = causes(a_result("database", State.CRITICAL, id="locks"), a_result("api", State.CRITICAL, id="slow"))
    assert found == {"locks": None, "slow": None}


def test_a_check_may_name_further_components_that_explain_it() -> None:
    alert = a_result("broker", State.CRITICAL, id="alerts", depends_on=["api"])
    assert causes(a_result("api", State.CRITICAL, True, "api-up"), alert)["alerts"] == "api-up"


@given(st.lists(st.tuples(st.sampled_from(sorted(NEEDS)), st.sampled_from(list(State)), st.booleans()), max_size=12))
def test_a_cause_is_bad_has_no_cause_itself_and_explains_only_what_is_not_ok(
    rows: list[tuple[str, State, bool]],
) -> None:
    results = fold([a_result(c, s, v, id=f"r{n}") for n, (c, s, v) in enumerate(rows)], upstream)
    by_id = {result.check.id: result for result in results}
    for result in results:
        if result.cause is None:
            continue
        assert result.state is not State.OK
        assert result.cause != result.check.id
        cause = by_id[result.cause]
        assert cause.state.bad and cause.spec.vital and cause.cause is None


def test_what_is_written_down_somewhere_does_not_follow_from_a_fault() -> None:
    written = make_spec("x.variables", Dimension.COUNT, "any", "doc", follows=False)
    check = Check.model_validate({"id": "variables", "observe": "x", "of": "api"})
    missing = Result(check, written, State.CRITICAL, 2, "", NOW)
    assert causes(a_result("database", State.CRITICAL, True, "db-up"), missing)["variables"] is None
