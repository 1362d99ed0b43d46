"""What a book may name: component kinds, observations, operations. The rooms above register them and hand them in.

So that adding one is a single new file in its own room, and the book still validates every name, parameter and unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension
from opsbook.book.values import VariableName


class Strict(BaseModel):
    """Unknown keys are errors, everywhere in a book."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, defer_build=True)


class Parameters(Strict):
    """The typed parameters of an observation or operation. Each field needs a description."""


class Component(Strict):
    """A part of the system. A connector's own file says which further keys its kind has."""

    kind: str = Field(description="what it is; decides which connector talks to it")
    description: str = Field("", description="one line for people")
    owner: str = Field("", description="who answers for it; a name of `contacts`")
    depends_on: tuple[str, ...] = Field(
        (), description="components without which it cannot work; their fault explains its own"
    )
    workload: str = Field("", description="its name in the runtime (deployment, service, program), where it has one")
    replicas: int | None = Field(None, ge=0, description="how many instances should run")
    env: tuple[VariableName, ...] = Field((), description="names of environment variables that its workload needs")
    container: str = Field("", description="which container of an instance is meant, where it has several")
    through: Literal["", "runtime"] = Field(
        "", description="`runtime`: its address is one inside the cluster, reached by a port-forward of its own"
    )

    linked: ClassVar[tuple[str, ...]] = ()
    """Fields whose value is the name of another component: they imply a dependency."""


class Risk(StrEnum):
    """What an operation can do to people. Static, set in code, never guessed from input."""

    READ = "read"
    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        return list(Risk).index(self)


class Cost(StrEnum):
    """What reading an observation costs the managed system."""

    CHEAP = "cheap"
    MODERATE = "moderate"
    HEAVY = "heavy"


class NoParameters(Parameters):
    """Nothing can be said about it."""


@dataclass(frozen=True)
class ObservationSpec:
    """A named read-only fact."""

    name: str
    doc: str
    dimension: Dimension
    kinds: tuple[str, ...]
    parameters: type[Parameters] = NoParameters
    cost: Cost = Cost.CHEAP
    warning: Threshold | None = None
    critical: Threshold | None = None
    follows: bool = True
    """Whether a fault of a component that is needed can be why it is bad. What is set or written down is not."""
    vital: bool = False
    """Whether it tells that the component is there at all; what else is wrong with an absent one follows from that."""
    quiet: bool = False
    """Whether it is a time that opsbook takes: what else opsbook does meanwhile would be in it."""


@dataclass(frozen=True)
class OperationSpec:
    """A named change."""

    name: str
    doc: str
    kinds: tuple[str, ...]
    risk: Risk
    idempotent: bool
    parameters: type[Parameters] = NoParameters
    riskier: Mapping[str, Risk] = field(default_factory=dict)
    """Parameter → the risk where it is on."""

    def risk_with(self, given: Mapping[str, Any]) -> Risk:
        """The risk with these parameters; one that is not known yet (a template) may be on."""
        off = (None, False, "", "false")
        found = [self.risk, *(risk for name, risk in self.riskier.items() if given.get(name) not in off)]
        return max(found, key=lambda one: one.rank)


@dataclass(frozen=True)
class Catalogue:
    """All that is registered, by name. Going through one of them imports all its modules; asking for one does not."""

    components: Mapping[str, type[Component]] = field(default_factory=dict)
    observations: Mapping[str, ObservationSpec] = field(default_factory=dict)
    operations: Mapping[str, OperationSpec] = field(default_factory=dict)
