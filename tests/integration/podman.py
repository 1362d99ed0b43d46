"""A podman of its own with a Docker API on a socket, and small images without a registry; stopped by its pid."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.system import System
from tests.integration.servers import make_system, until

NETAVARK = Path("/usr/lib/podman/netavark")


def lacking() -> str:
    """Why there can be no podman here; empty where there can."""
    if shutil.which("podman") is None:
        return "podman is not installed"
    if os.geteuid() != 0:
        return "podman needs root"
    return "" if NETAVARK.exists() else "netavark is not installed"


class Podman:
    """One engine in a folder.

    All engines of root on a host share one server of names, which knows networks by their names alone: of two networks
    named alike the second is never answered. So every engine has a project, and with it a network, of its own name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "api.sock"
        self.project = f"shop-{secrets.token_hex(3)}"
        self.file = folder / "compose.yaml"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf"),
                "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf")}  # fmt: skip

    def configure(self) -> None:
        chosen = 'runtime="runc"\n' if shutil.which("runc") or Path("/usr/sbin/runc").exists() else ""
        (self.folder / "containers.conf").write_text(
            f'[engine]\n{chosen}cgroup_manager="cgroupfs"\nevents_logger="file"\ntmp_dir="{self.folder}/tmp"\n'
            '[containers]\nlog_driver="k8s-file"\n'
            'default_ulimits=["nofile=4096:4096","nproc=4096:4096"]\n'
            f'[network]\nnetwork_backend="netavark"\nnetwork_config_dir="{self.folder}/networks"\n'
        )
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver="vfs"\ngraphroot="{self.folder}/storage"\nrunroot="{self.folder}/run"\n'
        )

    def start(self) -> Podman:
        self.configure()
        with (self.folder / "service.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["podman", "system", "service", "--time=0", self.address], env=self.environment, stdout=log, stderr=log
            )
        until(self.socket.exists, 60, what="podman listens")
        return self

    def image(self, *tags: str) -> None:
        """Images that hold nothing but links: programs are those of this host, mounted read-only."""
        root = self.folder / "rootfs"
        for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "var", "run"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            if not (root / name).is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        packed = self.folder / "rootfs.tar"
        with tarfile.open(packed, "w") as tar:
            tar.add(root, ".")
        for tag in tags:
            said = ["-c", f"ENV APP_VERSION={tag}", "-c", "ENV PATH=/usr/bin:/usr/sbin"]
            argv = ["podman", "import", "-q", *said, str(packed), f"localhost/base:{tag}"]
            subprocess.run(argv, env=self.environment, check=True, capture_output=True, timeout=60)

    def write(self, services: Mapping[str, Any], **more: Any) -> None:
        """The compose file."""
        self.file.write_text(yaml.safe_dump({"name": self.project, "services": dict(services), **more}))

    def system(self, components: dict[str, dict[str, Any]], **runtime: str) -> System:
        settings = {"kind": "compose", "file": str(self.file), "host": self.address, **runtime}
        return make_system(self.folder, components, environments={"test": {"policy": "open", "runtime": settings}})

    def client(self) -> Any:
        import docker

        return docker.APIClient(base_url=self.address, timeout=30)

    def stop(self) -> None:
        if self.process is None:
            return
        client = self.client()
        with suppress(Exception):
            for one in client.containers(all=True):
                client.remove_container(one["Id"], force=True)
            for network in client.networks():
                if network["Name"] != "podman":
                    client.remove_network(network["Id"])
        client.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@contextmanager
def new_podman(*tags: str) -> Iterator[Podman]:
    """An engine with images of these tags. Its folder is on a disk: layers want one."""
    folder = Path(tempfile.mkdtemp(prefix="opsbook-podman-", dir="/var/tmp"))
    engine = Podman(folder)
    try:
        engine.start().image(*tags)
        yield engine
    finally:
        engine.stop()
        _removed(folder)


def _removed(folder: Path) -> None:
    """Mounts of what has just ended may linger a moment."""
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
        for place in reversed(mounted):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def python(program: str, **keys: Any) -> dict[str, Any]:
    """A service that runs a Python program of this host."""
    return {"image": "localhost/base:1", "command": ["python3", "-S", "-c", program.replace("$", "$$")],
            "volumes": ["/usr:/usr:ro"], "stop_grace_period": "2s", **keys}  # fmt: skip
