from __future__ import annotations

from tests.unit.rehearsal.conftest import Compile

from opsbook.engine.procedure import OnFailure, StepKind
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


def test_it_is_given_the_time_of_all_attempts(compiled: Compile) -> None:
    assert seconds_at_most(compiled(WRITES, "")) == 60 + 3 * 10 + 300
