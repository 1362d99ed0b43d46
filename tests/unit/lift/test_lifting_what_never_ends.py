"""Commands that never end become ones that do; those that end stay as they are."""

from __future__ import annotations

import pytest
from tests.unit.lift.test_lifting_commands import lifted

from opsbook.manual.lift.endless import bounded
from opsbook.manual.lift.model import Form


@pytest.mark.parametrize(
    ("written", "ends"),
    [
        ("tail -f /var/log/shop/*.log | grep ERROR", "tail -n 1000 /var/log/shop/*.log | grep ERROR"),
        ("tail -100f shop.log", "tail -n 100 shop.log"),
        ("tail -fn 50 a.log b.log", "tail -n 50 a.log b.log"),
        ("sudo tail -F shop.log", "sudo tail -n 1000 shop.log"),
        ("journalctl -fu shop", "journalctl -n 1000 -u shop"),
        ("journalctl -u shop --since today -f", "journalctl -u shop --since today"),
        ("kubectl logs -f deploy/other -n shop", "kubectl logs --tail=1000 deploy/other -n shop"),
        ("docker logs --follow --tail 10 shop", "docker logs --tail 10 shop"),
        ("docker compose logs -f", "docker compose logs --tail=1000"),
        ("kubectl get hpa -w -n shop", "kubectl get hpa -n shop"),
        ("ping db.example.org", "ping -c 4 db.example.org"),
        ("htop", "top -b -n 1"),
        ("vmstat 5", "vmstat 5 3"),
        ("date; tail -f shop.log", "date; tail -n 1000 shop.log"),
    ],
)
def test_it_ends(written: str, ends: str) -> None:
    text, mended = bounded(written)
    assert text == ends
    assert "no longer waits" in mended


@pytest.mark.parametrize(
    "written",
    [
        "tail -n 20 shop.log",
        "timeout 60 tail -f shop.log",
        "grep -f patterns.txt shop.log",
        "echo tail -f shop.log",
        "docker compose -f stack.yml logs shop",
        "kubectl apply -f shop.yaml",
        "ping -c 3 db.example.org",
        "vmstat 1 5",
        "top -b -n 1",
    ],
)
def test_what_ends_stays_as_it_is(written: str) -> None:
    assert bounded(written) == (written, "")


def test_a_follower_that_stays_a_shell_step_only_looks_and_the_report_says_so() -> None:
    (step,) = lifted("tail -f /var/log/shop.log")
    assert (step.form, step.body, step.risk) == (Form.SH, "tail -n 1000 /var/log/shop.log", "read")
    assert step.mended


def test_a_date_has_an_example_and_another_computed_value_has_none() -> None:
    from tests.unit.lift.test_lifting_commands import context

    within = context()
    lifted('DAY=$(date +%Y%m%d_%H%M)\nkubectl exec deploy/shop-api -- python -m shop.export "$DAY"', within)
    assert [(one.name, one.example) for one in within.parameters.found.values()] == [("day", "20260131_1200")]
