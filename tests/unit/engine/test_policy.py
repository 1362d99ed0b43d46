"""What a plan still needs, case by case; each answer is a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opsbook.book.catalogue import Risk
from opsbook.book.environments import OPEN, STRICT, Policy, RiskPolicy
from opsbook.book.people import Access
from opsbook.book.planned import Freeze, Window
from opsbook.engine.access import Actor, asker, asker_of, requester_of, watch_actor
from opsbook.engine.policy import Asker, Circumstances, missing, rule_of
from opsbook.engine.windows import holding_freezes, open_windows

ANN = Asker("ann")
FREEZE = Freeze(
    id="sale", start=datetime(2026, 11, 20, tzinfo=UTC), end=datetime(2026, 11, 30, tzinfo=UTC), reason="the sale"
)
BACKUP = Policy(destructive=RiskPolicy(backup_within=timedelta(hours=1)))
UNSEEN = {"unseen": (("api", "1.4.0"),), "earlier": "staging"}
OPERATORS = Policy(safe=RiskPolicy(roles=("operator",)))


def needs(risk: Risk, policy: Policy, who: Asker = ANN, **now: object) -> list[str]:
    circumstances = Circumstances("production", **now)  # type: ignore[arg-type]
    return [one.sentence for one in missing(risk, rule_of(policy, risk), policy, who, circumstances)]


@pytest.mark.parametrize(
    ("risk", "policy", "now", "expected"),
    [
        (Risk.DESTRUCTIVE, OPEN, {}, []),
        (Risk.SAFE, STRICT, {}, []),
        (Risk.DISRUPTIVE, STRICT, {}, ["approved by another person"]),
        (Risk.DISRUPTIVE, STRICT, {"approvers": frozenset({"ann"})}, ["approved by another person"]),
        (Risk.DISRUPTIVE, STRICT, {"approvers": frozenset({"bob"})}, []),
        (Risk.DESTRUCTIVE, STRICT, {}, ["approved by another person", "open maintenance window", "name typed"]),
        (Risk.DESTRUCTIVE, STRICT, {"windows": ("weekly",), "confirmed": True}, ["approved by another person"]),
        (Risk.DESTRUCTIVE, STRICT, {"break_glass": "fire"}, ["name typed"]),
        (Risk.SAFE, OPEN, UNSEEN, ["api 1.4.0 was not deployed in staging yet, which production comes after"]),
        (Risk.SAFE, STRICT, {**UNSEEN, "break_glass": "fire"}, []),
        (Risk.DISRUPTIVE, OPEN, {"freezes": (FREEZE,)}, ["frozen in production until 2026-11-30 00:00 (the sale)"]),
        (Risk.SAFE, OPEN, {"freezes": (FREEZE,)}, []),
        (Risk.DESTRUCTIVE, BACKUP, {"components": ("database",)}, ["backup of database, and there is none"]),
        (
            Risk.DESTRUCTIVE,
            BACKUP,
            {"components": ("database",), "backups": {"database": timedelta(hours=2)}},
            ["younger than 1:00:00; the newest is 2:00:00 old"],
        ),
        (
            Risk.DESTRUCTIVE,
            BACKUP,
            {"components": ("database",), "backups": {"database": timedelta(minutes=5)}},
            [],
        ),
    ],
)
def test_a_plan_needs_what_its_policy_says(
    risk: Risk, policy: Policy, now: dict[str, object], expected: list[str]
) -> None:
    found = needs(risk, policy, **now)
    assert len(found) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True))


def test_a_role_is_asked_for_by_name() -> None:
    assert needs(Risk.SAFE, OPERATORS, Asker("eve", frozenset({"viewer", "responder"}))) == [
        "a safe plan in production needs the role operator; eve has responder or viewer"
    ]
    assert needs(Risk.SAFE, OPERATORS, Asker("ann", frozenset({"operator"}))) == []


def test_a_viewer_runs_nothing_that_changes() -> None:
    viewer = Asker("eve", frozenset({"viewer"}))
    assert needs(Risk.READ, OPEN, viewer) == []
    assert len(needs(Risk.SAFE, OPEN, viewer)) == 1


def test_glass_is_broken_only_by_those_who_may() -> None:
    who = Asker("eve", frozenset({"responder"}))
    found = needs(Risk.DISRUPTIVE, STRICT, who, break_glass="fire")
    assert found == ["only operator or admin may break the glass, and eve is not"]
    assert needs(Risk.DISRUPTIVE, OPEN, break_glass="fire") == ["this environment's policy lets nobody break the glass"]


def test_a_procedure_can_have_a_rule_of_its_own() -> None:
    policy = Policy(procedures={"drop": RiskPolicy(approvals=2)})
    assert rule_of(policy, Risk.SAFE, "drop").approvals == 2
    assert rule_of(policy, Risk.SAFE, "other").approvals == 0


def test_roles_include_those_before_them_and_groups_count() -> None:
    access = Access(viewer=("eve",), operator=("group:ops",), everybody=None)
    assert asker(access, "ann", frozenset({"ops"})).roles == frozenset({"viewer", "responder", "operator"})
    assert asker(access, "eve", frozenset()).roles == frozenset({"viewer"})
    assert asker(access, "bob", frozenset()).roles == frozenset()
    assert asker(Access(), "bob", frozenset()).roles is None
    assert asker(Access(everybody="responder"), "bob", frozenset()).roles == frozenset({"viewer", "responder"})


WEEKLY = Window(id="weekly", rrule="FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", lasts=timedelta(hours=2))
SECOND = Window(id="second", rrule="FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;BYHOUR=2", lasts=timedelta(hours=2))
LATE = Window(id="late", rrule="FREQ=DAILY;BYHOUR=23", lasts=timedelta(hours=3), components=("database",))


@pytest.mark.parametrize(
    ("moment", "zone", "open_ones"),
    [
        ("2026-11-22T02:30", "UTC", ("weekly",)),
        ("2026-11-22T04:00", "UTC", ()),
        ("2026-11-22T01:59", "UTC", ("late",)),
        ("2026-11-22T08:30", "America/Mexico_City", ("weekly",)),
        ("2026-11-24T01:30", "UTC", ("late",)),
        ("2026-11-24T02:30", "UTC", ()),
        # Summer time ends at 03:00 of this Sunday; 02:30 is there twice, and both are inside.
        ("2026-10-25T00:30", "Europe/Berlin", ("weekly",)),
        ("2026-10-25T01:30", "Europe/Berlin", ("weekly",)),
    ],
)
def test_windows_are_open_by_the_clock_of_their_zone(moment: str, zone: str, open_ones: tuple[str, ...]) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert open_windows([WEEKLY, LATE], "production", ["database"], zone, now) == open_ones


def test_every_second_week_stays_the_same_week() -> None:
    sundays = [datetime(2026, 11, 1, 2, 30, tzinfo=UTC) + timedelta(weeks=n) for n in range(6)]
    found = [bool(open_windows([SECOND], "production", [], "UTC", one)) for one in sundays]
    assert found in ([True, False] * 3, [False, True] * 3)


def test_a_window_for_other_components_does_not_count() -> None:
    now = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    assert open_windows([LATE], "production", ["database", "api"], "UTC", now) == ()


def test_a_freeze_holds_between_its_ends() -> None:
    assert holding_freezes([FREEZE], "production", "UTC", datetime(2026, 11, 25, tzinfo=UTC)) == (FREEZE,)
    assert holding_freezes([FREEZE], "production", "UTC", datetime(2026, 11, 30, tzinfo=UTC)) == ()


def test_opsbook_itself_needs_no_role_and_only_where_it_is_told_so_no_people() -> None:
    access = Access(admin=("ann",))
    itself, user = asker_of(access, watch_actor("schedule backup/nightly")), asker_of(access, Actor("opsbook", "here"))
    told = Policy(destructive=STRICT.destructive.model_copy(update={"unattended": True}))

    assert needs(Risk.SAFE, STRICT, itself) == []
    assert len(needs(Risk.DESTRUCTIVE, STRICT, itself)) == 3
    assert needs(Risk.DESTRUCTIVE, told, itself, freezes=(FREEZE,)) == []
    assert any("needs the role" in one for one in needs(Risk.SAFE, STRICT, user))
    assert len(needs(Risk.DESTRUCTIVE, told, ANN)) == 3


def test_a_run_remembers_that_opsbook_itself_asked_for_it() -> None:
    actor = watch_actor("schedule backup/nightly")
    assert requester_of(Access(admin=("ann",)), actor.name, actor.asked_as).itself
    assert not requester_of(Access(), "opsbook", "").itself


def test_even_unattended_a_backup_is_needed_where_policy_asks_for_one() -> None:
    policy = Policy(destructive=RiskPolicy(unattended=True, backup_within=timedelta(hours=1)))
    itself = asker_of(Access(), watch_actor("schedule retention/logs"))
    (told,) = needs(Risk.DESTRUCTIVE, policy, itself, components=("database",))
    assert "verified backup" in told
