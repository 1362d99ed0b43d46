"""How a sweep looks in a terminal of some width."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from opsbook.book.checks import Check
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import Result, State
from opsbook.checks.sweep import Sweep
from opsbook.cli.check_table import sweep_view
from opsbook.cli.terminal import show
from opsbook.observations.registry import make_spec

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
UP = make_spec("postgres.up", Dimension.STATE, "postgres", "doc", vital=True)
LATENCY = make_spec("http.latency_p95", Dimension.DURATION, "http", "doc")
WARNING, CRITICAL = Threshold.parse("> 100ms"), Threshold.parse("> 200ms")


def a_result(id: str, of: str, state: State, cause: str | None = None) -> Result:
    check = Check(id=id, observe="postgres.up", of=of, title=f"Title of {id}", procedure="mend-it")
    return Result(check, UP, state, state is State.OK, f"sentence of {id} " + "word " * 20, NOW, cause=cause)


def a_latency(id: str) -> Result:
    check = Check(id=id, observe="http.latency_p95", of="api", title="How long an answer takes")
    return Result(check, LATENCY, State.OK, 0.0123, "", NOW, warning=WARNING, critical=CRITICAL)


SWEEP = Sweep("shop", "production", NOW, 0.5, (
    a_latency("a-check-with-a-rather-long-name"),
    *(a_result(f"follows-{n}", "api", State.UNKNOWN, "database-up") for n in range(9)),
    a_result("database-up", "database", State.CRITICAL),
))  # fmt: skip


@pytest.fixture
def system(tmp_path: Path) -> System:
    (tmp_path / "book.yaml").write_text(
        "opsbook: 1\nsystem: shop\nenvironments: {production: {}}\ncomponents: {host: {kind: host}}\n"
    )
    return in_environment(load_book(tmp_path / "book.yaml", catalogue()), "production")


def drawn(system: System, width: int, everything: bool = False, sweep: Sweep = SWEEP) -> list[str]:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False), sweep_view(system, sweep, everything, width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [50, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal_or_ends_in_spaces(system: System, width: int) -> None:
    for line in drawn(system, width):
        assert len(line) <= width
        assert line == line.rstrip()


def test_eighty_columns_hold_ids_values_thresholds_and_a_title(system: System) -> None:
    (line,) = [line for line in drawn(system, 80) if "a-check-with-a-rather-long-name" in line]
    assert line.split() == [
        "✓", "a-check-with-a-rather-long-name", "12.3", "ms", ">", "100ms", ">", "200ms", "How", "long", "an", "a…",
    ]  # fmt: skip


def test_a_narrow_terminal_keeps_ids_and_values_whole(system: System) -> None:
    (line,) = [line for line in drawn(system, 50) if "rather-long" in line]
    assert line.split() == ["✓", "a-check-with-a-rather-long-name", "12.3", "ms"]


def test_consequences_are_counted_under_their_cause_and_named_with_all(system: System) -> None:
    few = drawn(system, 160)
    assert "  9 follow from it: follows-0, follows-1, follows-2, follows-3, follows-4, follows-5 and 3 more" in few
    assert not any(line.startswith("?") for line in few)
    assert sum(line.startswith("?") for line in drawn(system, 160, everything=True)) == 9


def test_what_goes_on_below_a_line_stands_under_its_name(system: System) -> None:
    lines = drawn(system, 60)
    start = next(n for n, line in enumerate(lines) if line.startswith("✗ database-up  Title"))
    assert all(line.startswith("  ") for line in lines[start + 1 : start + 3])


def test_it_names_a_procedure_only_where_there_is_one(system: System) -> None:
    assert not any("opsbook run" in line for line in drawn(system, 100))
    folder = system.folder / "procedures"
    folder.mkdir()
    (folder / "mend-it.md").write_text("")
    assert "  → opsbook run mend-it" in drawn(system, 100)


def test_markup_in_what_a_server_says_is_text(system: System) -> None:
    said = replace(a_result("database-up", "database", State.CRITICAL), sentence="[bold]no[/] [link=x]:smile:")
    lines = drawn(system, 120, sweep=replace(SWEEP, results=(said,)))
    assert any("[bold]no[/] [link=x]:smile:" in line for line in lines)
