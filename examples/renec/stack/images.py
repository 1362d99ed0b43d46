"""Images of releases, for Compose and Kubernetes: an archive as `docker save` writes it, made without a registry.

Three layers: Debian with the servers, the Python packages, the sources of one release. The first two are kept in the
user's cache folder, so another release costs seconds. Making the first needs root and Debian's package server.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import image_archive, image_root, releases
from stack.errors import StackError
from stack.image_archive import Layer
from stack.instance import EXAMPLE

REPOSITORY = "localhost/renec"
PYTHON_OF_THE_IMAGE = "3.11"
# pip asks the interpreter that it runs in what else a package needs: below Python 3.11.3 redis needs this.
ALSO = ("async-timeout",)
SITE_PACKAGES = "opt/renec/site-packages"
KEPT_ARCHIVES = 6
ENVIRONMENT = {
    "PATH": "/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONPATH": f"/{SITE_PACKAGES}",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RENEC_SETTINGS": "/etc/renec/app.env",
}


@dataclass(frozen=True)
class Release:
    """A version to build, as `renec release` would make it."""

    version: str
    fault: str = ""
    migration: bool = False

    @property
    def image(self) -> str:
        return f"{REPOSITORY}:{self.version}"


def build(*wanted: Release) -> Path:
    """One archive with an image of each release, for `podman load` or for a cluster.

    The same releases give the same archive, at once. Raises StackError where a layer cannot be made here.
    """
    folder = cache_folder()
    with alone(folder), tempfile.TemporaryDirectory(dir=folder) as scratch:
        below = [base_layer(folder), packages_layer(folder)]
        images = {one.image: [*below, sources_layer(Path(scratch), one)] for one in wanted}
        told = json.dumps({image: [layer.digest for layer in layers] for image, layers in images.items()})
        archive = folder / f"image-{short_sum(told.encode())}.tar"
        if not archive.exists():
            image_archive.write(archive, images, ENVIRONMENT, "/app")
        archive.touch()
        forget_old(folder)
    return archive


def cache_folder() -> Path:
    """Where layers and archives are kept between builds."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "renec-images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One build at a time: two would make the same layer twice."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def short_sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def base_layer(folder: Path) -> Layer:
    """Debian 12 with the servers; from the archive of an image that RENEC_BASE_IMAGE names, if any."""
    given = os.environ.get("RENEC_BASE_IMAGE", "")
    base = Path(given) if given else None
    if base and not base.is_file():
        raise StackError(f"no archive of an image at {base}", "RENEC_BASE_IMAGE is a file as `docker save` writes it")
    # An archive is known by its manifest, which names its images by their sums.
    known = image_archive.manifest(base) if base else image_root.SUITE.encode()
    path = folder / f"base-{short_sum(known + ' '.join(image_root.PACKAGES).encode())}.tar"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            root = Path(scratch) / "root"
            image_root.make(root, base)
            image_archive.write_layer(path, root, leave_out=image_root.LEFT_OUT)
    return image_archive.layer(path)


def packages_layer(folder: Path) -> Layer:
    """The Python packages that the application needs, for the interpreter of the image."""
    requirements, pins = EXAMPLE / "requirements.txt", EXAMPLE.parents[1] / "constraints.txt"
    held = ["-c", str(pins)] if pins.exists() else []
    asked = b"".join(file.read_bytes() for file in (requirements, pins) if file.exists()) + " ".join(ALSO).encode()
    path = folder / f"packages-{short_sum(asked)}.tar"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", f"{scratch}/{SITE_PACKAGES}",
                       "--python-version", PYTHON_OF_THE_IMAGE, "--only-binary=:all:", *held,
                       "-r", str(requirements), *ALSO]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise StackError(f"pip could not install requirements.txt: {done.stderr.strip()[-400:]}")
            image_archive.write_layer(path, Path(scratch), leave_out=("*/supervisor/tests", "*/twisted/*/test"))
    return image_archive.layer(path)


def sources_layer(scratch: Path, release: Release) -> Layer:
    """The sources of one release in /app, and the stand-ins of this example in /opt/renec/example."""
    root = scratch / release.version
    app = root / "app"
    app.mkdir(parents=True)
    releases.copy(app, release.version, release.fault, release.migration)
    releases.compile_sources(app, Path("/app"))
    shutil.copytree(EXAMPLE / "stack", root / "opt/renec/example/stack", ignore=shutil.ignore_patterns("__pycache__"))
    path = scratch / f"{release.version}.tar"
    image_archive.write_layer(path, root, times=False)
    return image_archive.layer(path)


def forget_old(folder: Path) -> None:
    """Keep the archives that were asked for last: each holds the base again."""
    archives = sorted(folder.glob("image-*.tar"), key=lambda p: p.stat().st_mtime, reverse=True)
    for archive in archives[KEPT_ARCHIVES:]:
        archive.unlink(missing_ok=True)
