"""The verb `advise`: the run that applies what can be applied, and a system that does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from opsbook.cli.advise import command, run_of
from opsbook.errors import UsageError
from opsbook.upkeep.advice.contract import Advice, Advised


def advice(name: str, advised: str, needs: str = "reload", *, applied: bool = True) -> Advice:
    return Advice("database", name, "1", advised, "it was measured", "https://example.org", needs, "none", applied)  # type: ignore[arg-type]


def test_the_run_says_all_that_can_be_applied_and_whether_it_restarts() -> None:
    some = (advice("work_mem", "8MB"), advice("pool_size of shop", "20", applied=False))
    assert run_of(Advised("database", "postgres", some)) == "opsbook run tune-database settings='work_mem=8MB'"
    more = (
        *some,
        advice("autovacuum_vacuum_scale_factor of shop.orders", "0.01"),
        advice("shared_buffers", "1GB", "restart"),
    )
    assert run_of(Advised("database", "postgres", more)) == (
        "opsbook run tune-database settings='work_mem=8MB, autovacuum_vacuum_scale_factor of shop.orders=0.01,"
        " shared_buffers=1GB' restart=true"
    )
    sized = Advised("api", "resources", (advice("cpu_request", "250m"), advice("memory_limit", "512Mi")))
    assert run_of(sized) == "opsbook run resize-api cpu_request=250m memory_limit=512Mi"
    assert run_of(Advised("database", "postgres", some[1:])) == ""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    model = {
        "opsbook": 1, "system": "t", "environments": {"test": {"policy": "open"}},
        "components": {"cache": {"kind": "redis", "url": "redis://127.0.0.1:1"}},
    }  # fmt: skip
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(model))
    return tmp_path


def test_a_server_that_does_not_answer_is_told_and_nothing_is_guessed(book: Path) -> None:
    done = CliRunner().invoke(command, ["--book", str(book), "--format", "json"], standalone_mode=False)
    assert done.return_value == 0, done.exception
    (found,) = json.loads(done.stdout)
    assert (found["component"], found["of"], found["advice"], found["run"]) == ("cache", "settings", [], "")
    assert "127.0.0.1:1" in found["untold"][0]


@pytest.mark.parametrize("options", [["--memory", "5m"], ["--enough", "much"], ["no-such"]])
def test_what_is_said_wrongly_is_refused_with_an_example(book: Path, options: list[str]) -> None:
    done = CliRunner().invoke(command, ["--book", str(book), *options], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
