"""The system in containers, by Docker Compose: `renec up --on compose`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache

from stack import compose_engine, compose_files, compose_switches, images, lifecycle, postgres, readiness, releases
from stack.compose_files import existing, lay_out, require
from stack.errors import StackError
from stack.instance import Instance
from stack.progress import Progress
from stack.setup import SEEDED_DAYS, SEEDED_ROWS
from stack.waiting import until

SWITCHES: Mapping[str, str] = compose_switches.SHOWS
FIRST = ("postgres", "redis", "pgbouncer", "registry-site")
READY_SECONDS = 120
PORTS = ("http", "https", "api", "api-green", "ui", "registry", "postgres", "replica", "pgbouncer", "redis", "webhook",
         "smtp", "prometheus", "alertmanager")  # fmt: skip


def up(progress: Progress) -> None:
    """Set up if needed, start what does not run, return when everything answers.

    If the first time fails or is interrupted, what it made is removed again.
    """
    instance = existing() or lay_out()
    with instance.lock(), lifecycle.interruptible():
        first = not instance.complete
        try:
            bring_up(instance, progress)
        except BaseException:
            if first:
                progress.say("  cleaning up")
                clear(instance)
            raise
    address = f"https://127.0.0.1:{instance.port('https')}"
    progress.say(f"Ready in {progress.seconds:.1f} s: {address} ({instance.run / 'env'})")


def bring_up(instance: Instance, progress: Progress) -> None:
    first = not instance.complete
    with progress.step("container engine"):
        address = compose_engine.start(instance)
        compose_files.write(instance, address)
    if not containers(instance):
        refuse_taken_ports(instance)
    wanted = [images.Release(releases.first_version()), images.Release(releases.NEXT_VERSION)]
    if first or any(not has_image(instance, one.image) for one in wanted):
        with progress.step("images"):
            load(instance, *wanted)
    if first:
        with progress.step(", ".join(FIRST)):
            compose(instance, "up", "-d", "--no-recreate", *FIRST)
            postgres.wait_for_primary(instance)
        with progress.step("roles, schema and seed rows"):
            postgres.make_roles(instance)
            seed = ["python3", "-m", "src.cli", "seed-logs", "--rows", str(SEEDED_ROWS), "--days", str(SEEDED_DAYS)]
            in_application(instance, ["python3", "-m", "alembic", "upgrade", "head"], seed)
        (instance.root / "complete").touch()
    with progress.step("every container"):
        compose(instance, "up", "-d", "--no-recreate")
    with progress.step("everything answers"):
        wait(instance)


def refuse_taken_ports(instance: Instance) -> None:
    taken = ", ".join(f"{instance.port(name)} ({name})" for name in PORTS if readiness.listens(instance.port(name)))
    if taken:
        raise StackError(f"ports are taken: {taken}", "set RENEC_PORT_BASE to a free range, or stop what listens there")


def load(instance: Instance, *wanted: images.Release) -> None:
    """Build images, give them to the engine, and keep their sources for who applies their migrations from here."""
    archive = images.build(*wanted)
    loaded = images.cache_folder() / f"loaded-{hashlib.sha256(engine_of(instance).encode()).hexdigest()[:12]}"
    known = loaded.read_text().split() if loaded.exists() else []
    if archive.name not in known or not all(has_image(instance, one.image) for one in wanted):
        compose_engine.load(compose_files.engine(instance), archive)
        loaded.write_text(archive.name)
    for one in wanted:
        compose_files.keep_sources(instance, one)


def engine_of(instance: Instance) -> str:
    """What tells the engine's store of images from another's."""
    address = compose_files.engine(instance)
    return "podman of this example" if address == compose_engine.own(instance) else address


def variables(instance: Instance) -> dict[str, str]:
    """The environment of commands that speak to the engine."""
    return {**os.environ, "DOCKER_HOST": compose_files.engine(instance), "COMPOSE_HTTP_TIMEOUT": "300"}


@cache
def compose_command() -> tuple[str, ...]:
    """`docker compose`, else `docker-compose`. Raises StackError where neither is installed."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise StackError("docker compose is not installed", "install docker's compose plugin, or docker-compose")


