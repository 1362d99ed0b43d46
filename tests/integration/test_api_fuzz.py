"""Whatever schemathesis makes of the description of the API is answered as the description says, and never by a fault.

`OPSBOOK_FUZZ` is how many cases are made of each operation; the faults' sweep makes many more than `make test`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from opsbook.api.pings import ping_id
from opsbook.watch.links import link_key
from tests.unit.api.conftest import Doors
from tests.unit.api.conftest import open_doors as open_doors
from tests.unit.api.test_watch_routes import WATCHED
from tests.unit.conftest import migrated as migrated

CASES = int(os.environ.get("OPSBOOK_FUZZ", "4"))
SEED = 20261121
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
WELL_SO = {502, 503}
"""Nothing is behind the components of the book that is used here: that is said, and no fault."""


@pytest.fixture
def doors(open_doors: Callable[..., Doors]) -> Doors:
    return open_doors(WATCHED)


def operations(doors: Doors) -> Iterator[Any]:
    """Every operation but the streams, which never end."""
    schema = schemathesis.openapi.from_dict(doors.app.openapi())
    schema.app = doors.app
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.endswith("/events"):
            yield operation


def known(doors: Doors) -> dict[str, str]:
    """Path parameters that lead somewhere, by what the path is of."""

    async def made() -> dict[str, str]:
        admin = doors.client()
        run = (await admin.post("/api/v1/runs", json={"procedure": "careful"})).json()["id"]
        incident = (await admin.post("/api/v1/incidents", json={"title": "down"})).json()["incident"]["id"]
        checklist = (await admin.post("/api/v1/checklists", json={"name": "handover"})).json()["id"]
        job = ping_id(link_key(doors.setting.folder), "kiln", "production", "nightly")
        return {
            "runs": run, "incidents": incident, "checklists": checklist, "ping": job, "procedures": "careful",
            "checks": "api-up", "components": "api", "observations": "http.up", "windows": "weekly",
            "acknowledge": incident,
        }  # fmt: skip

    return asyncio.run(made())


def cases(operation: Any) -> st.SearchStrategy[Any]:
    """Requests as they are described, and requests as they are not."""
    strategies = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
    if operation.definition.raw.get("parameters") or operation.definition.raw.get("requestBody"):
        strategies.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    return st.one_of(strategies)


def hold(operation: Any, token: str, name: str, answered: Counter[int]) -> None:
    """Many requests of one operation; where there is a name, three of four lead somewhere."""

    @seed(SEED)
    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(operation), leads=st.integers(0, 3))
    def each(case: Any, leads: int) -> None:
        if leads and name and case.path_parameters:
            case.path_parameters = {**case.path_parameters, next(iter(case.path_parameters)): name}
        response = case.call(headers={"Authorization": f"Bearer {token}", "Host": "127.0.0.1"})
        answered[response.status_code] += 1
        if response.status_code not in WELL_SO:
            case.validate_response(response, checks=CHECKS)

    each()


@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore")
def test_no_operation_answers_by_a_fault_or_as_it_was_not_described(doors: Doors) -> None:
    token, names = doors.token("cleo", "admin"), known(doors)
    answered: Counter[int] = Counter()
    for operation in operations(doors):
        subject = operation.path.removeprefix("/api/v1").split("/")[1]
        hold(operation, token, names.get(subject, ""), answered)
    told = ", ".join(f"{code}: {count}" for code, count in sorted(answered.items()))
    print(f"schemathesis: {answered.total()} answers ({told})")
    assert answered.total() > 60 and answered[500] == 0
    assert any(200 <= code < 300 for code in answered)
