"""Layers and archives of images, as `docker save` writes them and `podman load` and `ctr images import` read them."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
WHEN = "2025-01-01T00:00:00Z"  # the same content has the same sum, whenever it was made
CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A tar file and the sum by which an image names it."""

    path: Path
    digest: str


def write_layer(path: Path, folder: Path, leave_out: Sequence[str] = (), times: bool = True) -> None:
    """What a folder holds as a layer; it is whole or absent. `leave_out` are patterns of paths.

    Without `times` the same content has the same sum.
    """

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = member.name.removeprefix("./")
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in leave_out):
            return None
        if not times:
            member.mtime = 0
        return member

    partial = path.with_suffix(".part")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as file:
        file.add(folder, arcname=".", filter=kept)
    partial.replace(path)


def layer(path: Path) -> Layer:
    """The layer in a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return Layer(path, found.hexdigest())


def write(archive: Path, images: Mapping[str, Sequence[Layer]], environment: Mapping[str, str], folder: str) -> None:
    """An archive with these images; a layer that several have is in it once. It is whole or absent."""
    partial = archive.with_suffix(".part")
    written: set[str] = set()
    manifests = []
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as file:
        for name, layers in images.items():
            for one in layers:
                if one.digest not in written:
                    file.add(one.path, arcname=f"{one.digest}.tar")
                    written.add(one.digest)
            config = configuration(layers, environment, folder)
            label = f"{hashlib.sha256(config).hexdigest()}.json"
            add_text(file, label, config)
            manifests.append({"Config": label, "RepoTags": [name], "Layers": [f"{one.digest}.tar" for one in layers]})
        add_text(file, "manifest.json", json.dumps(manifests).encode())
    partial.replace(archive)


def configuration(layers: Sequence[Layer], environment: Mapping[str, str], folder: str) -> bytes:
    """What an image says of itself."""
    machine = platform.machine()
    return json.dumps(
        {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": WHEN,
            "config": {
                "Env": [f"{name}={value}" for name, value in environment.items()],
                "WorkingDir": folder,
                "Cmd": ["/bin/sh"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.digest}" for one in layers]},
            "history": [{"created": WHEN, "created_by": "renec"} for _ in layers],
        }
    ).encode()


def add_text(file: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    file.addfile(member, io.BytesIO(content))


def manifest(archive: Path) -> bytes:
    """What an archive says that it holds."""
    with tarfile.open(archive) as file:
        member = file.extractfile("manifest.json")
        assert member is not None
        return member.read()


def unpack(archive: Path, root: Path) -> None:
    """The file system of the first image in an archive. What an upper layer takes away of a lower one stays."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        for name in json.loads(manifest(archive))[0]["Layers"]:
            content = file.extractfile(name)
            assert content is not None
            with tarfile.open(fileobj=content, mode="r:*") as inner:
                inner.extractall(root, numeric_owner=True, filter="fully_trusted")
