from __future__ import annotations

import pytest
from tests.unit.rehearsal.conftest import Compile

from opsbook.connectors.change import Change
from opsbook.engine.procedure import OnFailure, Plan, PlannedStep, Procedure, StepKind
from opsbook.engine.record import as_json
from opsbook.rehearsal.staging import END, seconds_at_most, staged, touched

WRITES = """
```op id=a timeout=10s retry=2
workload.restart: {of: api}
```

```check id=b on_failure=continue
- api-up
```
"""


def test_it_ends_in_an_act_so_that_all_of_it_can_be_taken_back(compiled: Compile) -> None:
    found = staged(compiled(WRITES, ""))
    assert [(step.id, step.kind) for step in found.steps][-1] == (END, StepKind.PERSON)


def test_what_would_stop_is_undone_and_what_goes_on_still_goes_on(compiled: Compile) -> None:
    assert [step.on_failure for step in staged(compiled(WRITES, "")).steps][:2] == [OnFailure.UNDO, OnFailure.CONTINUE]


def test_a_procedure_that_only_looks_is_run_as_it_is(compiled: Compile) -> None:
    looks = compiled("```check\n- api-up\n```", "")
    assert staged(looks) is looks


def test_what_it_touches_is_what_it_changes_and_what_it_locks(compiled: Compile) -> None:
    text = '```op\nredis.flush: {of: "{{ which }}"}\n```'
    found = compiled(text, "params: {which: {type: component, default: cache}}\nlock: [database]\n")
    assert touched(found, {"which": "cache"}) == {"cache", "database"}


def planned(procedure: Procedure, step: str = "", changes: tuple[Change, ...] = ()) -> Plan:
    steps = tuple(
        PlannedStep(one.id, one.risk, tuple(map(as_json, changes)) if one.id == step else ()) for one in procedure.steps
    )
    return Plan(procedure, {}, "test", "", steps, digest="")


def test_it_is_given_the_time_of_all_attempts(compiled: Compile) -> None:
    assert seconds_at_most(planned(compiled(WRITES, ""))) == 60 + 3 * 10 + 300


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("postgres.scale_standbys: {of: database, replica: copy, to: 2}", 1800 + 10),
        ("postgres.scale_standbys: {of: database, replica: copy, to: 2, within: 2h}", 7200 + 10),
        ("postgres.scale_standbys: {of: database, replica: copy, to: 2, within: '{{ long }}'}", 1800 + 10),
        ("workload.exec: {of: api, argv: [date]}", 600 + 10),
        ("workload.restart: {of: api}", 300),
    ],
)
def test_a_step_without_a_time_out_has_the_time_that_its_operation_promises(
    compiled: Compile, text: str, seconds: float
) -> None:
    procedure = compiled(f"```op id=a\n{text}\n```", "params: {long: {type: duration, default: 1h}}\n")
    assert seconds_at_most(planned(procedure)) == 60 + seconds


def test_each_planned_change_has_its_own_time(compiled: Compile) -> None:
    changes = Change("settle", {"within": 900.0}, inverse=""), Change("wait", {"within": 60.0}, inverse="")
    text = "```op id=a\nworkload.restart: {of: api}\n```"
    assert seconds_at_most(planned(compiled(text, ""), "a", changes)) == 60 + 910 + 300
