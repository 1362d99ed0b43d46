"""Grants held against what is allowed."""

from __future__ import annotations

from opsbook.observations.postgres_access import Grant, beyond


def test_only_what_is_not_allowed_to_the_role_is_left() -> None:
    grants = [
        Grant("public.jobs", "app", ("DELETE", "SELECT")),
        Grant("public.jobs", "report", ("SELECT",)),
        Grant("public.jobs", "PUBLIC", ("SELECT",)),
    ]
    assert beyond(grants, {"app": ["SELECT"], "report": ["SELECT", "INSERT"]}) == [
        Grant("public.jobs", "app", ("DELETE",)),
        Grant("public.jobs", "PUBLIC", ("SELECT",)),
    ]


def test_nothing_is_allowed_to_a_role_that_is_not_named() -> None:
    assert beyond([Grant("public.jobs", "old", ("SELECT",))], {}) == [Grant("public.jobs", "old", ("SELECT",))]
