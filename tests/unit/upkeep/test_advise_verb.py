"""The verb `advise`: the run that applies what can be applied."""

from __future__ import annotations

import shlex

from opsbook.cli.advise import run_of
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


def test_a_table_named_by_somebody_hostile_stays_one_word_of_the_shell() -> None:
    hostile = (advice("fillfactor of \"x'; rm -rf ~; '\"", "80"),)
    line = run_of(Advised("database", "postgres", hostile))
    assert shlex.split(line) == ["opsbook", "run", "tune-database", "settings=fillfactor of \"x'; rm -rf ~; '\"=80"]
