"""When a disk will be full."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.connectors.growth import KEEP_SECONDS, LONGEST, full_in, remember


def test_it_is_the_free_space_over_the_growth() -> None:
    looks = [(0.0, 100.0), (3600.0, 200.0), (7200.0, 300.0)]
    assert full_in(looks, 1000.0) == pytest.approx(36000)


@pytest.mark.parametrize("looks", [[], [(0.0, 1.0)], [(0.0, 1.0), (599.0, 9.0)]])
def test_too_short_a_look_means_nothing(looks: list[tuple[float, float]]) -> None:
    assert full_in(looks, 1000.0) is None


@pytest.mark.parametrize("later", [100.0, 50.0])
def test_what_does_not_grow_never_fills(later: float) -> None:
    assert full_in([(0.0, 100.0), (3600.0, later)], 1000.0) == LONGEST


def test_looks_are_remembered_spaced_and_forgotten(tmp_path: Path) -> None:
    assert remember("/", 1000.0, 1.0, tmp_path) == [(1000.0, 1.0)]
    assert remember("/", 1060.0, 2.0, tmp_path) == [(1000.0, 1.0), (1060.0, 2.0)]
    assert remember("/", 2000.0, 3.0, tmp_path) == [(1000.0, 1.0), (2000.0, 3.0)]
    assert remember("/data", 2000.0, 9.0, tmp_path) == [(2000.0, 9.0)]
    assert remember("/", 2500.0 + KEEP_SECONDS, 4.0, tmp_path) == [(2500.0 + KEEP_SECONDS, 4.0)]


def test_a_spoilt_memory_is_no_memory(tmp_path: Path) -> None:
    remember("/", 1000.0, 1.0, tmp_path)
    (file,) = (tmp_path / "growth").iterdir()
    file.write_text("{broken")
    assert remember("/", 5000.0, 1.0, tmp_path) == [(5000.0, 1.0)]