def compose(instance: Instance, *arguments: str) -> str:
    """What compose printed. Raises StackError with what it said."""
    done = subprocess.run(
        [*compose_command(), *arguments], cwd=instance.root, env=variables(instance),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise StackError(f"{' '.join((*compose_command(), *arguments[:2]))}: {said}")
    return done.stdout


def in_application(instance: Instance, *commands: Sequence[str]) -> None:
    """Run commands one after the other as the application would, in a container that goes afterwards."""
    line = " && ".join(" ".join(one) for one in commands)
    compose(instance, "run", "--rm", "--no-deps", "-T", "celery-beat", "sh", "-c", line)


def has_image(instance: Instance, image: str) -> bool:
    return compose_engine.has_image(compose_files.engine(instance), image)


def containers(instance: Instance) -> list[tuple[str, str]]:
    """Service and state of each container of this instance."""
    held = compose_engine.containers(compose_files.engine(instance), compose_files.project(instance))
    known = ((one.get("Labels") or {}, str(one.get("State"))) for one in held)
    return [(str(labels.get("com.docker.compose.service", "")), state) for labels, state in known
            if labels.get("com.docker.compose.oneoff", "False") != "True"]  # fmt: skip


def wait(instance: Instance) -> None:
    """Return when what people call answers, and every worker listens."""
    said = "see `renec status --on compose`"
    until(lambda: compose_files.through_nginx(instance), READY_SECONDS, "the API and the page did not answer", said)
    until(lambda: postgres.accepts(postgres.url(instance, "postgres", "replica")), READY_SECONDS,
          "the standby did not answer", said)  # fmt: skip
    until(lambda: compose_files.workers(instance) >= 1, READY_SECONDS, "no worker listens", said)
    until(lambda: readiness.answers(f"http://127.0.0.1:{instance.port('prometheus')}/-/ready"), READY_SECONDS,
          "Prometheus did not answer", said)  # fmt: skip


def down() -> None:
    """Stop every container and podman's service where it is ours; the data stay."""
    instance = existing()
    if instance is None:
        return
    with instance.lock():
        if reachable(instance):
            compose(instance, "stop")
        compose_engine.stop(instance)


def reachable(instance: Instance) -> bool:
    """Whether the engine answers; that of this instance is started for it."""
    return bool(compose_engine.start(instance))


def destroy() -> None:
    """Remove containers, networks, volumes and the folder. Images stay, as with any engine."""
    instance = existing()
    if instance is None:
        return
    with instance.lock():
        clear(instance)


def clear(instance: Instance) -> None:
    if (instance.root / ".env").exists() and reachable(instance):
        with suppress(StackError):
            compose(instance, "kill")
        for last in (False, False, True):
            try:
                compose(instance, "down", "--volumes", "--remove-orphans", "--timeout", "5")
                break
            except StackError:  # podman refuses to remove what ends at the same moment
                if last:
                    raise
    compose_engine.stop(instance)
    compose_files.remove(instance)


def status() -> int:
    """0 where everything that should run does, else 1."""
    instance = existing()
    if instance is None:
        print("not set up")
        return 1
    if not compose_engine.answers(compose_files.engine(instance)):
        print("down")
        return 1
    held = containers(instance)
    whole = True
    for service, replicas in compose_files.wanted(instance).items():
        mine = [state for name, state in held if name == service]
        alive = mine.count("running")
        whole = whole and alive >= replicas
        of = "" if replicas == 1 else f"{alive} of {replicas}"
        others = sorted({state for state in mine if state != "running"})
        print(f"{service:<18}{'running' if alive else 'stopped':<9}{of:<8}{' '.join(others)}".rstrip())
    for name in compose_switches.thrown(instance):
        print(f"switch thrown: {name} ({SWITCHES[name]})")
    return 0 if whole else 1


def throw(name: str, parameters: Mapping[str, float]) -> None:
    """Throw a switch."""
    instance = require()
    with instance.lock():
        compose_switches.throw(instance, name, json.dumps(dict(parameters)), compose)


def mend(name: str) -> Sequence[str]:
    """Mend a switch, or `all`; those that are not thrown are left alone."""
    instance = require()
    with instance.lock():
        names = sorted(compose_switches.thrown(instance), key=lambda one: one != "database-down")
        chosen = names if name == "all" else [name]
        for one in chosen:
            compose_switches.mend(instance, one, compose)
    return chosen


def harvest(mode: str) -> int:
    """Crawl the register beside a worker."""
    command = ("python3", "-m", "src.launch", "python3", "-m", "src.cli", "harvest", "--mode", mode, "--quiet")
    print(compose(require(), "exec", "-T", "celery-worker", *command).strip())
    return 0


def release(version: str, fault: str, migration: bool) -> str:
    """Make the image of another release; the name of it."""
    instance = require()
    one = images.Release(version, fault, migration)
    if has_image(instance, one.image):
        raise StackError(f"release {version} exists", "choose another version")
    load(instance, one)
    compose_files.keep_sources(instance, one)
    return one.image
