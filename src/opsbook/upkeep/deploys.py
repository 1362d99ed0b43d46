"""The deploys of a book as procedures: for each component with a workload, a way forth and a way back.

A deploy is made of steps that each know their way back, in this order: what must be true, how it is now, a backup, the
schema, the version, its proofs. Where a proof fails, everything goes back in reverse by itself: first the application,
then the schema, which its plan has shown to be possible or not before anything began.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta

from opsbook.book.delivery import Deploy, Deploys, Gate, SmokeTest
from opsbook.book.environments import ComposeRuntime, KubernetesRuntime
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.http import HttpSettings
from opsbook.connectors.sides import has_sides
from opsbook.errors import Refused
from opsbook.upkeep.templates import Steps, filled, listed

VERSION = '{type: text, pattern: "[A-Za-z0-9][A-Za-z0-9._+-]*", doc: "the version, as the runtime names it"}'
BEFORE = VERSION.replace('pattern: "', 'default: "", pattern: "|').replace(
    "as the", "the one before where left out; as the"
)
VALUES = '{type: text, pattern: "[{].*[}]", doc: "keys and their new texts as a JSON object; null takes a key out"}'
SPARE = timedelta(minutes=5)
SWITCH = timedelta(minutes=5)
BEFORE_LASTS = timedelta(seconds=10)
"""How long it is measured before a deploy, where it is not watched for less."""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of `deploy-…` and `rollback-…` of each component that has versions."""
    for name, component in system.components.items():
        if not component.workload or not (name in system.model.deploys.components or is_application(component.kind)):
            continue
        settings = settings_of(system.model.deploys, name)
        text = {"component": name, "watch": span(settings.watch or timedelta(0))}
        if has_sides(system, name):
            yield f"deploy-{name}-blue-green", filled("deploy", **text, steps=str(_sides(system, name, settings)),
                                                      version=VERSION, how=BLUE_GREEN)  # fmt: skip
        yield f"deploy-{name}-rolling", filled("deploy", **text, steps=str(_rolling(system, name, settings)),
                                               version=VERSION, how=ROLLING)  # fmt: skip
        yield f"deploy-{name}-hotfix", filled("deploy", **text, steps=str(_hotfix(system, name, settings)),
                                              version=VERSION, how=HOTFIX)  # fmt: skip
        own = system.model.deploys.components.get(name, Deploy())
        if own.config is not None or isinstance(system.environment.runtime, KubernetesRuntime | ComposeRuntime):
            yield f"deploy-{name}-config", filled("configure", **text, steps=str(_config(system, name, settings)),
                                                  values=VALUES)  # fmt: skip
        back = {"component": name, "risk": "disruptive", "version": BEFORE, "what": "The schema stays as it is."}
        yield f"rollback-{name}", filled("rollback", **back, steps=str(_back(system, name, settings)))
        if system.model.deploys.migrations is not None:
            back |= {"risk": "destructive", "version": VERSION, "what": WITH_SCHEMA}
            steps = str(_back(system, name, settings, schema=True))
            yield f"rollback-{name}-with-schema", filled("rollback", **back, steps=steps)


ROLLING = "One instance after the other is brought to the version, so that nobody meets a closed door."
BLUE_GREEN = (
    "The side without traffic is brought to the version and proven; then traffic is switched, watched, and the old "
    "side stopped."
)
WITH_SCHEMA = (
    "The schema goes back too, by the downgrades of the newer version: what they drop is lost. It is refused where one "
    "of them cannot be reversed."
)
HOTFIX = "For a fault that hurts now: no backup, no long watch; the schema stays as it is."


def settings_of(deploys: Deploys, component: str) -> Deploy:
    """What holds for a component: its own settings, and those of all where it has none."""
    own = deploys.components.get(component, Deploy())
    shared = {name: getattr(deploys, name) for name in Deploy.model_fields}
    said = {name: value for name, value in own if value not in (None, "", 0)}
    return Deploy.model_construct(**{**shared, **said})


def procedure_of(system: System, component: str, strategy: str = "") -> str:
    """The procedure of a strategy; of the book's where none is named. Raises Refused for one that there is not."""
    wanted = strategy or settings_of(system.model.deploys, component).strategy or "rolling"
    if wanted == "recreate":
        raise Refused(recreated(component), RECREATED)
    return f"deploy-{component}-{wanted}"


