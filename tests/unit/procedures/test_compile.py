"""Markdown becomes typed steps, in the order of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.procedures.conftest import Compile

from opsbook.book.catalogue import Catalogue, Risk
from opsbook.book.system import System
from opsbook.engine.compile import load_procedures
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.procedure import OnFailure, StepKind

WHOLE = """---
title: End what hangs
risk: destructive
params:
  older_than: {type: duration, default: 5m, doc: age of a query}
  table: {type: text, required: true}
lock: database
owner: Ana
objective: database.rto
---
Use when queries hang. Not on Mondays.

## Steps

1. Look who hangs. It takes a second.
   ```sql on=database save=hanging expect="rows < 50" timeout=30s
   SELECT pid FROM pg_stat_activity WHERE now() - query_start > {{ older_than }}::interval;
   ```
2. End them.
   ```op when="hanging.rows > 0"
   postgres.end_queries: {of: database, older_than: "{{ older_than }}", note: "for {{ table }}"}
   ```
3. Forget the old rows:
   ```sql on=database write risk=destructive retry=2 on_failure=undo undo="SELECT 1"
   DELETE FROM {{ table | ident }} WHERE age > 3;
   ANALYZE;
   ```
4. Look at the graph.
   ```promql
   sum(rate(requests_total[5m]))
   ```
   ```check
   api-up
   ```
5. - [ ] The owner of {{ table }} knows.
   - [ ] And so does the boss.
6. Say so.
   ```http on=api risk=safe idempotent
   PUT /notes/{{ table }}

   {"rows": {{ hanging.rows }}}
   ```
   ```text
   This is an example of what comes back.
   ```
   ```sh id=say env=PAGER_KEY workdir=scripts
   echo {{ table }}
   ```
"""


def test_it_compiles_every_kind_of_step_in_order(compiled: Compile) -> None:
    procedure = compiled(WHOLE, "end-what-hangs.md")
    assert [(step.kind, step.id) for step in procedure.steps] == [
        (StepKind.SQL, "look-who-hangs"),
        (StepKind.OP, "end-them"),
        (StepKind.SQL, "forget-the-old-rows"),
        (StepKind.PROMQL, "look-at-the-graph"),
        (StepKind.CHECK, "look-at-the-graph-2"),
        (StepKind.PERSON, "the-owner-of-knows"),
        (StepKind.HTTP, "say-so"),
        (StepKind.SH, "say"),
    ]
    assert (procedure.name, procedure.title, procedure.risk) == ("end-what-hangs", "End what hangs", Risk.DESTRUCTIVE)
    assert (procedure.lock, procedure.owner, procedure.objective) == (("database",), "Ana", "database.rto")
    assert procedure.prose.startswith("Use when queries hang. Not on Mondays.")
    assert [parameter.required for parameter in procedure.parameters] == [False, True]
    assert procedure.parameters[0].default == "5m"


def test_it_reads_the_attributes_of_a_fence(compiled: Compile) -> None:
    look, end, forget, *_, say_so, say = compiled(WHOLE).steps
    assert (look.on, look.save, look.expect, look.timeout) == ("database", "hanging", "rows < 50", 30.0)
    assert (look.risk, look.idempotent) == (Risk.READ, True)
    assert (end.on, end.when, end.risk, end.needs) == ("database", "hanging.rows > 0", Risk.DISRUPTIVE, ("hanging",))
    assert (forget.retry, forget.on_failure, forget.risk) == (2, OnFailure.UNDO, Risk.DESTRUCTIVE)
    assert forget.undo is not None and forget.undo["statements"] == ["SELECT 1"]
    assert (say_so.risk, say_so.idempotent, say_so.needs) == (Risk.SAFE, True, ("hanging",))
    assert (say.env, say.workdir, say.risk, say.idempotent) == (("PAGER_KEY",), "scripts", Risk.DESTRUCTIVE, False)


def test_it_groups_neighbouring_tasks_into_one_act_of_a_person(compiled: Compile) -> None:
    (person,) = [step for step in compiled(WHOLE).steps if step.kind is StepKind.PERSON]
    assert person.body["items"] == ["The owner of {{ table }} knows.", "And so does the boss."]
    assert person.timeout == 0.0


def test_it_makes_the_risk_that_of_the_riskiest_step_where_none_is_written(compiled: Compile) -> None:
    assert compiled("```sql on=database\nSELECT 1\n```\n").risk is Risk.READ
    assert compiled("```op\npostgres.end_queries: {of: database}\n```\n").risk is Risk.DISRUPTIVE
    assert compiled("```sh\ntrue\n```\n").risk is Risk.DESTRUCTIVE
    assert compiled("```sh risk=safe\ntrue\n```\n").risk is Risk.SAFE


def test_it_gives_steps_without_prose_a_number(compiled: Compile) -> None:
    procedure = compiled("```check\napi-up\n```\n```check\ngroups: [daily]\n```\n")
    assert [step.id for step in procedure.steps] == ["step-1", "step-2"]


def test_it_takes_fences_of_other_languages_for_prose(compiled: Compile) -> None:
    text = "```json\n{}\n```\n````markdown\n```sh\nrm -rf /\n```\n````\n> ```sh\n> ls\n> ```\n```check\napi-up\n```\n"
    assert [step.kind for step in compiled(text).steps] == [StepKind.CHECK]


def test_it_changes_its_revision_with_the_text(compiled: Compile) -> None:
    one, other = compiled("```check\napi-up\n```\n"), compiled("```check\napi-up\n```\n\nMore.\n")
    assert one.revision != other.revision


def test_it_loads_the_folder_and_tells_the_mistakes_of_all_files(
    shop: System, known: Catalogue, tmp_path: Path
) -> None:
    folder = shop.folder / "procedures"
    folder.mkdir()
    try:
        (folder / "good.md").write_text("---\ntitle: Good\n---\n```check\napi-up\n```\n")
        (folder / "README.md").write_text("# No procedure\n")
        assert list(load_procedures(shop, known)) == ["good"]
        (folder / "bad.md").write_text("---\ntitle: Bad\n---\n")
        (folder / "Worse one.md").write_text("no front matter")
        with pytest.raises(InvalidProcedure) as caught:
            load_procedures(shop, known)
        assert "bad.md:1:1: the procedure has no step" in str(caught.value)
        assert "name the file worse-one.md" in str(caught.value)
        assert str(caught.value).splitlines()[-1].endswith("in 2 procedures")
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("given", "risk"), [("", Risk.SAFE), (", pause: false", Risk.SAFE), (", pause: true", Risk.DISRUPTIVE),
                        (', pause: "{{ paused }}"', Risk.DISRUPTIVE)],
)  # fmt: skip
def test_a_parameter_may_make_an_operation_riskier(compiled: Compile, given: str, risk: Risk) -> None:
    text = "1. Look.\n   ```op id=look\n   workload.profile: {of: api&}\n   ```\n".replace("&", given)
    found = compiled(text, front="risk: disruptive\nparams: {paused: {type: bool, default: true}}\n")
    assert found.steps[0].risk is risk
