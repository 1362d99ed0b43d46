"""What a prune shows and removes, and what it leaves wherever it is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.unit.recovery.stored import Shelf, shelf

from opsbook.cli.generations_view import picture, reasons
from opsbook.connectors.backups import pruning
from opsbook.connectors.backups.attempts import sweep
from opsbook.connectors.backups.catalogue import backup_named, listing
from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.backups.pruning import SECOND, delete, prunings
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.recovery.packaged import packaged_procedures
from opsbook.recovery.pruning import Mark, rules, timeline, zone_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
KEEP = {"daily": 3}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Shelf]:
    """Six nights, of which three stay."""
    made = shelf(tmp_path, {"id": "nightly", "keep": KEEP, "copy_to": str(tmp_path / "copies")})
    for n in range(6, 0, -1):
        made.take(NOW - timedelta(days=n))
    yield made


def looked(made: Shelf, place: int = 0) -> dict[str, str]:
    """Stamp → why it stays; empty where it goes."""
    found = prunings(made.system, backup_named(made.system, "nightly"), NOW, made.head.public)[place]
    return {one.stored.manifest.stamp: one.why if one.kept else "" for one in found.chosen}


def pruned(made: Shelf) -> None:
    backup = backup_named(made.system, "nightly")
    for one in prunings(made.system, backup, NOW, made.head.public):
        for going in one.going:
            delete(made.system, backup, one.place, going.stored.manifest.stamp, one.stays, NOW, made.head.public)


def test_it_says_why_each_stays_and_what_goes(days: Shelf) -> None:
    first, damaged, held, foreign = (one for one in days.taken[:4])
    days.prove(first)
    days.prove(damaged, good=False)
    days.hold(held)
    days.hold(foreign, until=NOW - timedelta(hours=1))
    other = days.take(NOW - timedelta(days=9), environment="production")
    found = looked(days)
    assert found[first.stamp] == "newest that is proven"
    assert (found[damaged.stamp], found[foreign.stamp]) == ("", "daily 3 of 3")
    assert found[held.stamp] == "held: audit (the audit of 2025)"
    assert found[other.stamp] == "of the environment production"
    assert looked(days, 1) == found, "the copies are judged by what lies beside the originals"


def test_it_removes_what_goes_from_both_stores_and_nothing_is_copied_back(days: Shelf) -> None:
    stay = [one.stamp for one in days.taken[3:]]
    pruned(days)
    assert days.stamps() == days.stamps(second=True) == stay
    days.take(NOW - timedelta(hours=1))
    assert days.stamps(second=True) == [*stay, days.taken[-1].stamp]
    assert "" in looked(days).values(), "the new one makes another go"


def test_a_second_store_that_lags_keeps_what_it_has(days: Shelf) -> None:
    """Where copying failed for long, the last copies are the only ones there."""
    for one in days.taken[2:]:
        for each in list(days.store(second=True).list(one.folder)):
            days.store(second=True).delete(each.key)
    pruned(days)
    assert days.stamps(second=True) == [one.stamp for one in days.taken[:2]]


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("deletions", range(1, 6))
def test_killed_at_any_deletion_no_half_backup_is_listed_and_the_next_prune_ends_it(
    days: Shelf, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    days.prove(days.taken[0])
    days.prove(days.taken[1])
    victim, done = days.taken[0], 0
    real = FolderStore.delete

    def deadly(self: FolderStore, key: str) -> None:
        nonlocal done
        done += 1
        if done == deletions:
            raise Killed
        real(self, key)

    backup = backup_named(days.system, "nightly")
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "delete", deadly)
        with pytest.raises(Killed):
            delete(days.system, backup, "first", victim.stamp, days.taken[-1].stamp, NOW)
    listed = days.stamps()  # every one of them is whole
    assert (victim.stamp in listed) is (deletions == 1)
    assert delete(days.system, backup, "first", victim.stamp, days.taken[-1].stamp, NOW) == ""
    assert not list(days.store().list(victim.folder))


def test_what_dead_attempts_left_is_swept_though_nothing_goes(days: Shelf) -> None:
    victim = days.taken[0]
    store = days.store()
    store.delete(f"{victim.folder}/manifest.json")
    old = (NOW - timedelta(days=30)).timestamp()
    for one in store.list(victim.folder):
        os.utime(Path(store.address) / one.key, (old, old))
    assert listing(store, "nightly").attempts == (victim.folder,)
    assert sweep(store, "nightly", NOW) == [victim.folder]
    assert not list(store.list(victim.folder))


def test_a_drill_that_begins_after_the_plan_keeps_its_backup(days: Shelf) -> None:
    victim, backup = days.taken[0], backup_named(days.system, "nightly")
    with (
        opened_backup(days.system, "nightly", victim.stamp) as opened,
        opened.held("drill-run1", "a drill restores it", NOW, timedelta(hours=1)),
    ):
        why = delete(days.system, backup, "first", victim.stamp, days.taken[-1].stamp, NOW)
        assert why == "held: drill-run1 (a drill restores it)"
        assert delete(days.system, backup, SECOND, victim.stamp, days.taken[-1].stamp, NOW) == why
        assert victim.stamp in days.stamps()
    assert delete(days.system, backup, "first", victim.stamp, days.taken[-1].stamp, NOW) == ""


def test_nothing_goes_where_the_one_that_stays_was_lost_or_found_damaged_meanwhile(days: Shelf) -> None:
    victim, stays, backup = days.taken[0], days.taken[-1], backup_named(days.system, "nightly")
    days.prove(stays, good=False)
    told = delete(days.system, backup, "first", victim.stamp, stays.stamp, NOW)
    assert told == f"nightly/{stays.stamp}, which was to stay, is not good any more"
    days.store().delete(f"{stays.folder}/manifest.json")
    assert delete(days.system, backup, "first", victim.stamp, stays.stamp, NOW) == told
    assert victim.stamp in days.stamps()


def test_a_manifest_that_cannot_be_read_is_never_deleted(days: Shelf) -> None:
    victim, backup = days.taken[0], backup_named(days.system, "nightly")
    days.store().put(f"{victim.folder}/manifest.json", b'{"format": 99}')
    assert (
        delete(days.system, backup, "first", victim.stamp, days.taken[-1].stamp, NOW) == "its manifest cannot be read"
    )
    assert victim.stamp not in looked(days)


@pytest.mark.parametrize("width", [40, 80])
def test_the_picture_fits_the_terminal_and_marks_each_period(days: Shelf, width: int) -> None:
    days.prove(days.taken[-1])
    days.hold(days.taken[0])
    chosen = prunings(days.system, backup_named(days.system, "nightly"), NOW)[0].chosen
    console = Console(width=width, record=True, file=open(os.devnull, "w"), highlight=False)  # noqa: SIM115
    picture(console, chosen, NOW, zone_of(days.system, backup_named(days.system, "nightly")))
    console.print(reasons(chosen, NOW, wide=width >= 60))
    text = console.export_text()
    lines = text.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "··◆−−○○●·" in lines[0], lines[0]
    assert "◆ held  ● proven  ○ unproven" in " ".join(lines[3:5])
    zone = zone_of(days.system, backup_named(days.system, "nightly"))
    assert timeline(chosen, "monthly", 3, NOW, zone) == [Mark.NONE, Mark.NONE, Mark.HELD]


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({}, "all"),
        ({"daily": 7, "weekly": 4, "monthly": 12}, "7 daily, 4 weekly, 12 monthly"),
        ({"last": 2, "within": "30d"}, "the last 2, all of 30d"),
    ],
)
def test_the_rules_are_said_in_words(tmp_path: Path, keep: dict[str, Any], words: str) -> None:
    system = shelf(tmp_path, {"id": "nightly", "keep": keep}).system
    assert rules(backup_named(system, "nightly").keep) == words
    assert words in packaged_procedures(system)["prune-nightly"]
    assert pruning.FIRST == "first"
