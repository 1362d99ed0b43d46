"""What a plan shows: nothing that a value holds forges a line or steers the terminal, and what decides stands first."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from opsbook.book.catalogue import Risk
from opsbook.cli.plan_view import print_plan
from opsbook.cli.run_view import RunView
from opsbook.engine.plan_told import plan_as_json
from opsbook.engine.policy import Missing
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step, StepKind
from opsbook.engine.telling import LONGEST, evidence, shown, way_back
from opsbook.printable import lines_of, one_line, printable

FORGED = "x\x1b[2K\rneeds: nothing\nplan 000\u2028approved\x0bby all\u202e"


def change(kind: str, effect: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "effect": effect, "evidence": None, "guard": None, "inverse": "none", **more}


def step(kind: StepKind = StepKind.OP, **more: Any) -> Step:
    body = more.pop("body", {"operation": "redis.flush", "parameters": {"of": "cache"}})
    return Step("one", kind, more.pop("title", "Do it"), 1, body, Risk.DISRUPTIVE, idempotent=True, **more)


def plan(one: Step, *changes: Any, **parameters: Any) -> Plan:
    planned = PlannedStep("one", Risk.DISRUPTIVE, changes)
    return Plan(Procedure("p", "Title", Risk.DISRUPTIVE, (one,)), parameters, "test", "", (planned,), "0" * 64)


def printed(capsys: pytest.CaptureFixture[str], told: Plan, *more: Any) -> list[str]:
    print_plan(told, *(more or ((), ())))
    return capsys.readouterr().out.split("\n")


def test_control_characters_are_shown_as_their_codes() -> None:
    assert printable("a\x1b\x00\u202e\tb\n") == "a\\x1b\\x00\\u202e\tb\n"
    assert lines_of("a\rb\u2028c\x0bd\x85e") == ["a", "b", "c", "d", "e"]
    assert one_line("a\r\nb\nc\r") == "a\\nb\\nc\\x0d"


@pytest.mark.parametrize("kind", ["file", "sql", "argv", "http", "redis", "supervisor", "other"])
def test_a_value_cannot_forge_a_plan(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    effect = {
        "sql": {"component": FORGED, "statement": f"SELECT 1 {FORGED}", "parameters": {"v": FORGED}},
        "argv": {"argv": ["echo", FORGED], "env": {"V": FORGED}, "workdir": FORGED},
        "http": {"method": "POST", "url": FORGED, "headers": {"H": FORGED}, "body": FORGED},
        "redis": {"component": FORGED, "command": ["SET", FORGED]},
        "supervisor": {"verb": "stop", "workload": FORGED, "processes": [FORGED]},
    }.get(kind, {"component": FORGED, "content": FORGED})
    one = change(kind, effect, evidence={FORGED: FORGED}, inverse=FORGED)
    told = printed(capsys, plan(step(title=FORGED), one, value=FORGED), [Missing("role", FORGED)], ())
    assert all(character.isprintable() for line in told for character in line)
    at_the_margin = [line for line in told if line and not line.startswith(" ")]
    assert [line[:5] for line in at_the_margin] == ["Title", "param", "1. x\\", "needs", "plan "]


def test_the_head_of_a_step_says_what_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    effect = {"component": "cache", "command": ["FLUSHDB", "ASYNC"], "database": 1}
    told = "\n".join(printed(capsys, plan(step(), change("redis", effect), component="cache")))
    assert "1. Do it  disruptive on cache" in told and "parameters: component=cache" in told
    assert "FLUSHDB ASYNC  (database 1)" in told


def test_bound_values_stand_first_and_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    statement = "\n".join(f"line {n}" for n in range(100))
    effect = {"component": "db", "statement": statement, "parameters": {"older_than": 180.0, "user": None}}
    told = printed(capsys, plan(step(), change("sql", effect)))
    at = next(n for n, line in enumerate(told) if line.strip() == "sql")
    assert told[at + 1].strip() == "with older_than = 180.0"
    assert any("more lines; --format json has them" in line for line in told)


def test_long_lists_and_lines_are_bounded() -> None:
    (line,) = (one for one in shown(change("copy", {"files": [f"f{n}" for n in range(1820)]})) if "files" in one)
    assert line == "files: 1,820, the first 5: f0, f1, f2, f3, f4"
    (line,) = shown(change("file", {"content": "x" * 100_000}))
    assert len(line) < LONGEST + 50 and line.endswith("more characters")
    assert len(way_back(change("file", {}, inverse="y" * 100_000))) < LONGEST + 50
    assert len(evidence(change("file", {}, evidence={"a": "z" * 100_000}))) < LONGEST + 50


def test_a_plan_says_what_it_locks_and_needs(capsys: pytest.CaptureFixture[str]) -> None:
    lacks = [Missing("confirm", "the environment's name typed at a terminal")]
    told = printed(capsys, plan(step()), lacks, (), ("kiln/test",))
    assert "locks: kiln/test" in told and "needs: the environment's name typed at a terminal" in told
    assert plan_as_json(plan(step()), lacks, (), ("kiln/test",))["locks"] == ["kiln/test"]


def test_acts_of_a_person_are_told_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    items = ["Tell {{ who }}.", "Write down {{ later.value }}."]
    person = step(StepKind.PERSON, title="Tell {{ who }}.", body={"text": "", "items": items})
    told = "\n".join(printed(capsys, plan(person, who="the owner")))
    assert (
        "[ ] Tell the owner." in told and "[ ] Write down {{ later.value }}." in told and "1. Tell the owner." in told
    )


def test_a_command_inside_a_workload_is_told_as_one() -> None:
    effect = {"verb": "exec", "workload": "api", "argv": ["bash", "-c", "a\nb"], "env": {"V": "1"}, "directory": "/x"}
    assert shown(change("supervisor", effect)) == ["with V=1", "in api: bash -c 'a", "  b'"]
    assert shown(change("file", {"path": "x", "content": "a\npath: y", "mode": 0o644})) == [
        "path: x", "content: a", "  path: y", "mode: 0644",
    ]  # fmt: skip


def test_who_follows_late_is_told_when_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    run = SimpleNamespace(
        id="r",
        state="done",
        message="",
        parameters="{}",
        started_at=1_000_000.0,
        requested_at=1.0,
        ended_at=1_000_200.0,
    )
    row = SimpleNamespace(state="done", message="", started_at=1_000_000.0, ended_at=1_000_100.0)
    view: Any = SimpleNamespace(run=run, steps={"one": row}, procedure=Procedure("p", "T", Risk.SAFE, (step(),)))
    shown_so_far: Any = RunView.__new__(RunView)
    shown_so_far.screen, shown_so_far._states, shown_so_far._shown_state = Console(stderr=True, width=200), {}, ""
    shown_so_far._new_output = lambda _: []
    shown_so_far._lines(view)
    first, last = capsys.readouterr().err.splitlines()
    at = [datetime.fromtimestamp(moment, UTC).astimezone().strftime("%H:%M:%S") for moment in (1_000_100, 1_000_200)]
    assert first.startswith(f"{at[0]} one done") and last.startswith(f"{at[1]} run r done")
