"""What a step yields has one shape, however many changes it makes."""

from __future__ import annotations

import pytest

from opsbook.book.catalogue import Risk
from opsbook.engine.procedure import Step, StepKind
from opsbook.engine.results import OMITTED, Unexpected, concluded, stored, yielded


def step(expect: str = "", kind: StepKind = StepKind.OP, save: str = "") -> Step:
    return Step("one", kind, "", 1, {}, Risk.SAFE, True, expect=expect, save=save)


@pytest.mark.parametrize(
    ("results", "expect"),
    [
        ([{"rows": 3}], "rows == 3 and result.rows == 3 and results[0].rows == 3 and results | length == 1"),
        ([{"rows": 3}, {"rows": 5}], "rows == 5 and result.rows == 5 and results | map(attribute='rows') | sum == 8"),
        ([{"result": 7}], "result.result == 7"),
        (["OK"], "value == 'OK' and result == 'OK'"),
        ([], "results | length == 0 and result is none"),
    ],
)
def test_an_operation_yields_its_last_result_and_all_of_them(results: list[object], expect: str) -> None:
    concluded(step(expect), stored(step(), results), {})
    with pytest.raises(Unexpected):
        concluded(step(f"not ({expect})"), stored(step(), results), {})


def test_a_script_yields_its_own_result() -> None:
    one = step("exit == 0 and result.exit == 0", StepKind.SH)
    concluded(one, stored(one, [{"exit": 0}]), {})
    assert yielded(one, {"results": [1]}) == {"results": [1]}


def test_a_result_that_was_too_large_is_said_of_any_change() -> None:
    with pytest.raises(Unexpected, match="too large"):
        concluded(step(save="x"), stored(step(), [{OMITTED: 2_000_000}, {"rows": 1}]), {})


def test_what_a_command_inside_of_a_workload_printed_is_read_as_that_of_one_of_this_host() -> None:
    one = step("json.rows == 3", StepKind.SH)
    concluded(one, stored(one, [{"exit": 0, "pod": "api-1", "stdout": '{"rows": 3}\n'}]), {})
    assert "json" not in stored(one, [{"exit": 0, "pod": "api-1", "stdout": "3 rows\n"}])
