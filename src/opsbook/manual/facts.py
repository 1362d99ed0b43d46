"""What a manual says, as typed items. Every item has the 1-based `line` on which it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Component:
    """A part of the system.

    `kind`: api, ui, worker, scheduler, database, cache, proxy, monitoring, queue, bucket, other.
    """

    line: int
    name: str
    kind: str
    replicas: int | None = None
    port: int | None = None
    workload: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Named:
    """An endpoint, namespace, database, user, image, bucket, host or table that the manual names, at its first
    place."""

    line: int
    name: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class System:
    """The system that the manual is about."""

    line: int
    name: str
    components: tuple[Component, ...] = ()
    endpoints: tuple[Named, ...] = ()
    namespaces: tuple[Named, ...] = ()
    databases: tuple[Named, ...] = ()
    users: tuple[Named, ...] = ()
    tables: tuple[Named, ...] = ()
    images: tuple[Named, ...] = ()
    buckets: tuple[Named, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure that is watched: its ranges as written (`<200ms`), how long, and what to do."""

    line: int
    metric: str
    normal: str = ""
    warning: str = ""
    critical: str = ""
    target: str = ""
    expr: str = ""
    for_: str = ""
    severity: str = ""
    action: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A promise: `kind` is RTO, RPO or SLO, `scope` what it holds for."""

    line: int
    kind: str
    value: str
    scope: str = "system"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup that is taken, or said to be."""

    line: int
    what: str
    frequency: str = ""
    time: str = ""
    retention: str = ""
    destination: str = ""
    how: str = ""


@dataclass(frozen=True, kw_only=True)
class Severity:
    """A class of incidents or alerts with the times promised for it."""

    line: int
    name: str
    response: str = ""
    resolution: str = ""
    means: str = ""


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """One level of an escalation path."""

    line: int
    level: str
    who: str = ""
    within: str = ""
    contact: str = ""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A time at which maintenance is done."""

    line: int
    name: str
    day: str = ""
    time: str = ""
    timezone: str = ""
    frequency: str = ""
    duration: str = ""
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long something is kept."""

    line: int
    what: str
    keep: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a procedure: numbered in a list, or by a comment in a block."""

    line: int
    text: str
    commands: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """A command or statement of a procedure."""

    line: int
    text: str
    language: str
    comment: str = ""
    destructive: str = ""


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Something that people do: where it stands, its steps and commands, and why it is destructive, if it is."""

    line: int
    title: str
    path: tuple[str, ...]
    end_line: int
    steps: tuple[Step, ...] = ()
    commands: tuple[CommandLine, ...] = ()
    prose: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    destructive: bool = False
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """A list of boxes to tick."""

    line: int
    title: str
    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Whom to reach and how."""

    line: int
    role: str
    channel: str
    availability: str = ""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A PromQL expression."""

    line: int
    column: int
    title: str
    expression: str


@dataclass(frozen=True, kw_only=True)
class ConfigBlock:
    """A block of configuration: `language` and, where it can be told, `what` it configures."""

    line: int
    language: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A link from one place to a section of the same manual, a file beside it, or elsewhere."""

    line: int
    text: str
    target: str
    kind: str
    resolves: bool | None = None
