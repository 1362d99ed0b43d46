"""Files of workloads: where a fetched one may come to, and what the undo of a copied one takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.operations.facts import FakeFacts, system_of

from opsbook.book.catalogue import Risk
from opsbook.book.system import System
from opsbook.connectors.inside.files import Inside
from opsbook.errors import Refused
from opsbook.operations.registry import operations
from opsbook.operations.workload_files import _back, _within


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setenv("KEPT", str(tmp_path / "kept"))
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "book").mkdir()
    components = {"kept": {"kind": "files", "path": "${KEPT}"}, "other": {"kind": "files", "path": "${NOT_SET}"}}
    return system_of(tmp_path / "book", components)


@pytest.mark.parametrize("to", ["found", "found/log", "${KEPT}/exports/a.zip", "../kept/a"])
def test_it_fetches_below_a_folder_of_the_book(system: System, to: str) -> None:
    assert _within(FakeFacts(system, {}), to) == system.path(to)  # type: ignore[arg-type]


@pytest.mark.parametrize("to", [".", "..", "../a", "/etc/passwd", "~/.ssh/authorized_keys", "${KEPT}", "out/a"])
def test_it_fetches_to_no_other_place(system: System, to: str, tmp_path: Path) -> None:
    (system.folder / "out").symlink_to(tmp_path)
    with pytest.raises(Refused, match="neither below the book's folder"):
        _within(FakeFacts(system, {}), to)  # type: ignore[arg-type]


def test_to_take_a_place_is_disruptive() -> None:
    spec = operations()["workload.fetch"].spec
    assert (spec.risk_with({"overwrite": True}), spec.risk_with({})) == (Risk.DISRUPTIVE, Risk.SAFE)


@pytest.mark.parametrize(
    ("told", "found", "way", "guard"),
    [
        ({"secret": "${WORD}", "mode": "600"}, Inside("/a", "absent"), {"absent": True, "was": "${WORD}"}, None),
        ({"digest": "new"}, Inside("/a", "file", digest="old"), {"previous": "old"}, {"state": "new"}),
    ],
)
def test_the_undo_of_a_copy_says_what_must_be_there_still(
    told: dict[str, Any], found: Inside, way: dict[str, Any], guard: Any
) -> None:
    where = {"workload": "api", "instance": "api-1", "path": "/a"}
    back = _back(found, {**where, **told})
    assert not isinstance(back, str)
    assert (back.effect, back.guard) == ({**where, **way}, guard)
