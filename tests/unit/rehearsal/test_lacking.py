"""What a procedure names and an environment does not have."""

from __future__ import annotations

import pytest

from opsbook.book.catalogue import Risk
from opsbook.engine.procedure import OnFailure, Procedure, Step, StepKind
from opsbook.rehearsal.lacking import absent, needed, programs


def sh(script: str, id: str = "step", **more: object) -> Step:
    return Step(id, StepKind.SH, "", 1, {"script": script}, Risk.READ, False, **more)  # type: ignore[arg-type]


def test_it_knows_the_programs_of_a_script_and_not_what_bash_does_itself() -> None:
    step = sh('sizes() { du -s "$1"; }\ncd /srv && sizes {{ folder }} | sort\nfor x in a; do kubectl get "$x"; done')
    assert programs(step) == ["du", "sort", "kubectl"]
    assert programs(sh("pg_restore x", on="database")) == []


def test_it_says_what_it_needs_and_what_it_goes_on_without() -> None:
    steps = (
        sh("kubectl get nodes", "look", on_failure=OnFailure.CONTINUE),
        sh("aws s3 cp a s3://$BUCKET/; ls", "copy", env=("BUCKET",)),
    )
    procedure = Procedure("p", "P", Risk.READ, steps)
    without, goes_on = needed(procedure, lambda name: False, lambda name: "/bin/ls" if name == "ls" else None)
    assert without == ["the program aws (step 2, copy)", "a value of BUCKET (copy)"]
    assert goes_on == ["the program kubectl (step 1, look)"]
    assert needed(procedure, lambda name: True, lambda name: name) == ([], [])


@pytest.mark.parametrize(
    ("message", "script", "lacks"),
    [
        ("bash: line 1: shopctl: command not found", "shopctl status", "the program shopctl"),
        ("/usr/bin/python: No module named shop.cli", "python -m shop.cli", "the Python module shop.cli"),
        ("cp: cannot stat 'files/*': No such file or directory", "cp files/* x/", "the file files/*"),
        ("grep: /var/log/shop/*.log: No such file or directory", "grep E /var/log/shop/*.log", "the file /var/log/shop/*.log"),  # noqa: E501
        ("The connection to the server localhost:8080 was refused - did you", "kubectl get po", "a cluster that answers at localhost:8080"),  # noqa: E501
        ("permission denied for sequence orders_id_seq", "pg_dump", "a role that may use sequence orders_id_seq"),
        ("the environment variable BUCKET is not set", "aws s3 ls", "a value of BUCKET"),
        # What the step itself should have made, and what is simply wrong, is no lack.
        ("gzip: /backup/today.sql: No such file or directory", "make-backup", ""),
        ('relation "orders" does not exist', "psql", ""),
    ],
)  # fmt: skip
def test_a_failure_for_what_is_not_there_is_told_apart_from_a_fault(message: str, script: str, lacks: str) -> None:
    assert absent(f"the script ended with exit code 1: {message}", sh(script)) == lacks
