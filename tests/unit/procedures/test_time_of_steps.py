"""How long a change may take: what its fence says, else what its operation promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from opsbook.connectors.change import Change
from opsbook.engine.limits import GRACE_SECONDS, seconds_of
from opsbook.engine.procedure import Procedure

USUAL = 300.0


@pytest.mark.parametrize(
    ("said", "kind", "effect", "seconds"),
    [
        ("", "postgres-standbys-stream", {"within": 1800.0}, 1800 + GRACE_SECONDS),
        ("", "etcd-snapshot", {"timeout": 600.0}, 600 + GRACE_SECONDS),
        ("", "wait", {"within": 60}, USUAL),
        ("", "workload", {"wait": 900}, USUAL),
        ("", "sql-index", {"timeout": 86_400.0}, USUAL + GRACE_SECONDS),
        (" timeout=5m", "postgres-standbys-stream", {"within": 1800.0}, USUAL),
        (" timeout=2m", "etcd-snapshot", {"timeout": 600.0}, 120 + GRACE_SECONDS),
    ],
)
def test_an_operation_has_the_time_that_it_promises_unless_its_fence_says_another(
    compiled: Callable[..., Procedure], said: str, kind: str, effect: dict[str, float], seconds: float
) -> None:
    (step,) = compiled(f"1. Do.\n   ```op id=a{said}\n   workload.start: {{of: api}}\n   ```\n").steps
    assert seconds_of(step, Change(kind, effect)) == seconds
