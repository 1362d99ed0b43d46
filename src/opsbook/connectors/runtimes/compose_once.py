"""One command in a container of its own, as `compose run` makes it: no ports, no name by which a proxy finds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.runtimes import compose_create
from opsbook.connectors.runtimes.compose_api import ApiFault, NotThere
from opsbook.connectors.runtimes.compose_make import Maker
from opsbook.connectors.runtimes.compose_record import image_of
from opsbook.connectors.runtimes.once import LONGEST_SAID, Once, Ran
from opsbook.errors import Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose

KEY = "opsbook.key"
LOOK_SECONDS = 0.3
NOT_STARTED = ("created", "initialized")
CONFLICT = (409, 500)
"""docker answers 409 where a name is taken, podman 500 or 409."""


async def run(compose: Compose, wanted: Once, out: Sink) -> Ran:
    """See `once.run_once`."""
    name = await _begun(compose, wanted, out)
    clock = asyncio.get_running_loop().time
    deadline = clock() + wanted.timeout
    while True:
        now = await compose.api.call("inspect_container", name)
        state = now["State"]
        if not state.get("Running") and state.get("Status") not in NOT_STARTED:
            break
        if clock() > deadline:
            await removed(compose, name)
            return Ran(None, f"it did not end within {wanted.timeout:g} s\n")
        await asyncio.sleep(LOOK_SECONDS)
    said = (await compose.api.call("logs", name, stdout=True, stderr=True))[:LONGEST_SAID].decode(errors="replace")
    await out.write(said)
    await removed(compose, name)
    return Ran(int(state.get("ExitCode", 1)), said)


async def end(compose: Compose, name: str, key: str) -> bool:
    """See `once.end_once`."""
    named = named_for(compose, name)
    try:
        there = await compose.api.call("inspect_container", named)
    except NotThere:
        return True
    if (there["Config"].get("Labels") or {}).get(KEY) == key:
        await removed(compose, named)
    return True


def named_for(compose: Compose, name: str) -> str:
    return f"{compose.file.project}-{name}"


def config_of(wanted: compose_create.Wanted, once: Once) -> dict[str, Any]:
    """The body of `POST /containers/create`: the service's own, without what leads requests to it."""
    config = dict(wanted.config)
    for key in ("ExposedPorts", "Healthcheck"):
        config.pop(key, None)
    host = {key: value for key, value in config["HostConfig"].items() if key != "PortBindings"}
    host["RestartPolicy"] = {"Name": "no"}
    env = [line for line in config["Env"] if line.partition("=")[0] not in once.env]
    config |= {
        "HostConfig": host, "Entrypoint": [], "Cmd": list(once.argv), "Healthcheck": {"Test": ["NONE"]},
        "Env": [*env, *(f"{name}={value}" for name, value in once.env.items())],
        "Labels": {**config["Labels"], compose_create.ONE_OFF: "True", KEY: once.key},
    }  # fmt: skip
    if once.folder:
        config["WorkingDir"] = once.folder
    if wanted.networks:
        first = next(iter(wanted.networks))
        config["NetworkingConfig"] = {"EndpointsConfig": {first: {}}}
    return config


async def _begun(compose: Compose, once: Once, out: Sink) -> str:
    """The name of the container that carries the key, made and started. Raises Refused for one of somebody else."""
    service, named = compose.service(once.workload), named_for(compose, once.name)
    image = image_of(once.version, service.image)
    await Maker(compose, once.workload, once.timeout, out).image_id(image)
    wanted = compose_create.wanted(compose.file, service, 1, named, image)
    for _ in range(3):
        try:
            await compose.api.call("create_container_from_config", config_of(wanted, once), named)
        except ApiFault as error:
            if error.code not in CONFLICT or "in use" not in error.message:
                raise ChangeFailed(f"{named} could not be made: {error.message}", "correct the compose file") from error
            there = await compose.api.call("inspect_container", named)
            if (there["Config"].get("Labels") or {}).get(KEY) == once.key:
                if there["State"].get("Status") not in NOT_STARTED:
                    return named
                # Cut off before it ran: nobody knows which of its networks it has.
                await removed(compose, named)
                continue
            if there["State"].get("Running"):
                raise Refused(f"{named} is under way already", "wait until it has ended") from error
            await removed(compose, named)
            continue
        for network in list(wanted.networks)[1:]:
            await compose.api.call("connect_container_to_network", named, network)
        try:
            await compose.api.call("start", named)
        except ApiFault as error:
            await removed(compose, named)
            raise ChangeFailed(f"{named} could not be started: {error.message}", "is the command in the image?"
                               ) from error  # fmt: skip
        await out.write(f"started {named}\n")
        return named
    raise Refused(f"{named} is being removed", "try again in a moment")


async def removed(compose: Compose, name: str) -> None:
    try:
        await compose.api.call("remove_container", name, force=True)
    except NotThere:
        return
