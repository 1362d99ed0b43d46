"""A second store, in another region: every backup of the first is brought there as it lies, byte for byte."""

from __future__ import annotations

from collections.abc import Callable

from opsbook.connectors.backups.attempts import publish
from opsbook.connectors.backups.catalogue import Damaged, manifest_from
from opsbook.connectors.backups.manifest import MANIFEST, SIGNATURE, Manifest, Part
from opsbook.connectors.backups.pipeline import Codec, FileSource, Pace, write_object
from opsbook.connectors.backups.reading import AGAIN, check_object
from opsbook.connectors.objectstore.contract import ObjectStore


def lacking(first: ObjectStore, second: ObjectStore, backup: str) -> list[str]:
    """The folders of backups that the first store has and the second has not, oldest first."""
    return sorted(_visible(first, backup) - _visible(second, backup))


def copy_missing(
    first: ObjectStore, second: ObjectStore, backup: str, pace: Pace, tell: Callable[[str], None]
) -> list[str]:
    """Bring them there, each read back and checked, its manifest last. Raises Damaged, and what the stores raise."""
    copied = []
    for folder in lacking(first, second, backup):
        told = first.get(f"{folder}/{MANIFEST}")
        manifest = manifest_from(told)
        for part in manifest.parts:
            _copy(first, second, manifest, part, pace)
        # Written by another attempt that died between the two: the same bytes.
        second.delete(f"{folder}/{SIGNATURE}")
        publish(second, folder, told, first.get(f"{folder}/{SIGNATURE}"))
        tell(f"copied {folder} to {second.address}\n")
        copied.append(manifest.stamp)
    return copied


def _copy(first: ObjectStore, second: ObjectStore, manifest: Manifest, part: Part, pace: Pace) -> None:
    key = f"{manifest.folder}/{part.key}"
    with first.open(key) as file:
        written = write_object(second, key, FileSource(file), Codec("none"), pace)
    if written.plain_sha256 != part.sha256:
        second.delete(key)
        raise Damaged(f"{part.key} of {manifest.folder} is damaged in {first.address}", AGAIN)
    check_object(second, manifest.folder, part, manifest.parts)


def _visible(store: ObjectStore, backup: str) -> set[str]:
    return {one.key.rpartition("/")[0] for one in store.list(backup) if one.key.rpartition("/")[2] == MANIFEST}