def recreated(component: str) -> str:
    """Why it is not deployed as the book says: two versions would run together where that is not wanted."""
    return (
        f"the book wants {component} to be stopped before its new version starts (`recreate`), which opsbook cannot do"
    )


RECREATED = (
    "on Kubernetes write `strategy: Recreate` in its Deployment and `rolling` in the book; "
    "`--strategy rolling` lets two versions run together for a moment"
)


def _rolling(system: System, component: str, settings: Deploy) -> Steps:
    text = _begun(system, component, settings)
    wait = settings.wait or timedelta(minutes=10)
    text.op("Bring it to the version.", f"id=deploy timeout={span(wait * 4)} on_failure=undo",
            _brought("deploy", component, wait))  # fmt: skip
    proven(text, system, component, settings)
    return text


def _sides(system: System, component: str, settings: Deploy) -> Steps:
    text = _begun(system, component, settings)
    wait = settings.wait or timedelta(minutes=10)
    drain = settings.drain or timedelta(seconds=30)
    text.op("Bring the side without traffic to the version, and prove it.",
            f"id=bring-up timeout={span(wait * 4)} on_failure=undo",
            f'side.bring_up: {{of: {component}, version: "{{{{ version }}}}", wait: {span(wait)}}}')  # fmt: skip
    patience = span(switch_lasts(settings))
    text.op("Send the traffic there.", f"id=switch timeout={patience} save=switched on_failure=undo",
            f"traffic.switch: {{of: {component}}}")  # fmt: skip
    proven(text, system, component, settings)
    text.op("Stop the old side.", f"id=retire timeout={span(drain + SPARE)}",
            f"side.retire: {{of: {component}, drain: {span(drain)}, " 'keep: "{{ switched.active }}"}')  # fmt: skip
    return text


def switch_lasts(settings: Deploy) -> timedelta:
    """How long sending the traffic of a component to its other side may take."""
    # Containers that are made anew with other labels take their time; everything else is a matter of seconds.
    wait = settings.wait or timedelta(minutes=10)
    return max(SWITCH, wait * 4) if settings.labels else SWITCH


def _hotfix(system: System, component: str, settings: Deploy) -> Steps:
    text = Steps()
    wait = settings.wait or timedelta(minutes=10)
    text.op("Bring it to the version.", f"id=deploy timeout={span(wait * 4)} on_failure=undo",
            _brought("deploy", component, wait))  # fmt: skip
    if speaks(system, component):
        text.op("It answers.", "id=answers timeout=5m on_failure=undo",
                f"service.compare: {{of: {component}, for: 10s, errors: {_errors(settings) or 0.05}}}")  # fmt: skip
    return text


def _config(system: System, component: str, settings: Deploy) -> Steps:
    text = _begun(system, component, settings, schema=False)
    wait = settings.wait or timedelta(minutes=10)
    text.op("Give it the values.", f"id=configure timeout={span(wait * 4)} on_failure=undo",
            'config.deploy: {'
            f'of: {component}, values: "{{{{ values }}}}", wait: {wait.total_seconds():g}}}')  # fmt: skip
    proven(text, system, component, settings)
    text.op("Remove versions that nothing uses, but for the newest.", "id=prune timeout=5m on_failure=continue",
            f"config.prune: {{of: {component}}}")  # fmt: skip
    return text


def _back(system: System, component: str, settings: Deploy, *, schema: bool = False) -> Steps:
    text, wait = Steps(), settings.wait or timedelta(minutes=10)
    migrations = system.model.deploys.migrations
    if migrations is not None and not schema:
        text.op(
            "Whether the schema could go back too.",
            "id=outlook timeout=5m",
            f'migrations.outlook: {{of: {migrations.of}, component: {component}, version: "{{{{ version }}}}"}}',
        )
    text.op("The application first: that is what people notice, and the older code runs on the newer schema.",
            f"id=rollback timeout={span(wait * 4)} save=rolled",
            _brought("rollback", component, wait))  # fmt: skip
    if schema and migrations is not None:
        text.op("Then the schema.", "id=schema timeout=1h retry=2",
                f'migrations.back_to: {{of: {migrations.of}, version: "{{{{ version }}}}"}}')  # fmt: skip
    if speaks(system, component):
        text.op("It answers.", "id=answers timeout=5m",
                f"service.compare: {{of: {component}, for: 10s, errors: 0.05}}")  # fmt: skip
    return text


