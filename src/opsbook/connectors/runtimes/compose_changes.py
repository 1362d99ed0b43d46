"""Changes of services, as effects that can be shown before they happen.

Effects say the desired state, so that applying one twice does it once; what is there now is evidence; the images seen,
and the service as the file has it, are the guard. No value of an environment is in any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes import compose_create
from opsbook.connectors.runtimes.arguments import (
    DeployArguments,
    ExecArguments,
    NoArguments,
    RollbackArguments,
    ScaleArguments,
    StartArguments,
    read,
)
from opsbook.connectors.runtimes.compose_api import NotThere
from opsbook.connectors.runtimes.compose_record import image_of, version_of
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.errors import Absent, Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.compose_containers import Container
    from opsbook.connectors.runtimes.compose_file import Service

KIND = "compose"


async def planned(compose: Compose, workload: str, verb: Verb, arguments: dict[str, Any]) -> Change:
    """The change that the verb would be now. Raises UsageError, Unsupported or Refused with the reason."""
    given = read(workload, verb, arguments)
    found = await compose.containers(workload)
    if verb is Verb.EXEC:
        return _exec(workload, given)
    if verb is Verb.STOP:
        return _stop(compose, workload, found, given)
    if verb is Verb.RESTART:
        return _restart(workload, found, given)
    service = compose.service(workload)
    if verb is Verb.START:
        return _start(compose, service, found, given)
    if verb is Verb.SCALE:
        return _scale(compose, service, found, given)
    return await _deploy(compose, service, found, given, verb)


def evidence(found: Sequence[Container]) -> dict[str, Any]:
    """What is there now."""
    return {
        "ready": sum(one.ready for one in found),
        "containers": {one.name: {"state": one.instance().state, "image": one.image} for one in found},
    }


def _guard(found: Sequence[Container], service: Service | None) -> dict[str, Any]:
    guard: dict[str, Any] = {"images": sorted({one.image for one in found})}
    return {**guard, "definition": service.digest} if service else guard


def _makeable(service: Service, replicas: int, lacking: int) -> None:
    """Raises Unsupported where containers would have to be made that cannot be."""
    if lacking > 0:
        compose_create.refuse_strange(service)
    if replicas > 1 and (why := compose_create.alone(service)):
        raise Unsupported(
            f"there can be one container of {service.name} only: {why}",
            "let the engine choose the port (`ports: ['80']`) and put a proxy before it",
        )


def _start(compose: Compose, service: Service, found: Sequence[Container], given: StartArguments) -> Change:
    active = sum(one.active for one in found)
    replicas = given.replicas if given.replicas is not None else len(found) or service.replicas
    _makeable(service, replicas, replicas - len(found))
    image = compose.record.wanted(service.name, service.image)
    image = image_of(given.version, service.image) if given.version else image
    effect = {"verb": Verb.START.value, "workload": service.name, "replicas": replicas, "image": image,
              "wait": given.wait}  # fmt: skip
    down = [needed for needed in service.needs if needed in compose.file.services]
    seen = {**evidence(found), **({"needs": down} if down else {})}
    undo = Change(KIND, {"verb": Verb.STOP.value, "workload": service.name, "wait": given.wait})
    return Change(KIND, effect, seen, _guard(found, service), "nothing to undo: it runs already" if active else undo)


def _stop(compose: Compose, workload: str, found: Sequence[Container], given: NoArguments) -> Change:
    active = [one for one in found if one.active]
    effect = {"verb": Verb.STOP.value, "workload": workload, "wait": given.wait}
    back: Change | str = "it does not run now"
    service = compose.file.services.get(workload)
    if active:
        # Those that are stopped are started again: nothing is made.
        start = {"verb": Verb.START.value, "workload": workload, "replicas": len(active), "image": active[0].image,
                 "wait": given.wait}  # fmt: skip
        back = Change(KIND, start, guard=_guard(active, service))
    return Change(KIND, effect, evidence(found), _guard(found, None), back)


def _restart(workload: str, found: Sequence[Container], given: NoArguments) -> Change:
    active = [one for one in found if one.active]
    if not active:
        raise Refused(f"nothing of {workload} runs, so that nothing can be restarted", "start it")
    effect = {"verb": Verb.RESTART.value, "workload": workload, "containers": [one.name for one in active],
              "wait": given.wait}  # fmt: skip
    guard = {"ids": {one.name: one.id for one in active}}
    return Change(
        KIND, effect, evidence(found), guard, "a restart has no undo; the containers run again when it is done"
    )


def _scale(compose: Compose, service: Service, found: Sequence[Container], given: ScaleArguments) -> Change:
    _makeable(service, given.replicas, given.replicas - len(found))
    active = [one for one in found if one.active]
    image = active[0].image if active else compose.record.wanted(service.name, service.image)

    def to(count: int) -> dict[str, Any]:
        return {"verb": Verb.SCALE.value, "workload": service.name, "replicas": count, "image": image,
                "wait": given.wait}  # fmt: skip

    guard = _guard(found, service)
    back = Change(KIND, to(len(active)), guard={**guard, "images": sorted({*guard["images"], image})})
    return Change(KIND, to(given.replicas), evidence(found), guard, back)


async def _deploy(
    compose: Compose,
    service: Service,
    found: Sequence[Container],
    given: DeployArguments | RollbackArguments,
    verb: Verb,
) -> Change:
    compose_create.refuse_strange(service)
    active = [one for one in found if one.active]
    running = sorted({one.image for one in active})
    before = running[-1] if running else compose.record.wanted(service.name, service.image)
    image = image_of(given.version, service.image) if given.version else compose.record.previous(service.name, before)
    if not image:
        raise Refused(f"there is no version of {service.name} before {version_of(before, service.image)} to go back to",
                      "name one with `version`")  # fmt: skip

    def to(target: str, how: Verb) -> dict[str, Any]:
        return {"verb": how.value, "workload": service.name, "version": version_of(target, service.image),
                "image": target, "replicas": len(active), "wait": given.wait}  # fmt: skip

    seen = {**evidence(found), "version": version_of(before, service.image), **await _image(compose, service, image)}
    if why := compose_create.alone(service):
        seen["gap"] = f"{why}, so that the old one stops before the new one starts"
    other = next((one for one in [*reversed(running), before] if one != image), "")
    back: Change | str = "nothing to undo: it runs this version already"
    if other:
        guard = {"images": [image], "definition": service.digest}
        back = Change(KIND, to(other, Verb.ROLLBACK), guard=guard)
    return Change(KIND, to(image, verb), seen, _guard(found, service), back)


async def _image(compose: Compose, service: Service, image: str) -> dict[str, Any]:
    """Whether the image is here. Raises Absent for one that is not, where nothing may be pulled."""
    try:
        await compose.api.call("inspect_image", image)
        return {}
    except NotThere as error:
        local = image.startswith("localhost/") or service.settings.get("pull_policy") == "never"
        if local:
            raise Absent(f"there is no image {image} on this engine", "build or load it first") from error
        return {"pull": image}


def _exec(workload: str, given: ExecArguments) -> Change:
    effect = {"verb": Verb.EXEC.value, "workload": workload, "argv": list(given.argv), "timeout": given.timeout}
    more = {name: value for name, value in (("env", given.env), ("secrets", given.secrets)) if value}
    return Change(KIND, {**effect, **more}, inverse="what a command did, only its author knows")
