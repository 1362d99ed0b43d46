"""What is advised, made so: a procedure for each server that is tuned, and each workload that is sized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opsbook.book.environments import KubernetesRuntime
from opsbook.book.system import System
from opsbook.connectors.http import HttpComponent, HttpSettings
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.redis import RedisComponent
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent
from opsbook.upkeep.templates import Steps, filled, listed

MEASURED = "10s"
RESTART = "  restart: {type: bool, default: false, doc: restart @component@ so that all of it holds at once}\n"
NOTE = (
    "\nWhat needs a restart holds from the next one on; with `restart=true` that is now, and requests fail for some"
    " seconds.\nWhere it is put back after that restart, the old value holds from the next one on."
)


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    for name, settings in system.components.items():
        if isinstance(settings, PostgresComponent | RedisComponent):
            yield f"tune-{name}", _tune(system, name)
        if _sized(system, name):
            yield f"resize-{name}", filled("resize", component=name, steps=_steps(system, name, _size(name)))


def _tune(system: System, name: str) -> str:
    settings = system.components[name]
    database = isinstance(settings, PostgresComponent)
    kind = "postgres" if database else "redis"
    steps = [("Set them.", "op", "id=settings timeout=10m on_failure=undo",
              f'{kind}.tune: {{of: {name}, settings: "{{{{ settings }}}}"}}')]  # fmt: skip
    restarts = database and bool(settings.workload)
    if restarts:
        how = 'id=restart when="restart" timeout=15m on_failure=undo'
        steps.append(("Start it anew, where that was asked for.", "op", how, f"workload.restart: {{of: {name}}}"))
    if database:
        steps.append(("It answers; what still waits for a restart is listed.", "sql",
                      f"id=waits on={name} retry=5 on_failure=undo", WAITING))  # fmt: skip
    checks = [one.id for one in system.checks if one.of == name and one.observe in HEALTH]
    if checks:
        steps.append(("It is well.", "check", "id=well retry=4 on_failure=undo", listed(checks)))
    parameter, note = (RESTART.replace("@component@", name), NOTE) if restarts else ("", "")
    asked = _steps(system, name, steps)
    example = "work_mem=8MB" if database else "tcp-keepalive=300"
    return filled("tune", component=name, steps=asked, restart_parameter=parameter, restart_note=note, example=example)


FIGURES = ("cpu_request", "memory_request", "cpu_limit", "memory_limit")
WAITING = "SELECT name, setting AS in_force, pending_restart FROM pg_settings WHERE pending_restart LIMIT 100"
HEALTH = ("postgres.up", "redis.up", "postgres.replicas", "redis.memory_ratio")

Step = tuple[str, str, str, str]


def _size(name: str) -> list[Step]:
    figures = ", ".join(
        f'{one}: "{{{{ {one} }}}}"' for one in ("cpu_request", "memory_request", "cpu_limit", "memory_limit")
    )
    return [("Set them; pods are replaced one by one.", "op", "id=limits timeout=30m on_failure=undo",
             f"workload.limits: {{of: {name}, {figures}}}")]  # fmt: skip


def _steps(system: System, name: str, steps: Sequence[Step]) -> str:
    """The steps between a measurement before and one after, where a service needs the component."""
    service = measured(system, name)
    every = list(steps)
    if service:
        asked = f"of: {service}, for: {MEASURED}{_path(system, service)}"
        before = ("How it is answered now.", "op", "id=before timeout=5m save=before", f"service.measure: {{{asked}}}")
        after = ("How it is answered then, against before.", "op", "id=after timeout=5m save=after on_failure=undo",
                 f'service.compare: {{{asked}, before_errors: "{{{{ before.errors }}}}", '
                 'before_p95: "{{ before.p95 }}"}')  # fmt: skip
        every = [before, *every, after]
    written = Steps()
    for said, kind, attributes, body in every:
        written.op(said, attributes, body, kind)
    return str(written)


def measured(system: System, component: str) -> str:
    """The service by which an effect is seen: the component itself, or the first that needs it; empty for none."""
    if isinstance(system.components[component], HttpSettings):
        return component
    for name, settings in system.components.items():
        if isinstance(settings, HttpComponent) and settings.workload and component in system.upstream(name):
            return name
    return ""


def _path(system: System, service: str) -> str:
    """What is asked: the path of the first smoke test that reads; a health page says little of the work."""
    settings = system.components[service]
    health = settings.health if isinstance(settings, HttpSettings) else ""
    found = (one.path for one in system.model.smoke_tests
             if one.of == service and one.method == "GET" and not one.headers and one.path != health)  # fmt: skip
    path = next(found, "")
    return f', path: "{path}"' if path else ""


def _sized(system: System, name: str) -> bool:
    if not isinstance(system.environment.runtime, KubernetesRuntime):
        return False
    try:
        return bool(workload_of(system, name))
    except Absent:
        return False
