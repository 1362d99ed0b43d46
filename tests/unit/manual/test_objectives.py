"""Recovery objectives in tables, lists and sentences."""

from __future__ import annotations

import pytest

from opsbook.manual.reading import Manual, read_manual


def read(text: str) -> Manual:
    return read_manual(text, "test.md")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**RTO**: 4 hours\n", [("RTO", "4h", "system")]),
        ("RTO (Recovery Time Objective): < 30 min\n", [("RTO", "30min", "system")]),
        (
            "We promise an RTO of 2 hours and an RPO of 15 minutes.\n",
            [("RTO", "2h", "system"), ("RPO", "15min", "system")],
        ),
        (
            "### Recovery Time Objective (RTO)\n\n- **Database**: 2 hours\n- Web: 30 min\n",
            [("RTO", "2h", "database"), ("RTO", "30min", "web")],
        ),
        ("| Tier | RTO | RPO |\n|-|-|-|\n| Gold | 1h | 5 min |\n", [("RTO", "1h", "gold"), ("RPO", "5min", "gold")]),
        ("| Ziel | Wert |\n|-|-|\n| RTO | 3 Stunden |\n", [("RTO", "3h", "system")]),
        (
            "| Figure | Cloud | On site |\n|-|-|-|\n| RTO | 10 min (branch) | 2 hours |\n"
            "| RPO | Near-zero (continuous) | 24 hours |\n",
            [("RTO", "10min", "cloud"), ("RTO", "2h", "on site"), ("RPO", "0s", "cloud"), ("RPO", "24h", "on site")],
        ),
        ("- **RTO**: 4時間以内\n", [("RTO", "4h", "system")]),
        ("The drill took 40 minutes; RTO met.\n", []),
        ("- [ ] Check the RTO of 4 hours\n", []),
    ],
)
def test_it_reads_recovery_objectives(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(each.kind, each.value, each.scope) for each in read(text).objectives] == expected
