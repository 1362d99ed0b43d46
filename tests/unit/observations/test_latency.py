"""Percentiles of probes, some of which fail or do not end."""

from __future__ import annotations

import pytest

from opsbook.connectors._http_wire import Phases
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.http_probe import Probe
from opsbook.errors import Unreachable
from opsbook.observations.http_latency import NothingInTime, percentile


def served(seconds: float, status: int = 200) -> Probe:
    return Probe(seconds, Phases(), status)


def cut(seconds: float) -> Probe:
    return Probe(seconds)


def failed(words: str = "refused") -> Probe:
    return Probe(0.0, failure=words)


TWENTY = [served(n / 100) for n in range(1, 21)]


@pytest.mark.parametrize(("rank", "value"), [(0.5, 0.10), (0.95, 0.19), (0.99, 0.20)])
def test_it_is_the_nearest_rank(rank: float, value: float) -> None:
    assert percentile(TWENTY, rank).value == pytest.approx(value)


def test_one_probe_is_every_percentile() -> None:
    assert percentile([served(0.3)], 0.5).value == percentile([served(0.3)], 0.99).value == 0.3


def test_a_failed_probe_ranks_as_slowest() -> None:
    probes = [*TWENTY[:19], failed()]
    assert percentile(probes, 0.95).value == pytest.approx(0.19)
    with pytest.raises(ReadFailed, match="1 of 20 probes failed: refused"):
        percentile(probes, 0.99)


def test_nothing_but_failures_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="2 of 2 probes failed"):
        percentile([failed(), failed()], 0.5)


def test_an_error_is_no_answer_however_quick() -> None:
    with pytest.raises(Unreachable, match="status 503"):
        percentile([served(0.001, 503)] * 4, 0.5)


def test_a_cut_probe_counts_with_the_time_it_had() -> None:
    fact = percentile([served(0.1)] * 9 + [cut(5.0)], 0.95)
    assert fact.value == 5.0
    assert fact.message.startswith("at least")


def test_only_cut_probes_are_no_measurement() -> None:
    with pytest.raises(NothingInTime, match="within 5 s"):
        percentile([cut(5.0), cut(5.0)], 0.5)
