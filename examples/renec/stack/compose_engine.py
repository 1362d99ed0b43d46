"""The container engine: the one that answers here, else podman's service, started for this instance alone."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from stack import orphans
from stack.errors import StackError
from stack.images import cache_folder
from stack.instance import Instance
from stack.waiting import until

SOCKET, PID = "podman.sock", "podman.pid"
USUAL = ("/var/run/docker.sock", "/run/podman/podman.sock")
ANSWER_SECONDS = 20
LOAD_SECONDS = 600
OK, NOT_FOUND = 200, 404
START_SECONDS = 60


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(address: str, method: str, path: str, body: IO[bytes] | None = None) -> tuple[int, bytes]:
    """Status and answer of the Docker API. Raises OSError, http.client.HTTPException."""
    parts = urlsplit(address)
    connection = (
        UnixConnection(parts.path) if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    )  # fmt: skip
    connection.timeout = LOAD_SECONDS if body else ANSWER_SECONDS
    try:
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"} if body else {}
        connection.request(method, path, body, headers, encode_chunked=body is not None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(address: str) -> bool:
    """Whether an engine answers there."""
    try:
        return ask(address, "GET", "/_ping")[0] == OK
    except (OSError, http.client.HTTPException):
        return False


def told(address: str, method: str, path: str, body: IO[bytes] | None = None) -> Any:
    """What the engine says, None of what it does not know. Raises StackError."""
    try:
        status, said = ask(address, method, path, body)
    except (OSError, http.client.HTTPException) as error:
        raise StackError(
            f"the container engine at {address} does not answer: {error}", "renec up --on compose"
        ) from error
    if status == NOT_FOUND:
        return None
    if status != OK:
        raise StackError(f"the container engine: {said.decode(errors='replace').strip()[-400:]}")
    return said if body else json.loads(said)


def has_image(address: str, image: str) -> bool:
    return told(address, "GET", f"/images/{image}/json") is not None


def load(address: str, archive: Path) -> None:
    """Give the images of an archive to the engine."""
    with archive.open("rb") as file:
        told(address, "POST", "/images/load?quiet=1", file)


def containers(address: str, project: str) -> list[dict[str, Any]]:
    """What the engine holds of a compose project: `Labels`, `State` and more."""
    filters = quote(json.dumps({"label": [f"com.docker.compose.project={project}"]}))
    held: list[dict[str, Any]] = told(address, "GET", f"/containers/json?all=1&filters={filters}") or []
    return held


def found() -> str:
    """The address of an engine that runs already: DOCKER_HOST, or the first usual socket; else empty."""
    named = os.environ.get("DOCKER_HOST", "")
    if named:
        return named
    return next((f"unix://{path}" for path in USUAL if Path(path).exists() and answers(f"unix://{path}")), "")


def own(instance: Instance) -> str:
    """Where podman's service of this instance listens."""
    return f"unix://{instance.sockets / SOCKET}"


def start(instance: Instance) -> str:
    """The address of an engine that answers; podman's service is started where there is none."""
    given = found()
    if given:
        return given
    if answers(own(instance)):
        return own(instance)
    if shutil.which("podman") is None:
        raise StackError("no container engine answers here", "start docker, or install podman, netavark and runc")
    if os.geteuid() != 0:
        raise StackError("podman's service of another user cannot publish ports here", "start docker, or work as root")
    instance.sockets.joinpath(SOCKET).unlink(missing_ok=True)
    with (instance.folder("logs") / "podman.log").open("ab") as log:
        process = subprocess.Popen(
            ["podman", "system", "service", "--time=0", own(instance)],
            env=configured(instance), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    (instance.folder("pids") / PID).write_text(f"{process.pid}\n")
    until(lambda: answers(own(instance)), START_SECONDS, "podman did not answer",
          f"see {instance.folder('logs')}/podman.log")  # fmt: skip
    return own(instance)


def configured(instance: Instance) -> dict[str, str]:
    """The environment of podman: images are kept from one instance to the next, networks are this one's own."""
    folder = instance.folder("etc")
    images = cache_folder() / "podman"
    runs_systemd = Path("/run/systemd/system").exists()
    # Where no systemd runs, crun cannot make its cgroups.
    runc = "" if runs_systemd or not shutil.which("runc") else 'runtime = "runc"\n'
    manager = "" if runs_systemd else 'cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    (folder / "containers.conf").write_text(
        f'[engine]\n{runc}{manager}tmp_dir = "/run/renec-podman"\n'
        '[containers]\nlog_driver = "k8s-file"\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n'
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{instance.root}/networks"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{images}"\nrunroot = "/run/renec-podman/storage"\n'
    )
    return {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}  # fmt: skip


def stop(instance: Instance) -> None:
    """End the service that `start` started; one that ran before is not ours."""
    pid = orphans.first_number(instance.folder("pids") / PID)
    if pid is None:
        return
    if own(instance) in command_of(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        until(lambda: own(instance) not in command_of(pid), START_SECONDS, f"podman's service {pid} did not end")
    (instance.folder("pids") / PID).unlink(missing_ok=True)


def command_of(pid: int) -> str:
    """The command line of a process; empty of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