def _brought(verb: str, component: str, wait: timedelta) -> str:
    return f'workload.{verb}: {{of: {component}, version: "{{{{ version }}}}", wait: {wait.total_seconds():g}}}'


def _begun(system: System, component: str, settings: Deploy, *, schema: bool = True) -> Steps:
    """What must be true, how it is now, a backup, the schema."""
    text, deploys = Steps(), system.model.deploys
    for gate in deploys.gates:
        # One that asks about a version says nothing of a configuration.
        if schema or not asks_about_version(gate):
            held(text, gate)
    if deploys.checklist:
        checklist(text, system, deploys.checklist)
    if checks := _checks(system, component, settings):
        text.op("It is well: a deploy on top of a fault hides both.", "id=well retry=2", listed(checks), "check")
    measured(text, system, component, settings)
    migrations = deploys.migrations
    if migrations is None or not schema:
        return text
    backup = next((one.id for one in system.model.backups if one.of == migrations.of and one.method == "dump"
                   and one.to and system.holds(one.environments)), "")  # fmt: skip
    if migrations.backup_before and backup:
        text.op("A backup, before the schema changes.", "id=backup timeout=12h",
                f"backup.take: {{of: {migrations.of}, backup: {backup}}}")  # fmt: skip
    text.op("Bring the schema to what the version wants.", "id=schema timeout=1h retry=2 on_failure=undo",
            f'migrations.upgrade: {{of: {migrations.of}, version: "{{{{ version }}}}"}}')  # fmt: skip
    return text


def proven(text: Steps, system: System, component: str, settings: Deploy, *, of: str = "", when: str = "") -> None:
    """Smoke tests, the watch, the checks: whatever fails takes everything back.

    `of` ends the ids of the steps where several components are proven in one procedure; `when` is their condition.
    """
    if any(one.of == component for one in system.model.smoke_tests):
        tests = f", tests: [{', '.join(settings.smoke_tests)}]" if settings.smoke_tests else ""
        text.op("The smoke tests.", f"id=smoke{of} timeout=10m on_failure=undo{when}",
                f"smoke.test: {{of: {component}{tests}}}")  # fmt: skip
    if settings.watch:
        _watched(text, system, component, settings, of, when)
    if checks := _checks(system, component, settings):
        text.op("The checks say so too.", f"id=as-before{of} retry=3 on_failure=undo{when}", listed(checks), "check")


def _watched(text: Steps, system: System, component: str, settings: Deploy, of: str, when: str) -> None:
    """For as long as `watch` says: by its answers and its checks, or by its checks where it answers no requests."""
    watch, saved = settings.watch or timedelta(0), saved_as(of)
    undo, held = "undo" if settings.rollback is not False else "stop", _held(system, component, settings, saved)
    attributes = f"id=watch{of} timeout={span(watch + SPARE)} on_failure={undo}{when}"
    asked = f"of: {component}, for: {span(watch)}"
    if speaks(system, component):
        errors, latency = _errors(settings), span(settings.latency) if settings.latency else ""
        limits = (f", errors: {errors}" if errors else "") + (f", latency: {latency}" if latency else "")
        before = f', before_errors: "{{{{ {saved}.errors }}}}", before_p95: "{{{{ {saved}.p95 }}}}"'
        page = _page(system, component, settings, saved)
        text.op("Watch it, against before: worse goes back at once.", attributes,
                f"service.compare: {{{asked}{page}{before}{limits}{held}}}")  # fmt: skip
    elif held:
        text.op("Watch it, against before: a check that turns bad takes it back at once.", attributes,
                f"checks.hold: {{{asked}{held}}}")  # fmt: skip


def measured(text: Steps, system: System, component: str, settings: Deploy, *, of: str = "", when: str = "") -> None:
    """How it answers, and how its checks are, before anything changes: what `proven` holds the version against."""
    attributes = f"id=before{of} timeout=5m save={saved_as(of)}{when}"
    looked = _looked(system, component, settings) if settings.watch else ""
    if speaks(system, component):
        before = min(BEFORE_LASTS, settings.watch or BEFORE_LASTS)
        asked = f"of: {component}, for: {span(before)}{_path(system, component, settings)}"
        text.op("How it answers now, to hold the version against.", attributes, f"service.measure: {{{asked}{looked}}}")
    elif looked:
        text.op("How its checks are now, to hold the version against.", attributes,
                f"checks.look: {{of: {component}{looked}}}")  # fmt: skip


