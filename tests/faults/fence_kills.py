"""Steps that are no operation, killed at every border and in the middle: requests that read, and such that change."""

from __future__ import annotations

from pathlib import Path

from opsbook.engine.procedure import Procedure
from tests.faults.operation_kills import Bench
from tests.faults.operations_elsewhere import HttpSite
from tests.faults.sites import Case, given
from tests.faults.world import World

HEAD = "---\ntitle: Ask\nrisk: destructive\n---\n1. Ask.\n"
FENCES = {
    "http-get": "   ```http id=it on=api\n   GET /x\n   ```\n",
    "http-post": '   ```http id=it on=api\n   POST /x\n   Content-Type: application/json\n\n   {"a": 1}\n   ```\n',
    "http-put": "   ```http id=it on=api idempotent\n   PUT /x\n\n   a\n   ```\n",
}
AGAIN = frozenset({"http-get", "http-put"})
"""Those that may be sent again."""


def asked(method: str) -> Case:
    """Counted by the server that is asked."""
    return Case("api", given(), HttpSite.forget, lambda site: site.seen[method])


CASES = {"http-get": asked("GET"), "http-post": asked("POST"), "http-put": asked("PUT")}


class FenceBench(Bench):
    """A server that counts, and procedures with one fence."""

    def __init__(self, folder: Path) -> None:
        super().__init__(HttpSite, folder, CASES)

    def idempotent(self, operation: str) -> bool:
        return operation in AGAIN

    def procedure(self, world: World, operation: str) -> Procedure:
        folder = world.folder / "procedures"
        folder.mkdir(exist_ok=True)
        (folder / f"{operation}.md").write_text(HEAD + FENCES[operation])
        return world.service().procedure(operation)
