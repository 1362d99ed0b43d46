"""The version that a rehearsal deploys: the next one that lies there, in the order of versions."""

from __future__ import annotations

import pytest

from opsbook.connectors.runtimes.brought import tags
from opsbook.operations.registry import operations
from opsbook.rehearsal.deriving import FINDERS, next_to


def test_tags_of_the_own_repository_alone_are_versions_and_in_their_order() -> None:
    images = ["localhost/renec:1.10.0", "localhost/renec:1.9.0", "localhost/renec-base:2", "localhost/renec:<none>",
              "localhost/renec@sha256:ab", "other/renec:7"]  # fmt: skip
    assert tags("localhost/renec", images) == ["1.9.0", "1.10.0"]


@pytest.mark.parametrize(
    ("runs", "chosen"), [("1.0.0", "1.9.0"), ("1.9.0", "1.10.0"), ("1.10.0", "1.9.0"), ("", "1.0.0")]
)
def test_the_next_version_is_tried_else_the_last_before(runs: str, chosen: str) -> None:
    assert next_to(runs, ["1.0.0", "1.9.0", "1.10.0"]) == chosen


def test_where_no_other_version_lies_none_is_chosen() -> None:
    assert next_to("1.0.0", ["1.0.0"]) == ""


@pytest.mark.parametrize("name", ["side.bring_up", "workload.deploy"])
def test_whatever_deploys_a_version_is_given_one(name: str) -> None:
    assert (name, "version") in FINDERS
    assert "version" in operations()[name].spec.parameters.model_fields