def saved_as(of: str) -> str:
    """The name under which `measured` saves what it found."""
    return "before" + re.sub(r"[^a-z0-9]", "_", of)


def asks_about_version(gate: Gate) -> bool:
    """Whether its answer is another one for another version."""
    return "{version}" in gate.url + "".join(gate.command)


def held(text: Steps, gate: Gate, version: str = "version", *, of: str = "", when: str = "") -> None:
    """A gate before a deploy of the version that a parameter names; `of` and `when` as for `proven`."""
    named = f"id=gate-{gate.id}{of}"
    if gate.kind == "command":
        words = " ".join(_word(word, version) for word in gate.command)
        text.op(f"Gate {gate.id}.", f"{named} risk=read timeout=1h{when}", words, "sh")
    elif gate.kind == "url":
        url = gate.url.replace("{version}", f"{{{{ {version} }}}}")
        text.op(f"Gate {gate.id}.", f'{named} expect="200 <= status < 300"{when}', f"GET {url}", "http")
    elif gate.kind == "person":
        text.act(gate.text)


def checklist(text: Steps, system: System, name: str) -> None:
    """Its checks are held; everything else is an act that a person ticks. A procedure is named, and run by itself."""
    lines = system.model.checklists[name].items
    if checks := [one.check for one in lines if one.check]:
        text.op("What the checklist has checked.", "id=checklist retry=2", listed(checks), "check")
    for one in lines:
        if not one.check and not one.optional:
            text.act(one.text + (f" (opsbook run {one.procedure})" if one.procedure else ""))


def _word(word: str, version: str) -> str:
    """A word of a gate's command, the version a single shell word in it."""
    parts = [shlex.quote(part) if part else "" for part in word.split("{version}")]
    return f"{{{{ {version} }}}}".join(parts)


def _checks(system: System, component: str, settings: Deploy) -> list[str]:
    """The checks that a deploy is held against: those that the book names, else all of the component's own."""
    if settings.checks is not None:
        return [one.id for one in system.checks if {one.id, *one.groups} & set(settings.checks)]
    return [one.id for one in system.checks if one.of == component]


def _looked(system: System, component: str, settings: Deploy) -> str:
    """Its checks as a parameter; empty where it has none."""
    found = _checks(system, component, settings)
    return f", checks: [{', '.join(found)}]" if found else ""


def _held(system: System, component: str, settings: Deploy, saved: str) -> str:
    """The checks that are held while it is watched, but for those that were bad before."""
    looked = _looked(system, component, settings)
    return f'{looked}, bad_before: "{{{{ {saved}.bad | default([]) }}}}"' if looked else ""


def _path(system: System, component: str, settings: Deploy) -> str:
    """The path that is asked, as a parameter; its health page where there is no better one."""
    asked = _asked(system, component, settings)
    return f', path: "{asked.path}"' if asked else ""


def _page(system: System, component: str, settings: Deploy, saved: str) -> str:
    """What is asked, and what each answer must be: as the smoke test says, else as before."""
    asked = _asked(system, component, settings)
    if asked is None:
        return f', before_status: "{{{{ {saved}.status | default(0) }}}}"'
    # What would be read as a template of the procedure is left to the smoke test itself.
    holds = asked.contains and "{{" not in asked.contains
    contains = f", contains: {json.dumps(asked.contains, ensure_ascii=False)}" if holds else ""
    return f', path: "{asked.path}", status: {asked.status}{contains}'


def _asked(system: System, component: str, settings: Deploy) -> SmokeTest | None:
    """The first smoke test that reads something, if any: a health page says little of the work."""
    found, wanted = system.components[component], settings.smoke_tests or ()
    health = found.health if isinstance(found, HttpSettings) else ""
    for one in system.model.smoke_tests:
        reads = one.of == component and one.method == "GET" and not one.headers and one.path != health
        if reads and (not wanted or one.id in wanted):
            return one
    return None


def speaks(system: System, component: str) -> bool:
    """Whether it answers requests."""
    return isinstance(system.components[component], HttpSettings)


def is_application(kind: str) -> bool:
    """Whether what is of this kind is the team's own code, with versions of its own."""
    return kind in ("http", "celery", "workload", "celery-beat")


def _errors(settings: Deploy) -> str:
    return "" if settings.errors is None else f"{float(settings.errors):g}"


def span(of: timedelta | None) -> str:
    """A duration as an attribute of a step says it."""
    return write_duration(of.total_seconds()).replace(" ", "") if of else "0s"
