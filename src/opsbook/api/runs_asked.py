"""Asking for a run over the network: the plan is made, held against what was seen, and submitted."""

from __future__ import annotations

from pydantic import Field
from starlette.concurrency import run_in_threadpool

from opsbook.api.doors import Visit
from opsbook.api.house import House
from opsbook.api.parameters import Asked, Text, Values, Word
from opsbook.api.planning import plan_of
from opsbook.api.problems import NotFound
from opsbook.engine import acts
from opsbook.engine.policy import rule_of
from opsbook.engine.procedure import Plan
from opsbook.engine.service import Service, Wish
from opsbook.engine.views import View, view_of
from opsbook.errors import Refused, UsageError

SHORTEST_DIGEST = 12


class RunAsked(Asked):
    """How a run is asked for."""

    procedure: Word = Field(examples=["restart-workers"])
    parameters: Values = Field({}, max_length=100)
    digest: str = Field(
        "", pattern=r"^([0-9a-f]{12,64})?$", description="of the plan that you saw, its beginning at least"
    )
    confirm: str = Field("", max_length=120, description="the environment's name, where policy wants it typed")
    break_glass: Text = Field("", description="a reason to pass approvals and windows; it is recorded")
    new: bool = Field(False, description="another run, even where the same one has not ended")
    no_wait: bool = Field(False, description="refuse instead of waiting for another run that holds the same lock")

    async def ask(self, house: House, service: Service) -> tuple[str, bool]:
        """The run's id, and whether it is a new one. Raises Refused where the plan is not the one that was seen."""
        plan = await plan_of(service, self.procedure, self.parameters)
        if self.digest and not plan.digest.startswith(self.digest):
            raise Refused(
                f"the plan is not the one that you saw (now {plan.digest[:SHORTEST_DIGEST]})",
                f"look at it again: POST /api/v1/procedures/{self.procedure}/plan",
            )
        if not self.new and (same := await run_in_threadpool(service.pending, plan)):
            if self.no_wait and same.started_at is None:
                await run_in_threadpool(service.must_be_free, plan.procedure, same.id)
            if self.break_glass:
                view = await run_in_threadpool(view_of, service.setting.store, same.id)
                await house.act(
                    lambda: acts.break_glass(service.setting, service.system, view, service.actor, self.break_glass)
                )
            return same.id, False
        wish = Wish(self._confirmed(service, plan), self.break_glass, self.new, self.no_wait)
        # Not in the thread that writes: policy may look for backups in a bucket, and others write meanwhile.
        row = await run_in_threadpool(service.submit, plan, wish)
        return row.id, True

    def _confirmed(self, service: Service, plan: Plan) -> bool:
        rule = rule_of(service.system.policy, plan.procedure.risk, plan.procedure.name)
        if not rule.confirm:
            return bool(self.digest)
        if self.confirm and self.confirm != service.system.name:
            raise Refused("that is not the environment's name", "nothing was done")
        if self.confirm and not self.digest:
            raise UsageError("what is confirmed is one plan", "give its `digest` too")
        return bool(self.confirm)


def see(visit: Visit, run: str) -> View:
    """A run that is theirs to see. Blocking. Raises NotFound."""
    try:
        view = view_of(visit.setting.store, run)
    except UsageError as error:
        raise NotFound(error.message, error.hint) from error
    visit.must_reach(view.run)
    return view
