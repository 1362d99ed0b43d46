"""Parts of a system from Kubernetes manifests, wherever they lie in the folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.discover import Found, Part, Place, linked, note, relative, text_of
from opsbook.book.kinds import guess, slug

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_MANIFEST = re.compile(r"^apiVersion:\s*\S+", re.MULTILINE)
_KIND = re.compile(r"^kind:\s*\S+", re.MULTILINE)


def read(found: Found, files: list[Path]) -> None:
    """Adds the place that the manifests describe: workloads, replicas, hosts with certificates, recurring jobs."""
    objects = list(_objects(found, files))
    parts: dict[str, Part] = {}
    values: dict[str, dict[str, str]] = {}
    for source, one in objects:
        if one.get("kind") in WORKLOADS:
            part, environment = _part(one, source)
            parts.setdefault(part.name, part)
            values.setdefault(part.name, environment)
    if not parts:
        return
    _autoscaled(parts, objects)
    found.hosts = tuple(dict.fromkeys(host for _, one in objects for host in _hosts(one)))
    found.jobs = tuple(dict.fromkeys(job for _, one in objects for job in _jobs(one)))
    namespaces = [str(_at(one, "metadata", "namespace")) for _, one in objects if _at(one, "metadata", "namespace")]
    named = [str(_at(one, "metadata", "name")) for _, one in objects if one.get("kind") == "Namespace"]
    namespace = max(set(namespaces), key=namespaces.count) if namespaces else (named or ["default"])[0]
    if namespace != "default":
        found.system = found.system or slug(namespace)
    sources = list(dict.fromkeys(part.source for part in parts.values()))
    source = sources[0] if len(sources) == 1 else f"{len(sources)} manifests"
    found.places.append(Place("kubernetes", source, {"namespace": namespace}, linked(parts.values(), values)))


def _objects(found: Found, files: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in files:
        if path.suffix not in (".yaml", ".yml"):
            continue
        text = text_of(found, path)
        if not (_MANIFEST.search(text) and _KIND.search(text)):
            continue
        try:
            documents = list(yaml.safe_load_all(text))
        except (yaml.YAMLError, ValueError) as error:
            reason = "a template, which only its tool can read" if "{{" in text else str(error)
            note(found, path, reason)
            continue
        for document in documents:
            if isinstance(document, dict):
                items = document.get("items") if document.get("kind") == "List" else None
                for one in items if isinstance(items, list) else [document]:
                    if isinstance(one, dict):
                        yield relative(found, path), one


def _part(one: dict[str, Any], source: str) -> tuple[Part, dict[str, str]]:
    name = str(_at(one, "metadata", "name") or "unnamed")
    containers = _at(one, "spec", "template", "spec", "containers")
    containers = [c for c in containers if isinstance(c, dict)] if isinstance(containers, list) else []
    main = containers[0] if containers else {}
    command = " ".join(map(str, [*(main.get("command") or []), *(main.get("args") or [])]))
    kind, _, health = guess(slug(name), str(main.get("image") or ""), command, bool(main.get("ports")))
    environment = {
        str(one["name"]): str(one.get("value") or "")
        for one in main.get("env") or []
        if isinstance(one, dict) and "name" in one
    }
    probed = _at(main, "readinessProbe", "httpGet", "path") or _at(main, "livenessProbe", "httpGet", "path")
    replicas = _at(one, "spec", "replicas")
    part = Part(
        slug(name),
        kind,
        source,
        workload=name,
        replicas=replicas if isinstance(replicas, int) else None,
        health=health or (str(probed) if probed else ""),
        variables=tuple(environment),
    )
    return part, environment


def _autoscaled(parts: dict[str, Part], objects: list[tuple[str, dict[str, Any]]]) -> None:
    """What an autoscaler holds has no fixed number of replicas; its least number is what must be there."""
    for _, one in objects:
        if one.get("kind") == "HorizontalPodAutoscaler":
            name = slug(str(_at(one, "spec", "scaleTargetRef", "name") or ""))
            least = _at(one, "spec", "minReplicas")
            if name in parts:
                parts[name] = replace(parts[name], replicas=least if isinstance(least, int) else 1)


def _hosts(one: dict[str, Any]) -> Iterator[str]:
    if one.get("kind") == "Ingress":
        tls = _at(one, "spec", "tls")
        for entry in tls if isinstance(tls, list) else []:
            if isinstance(entry, dict):
                yield from (str(host) for host in entry.get("hosts") or [])


def _jobs(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    schedule = _at(one, "spec", "schedule")
    if one.get("kind") == "CronJob" and isinstance(schedule, str):
        yield slug(str(_at(one, "metadata", "name") or "job")), schedule


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
