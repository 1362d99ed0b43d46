"""What each verb of a runtime is told, the same on every runtime: a procedure must not depend on where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from opsbook.book.catalogue import Parameters
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import UsageError


class NoArguments(Parameters):
    """Nothing more to say."""

    wait: float = Field(60, gt=0, le=3600, description="seconds that one instance may take to be ready")


class StartArguments(NoArguments):
    """How much of a workload that is down is started."""

    replicas: int | None = Field(None, ge=0, description="how many instances; as many as the runtime knows if left out")
    version: str = Field("", description="version of what is made anew; the one deployed last where left out")


class ScaleArguments(NoArguments):
    """How many instances."""

    replicas: int = Field(ge=0, description="how many instances are to run")
    autoscaler: bool = Field(False, description="bring its autoscaler to exactly this number, where one holds it")


class DeployArguments(NoArguments):
    """Which version."""

    version: str = Field(min_length=1, description="the version, as the runtime names it")


class RollbackArguments(NoArguments):
    """Which version; the one before where left out."""

    version: str = Field("", description="the version, as the runtime names it; the one before where left out")


class ExecArguments(Parameters):
    """A command in the place and environment of the workload."""

    argv: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell reads them")
    timeout: float = Field(600, gt=0, le=86400, description="seconds after which it is ended")
    env: dict[str, str] = Field({}, description="further variables of its environment; they stand in no argv")
    secrets: dict[str, str] = Field({}, description="further variables by their reference, taken when it is run")


ARGUMENTS: Mapping[Verb, type[Parameters]] = {
    Verb.START: StartArguments,
    Verb.STOP: NoArguments,
    Verb.RESTART: NoArguments,
    Verb.SCALE: ScaleArguments,
    Verb.DEPLOY: DeployArguments,
    Verb.ROLLBACK: RollbackArguments,
    Verb.EXEC: ExecArguments,
}


def read(workload: str, verb: Verb, arguments: Mapping[str, Any]) -> Any:
    """The arguments in their types. Raises UsageError with what is expected."""
    try:
        return ARGUMENTS[verb].model_validate(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        told = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        expected = "expected: " + ", ".join(ARGUMENTS[verb].model_fields)
        raise UsageError(f"{verb.value} of {workload}: {told}", expected) from error
