"""Configuration as versions: each is a config map of its own, named after what is in it, that the pod template names.

So a change of it is a rollout like that of an image: pods of the old and the new configuration do not mix in one map, a
pod that is restarted keeps what it had, and going back to a revision brings its configuration back too.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from opsbook.connectors.runtimes.kubernetes_api import Object

OF = "opsbook/config-of"
"""Label of a version: the map that it is one of."""
_VERSION = re.compile(r"-[0-9a-f]{10}$")


def base_of(name: str) -> str:
    """The map that a version is one of; a map that is none is its own."""
    return _VERSION.sub("", name)


def name_of(base: str, data: Mapping[str, str], binary: Mapping[str, Any] | None = None) -> str:
    """The name of a version with this in it."""
    text = json.dumps([dict(data), dict(binary)] if binary else dict(data), sort_keys=True)
    return f"{base[:240]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def changed(data: Mapping[str, str], values: Mapping[str, str | None]) -> dict[str, str]:
    """What is in it with these values; None takes a key out."""
    found = {key: text for key, text in data.items() if values.get(key, "") is not None}
    return found | {key: text for key, text in values.items() if text is not None}


def _references(template: Object) -> Iterator[Object]:
    """Each object of a template that names a config map by its `name`."""
    spec = template["spec"]
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for one in container.get("envFrom") or []:
            if "configMapRef" in one:
                yield one["configMapRef"]
        for one in container.get("env") or []:
            if reference := (one.get("valueFrom") or {}).get("configMapKeyRef"):
                yield reference
    for volume in spec.get("volumes") or []:
        if "configMap" in volume:
            yield volume["configMap"]
        for source in (volume.get("projected") or {}).get("sources") or []:
            if "configMap" in source:
                yield source["configMap"]


def named_in(template: Object) -> list[str]:
    """The config maps that a template names, each once."""
    return list(dict.fromkeys(str(one["name"]) for one in _references(template) if one.get("name")))


def with_map(template: Object, base: str, name: str) -> Object:
    """The template with this version in place of whichever it names of the same map."""
    found = copy.deepcopy(template)
    for one in _references(found):
        if base_of(str(one.get("name", ""))) == base:
            one["name"] = name
    return found


def manifest(base: str, name: str, data: Mapping[str, str], binary: Mapping[str, Any]) -> Object:
    """The version as an object. `binary` is taken over as it is."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {OF: base[:63]}},
            "data": dict(data), **({"binaryData": dict(binary)} if binary else {})}  # fmt: skip
