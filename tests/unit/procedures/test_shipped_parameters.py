"""Parameters of the example's runbooks that become names of files cannot lead out of their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.compile import load_procedures
from opsbook.engine.expressions import ExpressionError
from opsbook.engine.parameters import parse_parameters
from opsbook.engine.values import fill
from opsbook.errors import UsageError

OPS = Path(__file__).parents[3] / "examples" / "renec" / "ops"
NAMES = (("data-export", "name"), ("data-export", "to"), ("deploy-version", "version"), ("rollback-version", "version"),
         ("api-outage", "rollback_to"))  # fmt: skip


@pytest.fixture(scope="module")
def system() -> System:
    return in_environment(load_book(OPS / "book.yaml", catalogue()))


@pytest.mark.parametrize(("procedure", "parameter"), NAMES)
def test_a_name_cannot_lead_out_of_its_folder(system: System, procedure: str, parameter: str) -> None:
    found = load_procedures(system, catalogue())[procedure]
    for hostile in ("../../x", "/etc/x", "a/../../b", "..", "-rf", "a b", "a\nb", ".hidden"):
        with pytest.raises(UsageError, match=parameter):
            parse_parameters(found, [f"{parameter}={hostile}"], system)
    assert parse_parameters(found, [f"{parameter}=v1"], system)[parameter] == "v1"


def test_the_bundle_of_an_export_can_be_taken_back(system: System) -> None:
    steps = {step.id: step for step in load_procedures(system, catalogue())["data-export"].steps}
    assert steps["bundle"].undo is not None


def test_a_scope_of_no_age_is_refused_in_words(system: System) -> None:
    found = load_procedures(system, catalogue())["emergency-database-maintenance"]
    step = next(one for one in found.steps if one.id == "end-long")
    with pytest.raises(ExpressionError) as refused:
        fill(step, {"older_than": "0s"}, system)
    assert "postgres.terminate: older_than is 0s, which would meet every session" in str(refused.value)
