"""The system on Kubernetes: `renec up --on kubernetes` makes what the files of `kubernetes/` say, and waits for it.

The cluster is that of KUBECONFIG, the namespace RENEC_NAMESPACE (`renec-harvester`). There is no registry: images are
brought by the command in RENEC_LOAD_IMAGE, with the archive in place of `{}`, as in `kind load image-archive {}`.
"""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stack import certificates, credentials, images, kubernetes_environment, releases
from stack.cluster import Cluster, Object, manifests, secret
from stack.errors import StackError
from stack.instance import EXAMPLE, Instance, named_run
from stack.kubernetes_switches import SWITCHES, mend, throw, thrown
from stack.progress import Progress

__all__ = ["SWITCHES", "destroy", "down", "harvest", "mend", "release", "status", "throw", "up"]

FOLDER = EXAMPLE / "kubernetes"
READY_SECONDS, JOB_SECONDS = 240.0, 180.0
SEEDED_ROWS, SEEDED_DAYS = 5000, 500
SERVED = {"tls.crt": "server.crt", "tls.key": "server.key"}
PROBED_PODS = ("Deployment", "StatefulSet")


def instance() -> Instance:
    """What is kept of it on this host: passwords, certificate, addresses. Nothing of it runs here."""
    run = named_run()
    folder = run / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ("secrets", "backups", "tls", "logs"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    return Instance(run, folder.resolve(), 0, folder)


def up(progress: Progress) -> None:
    """Bring the image, make what is not there yet, wait until all of it is ready. What is there stays as it is."""
    cluster, here = Cluster(), instance()
    first = not cluster.there()
    if first:
        with progress.step("images of two releases"):
            load(images.Release(releases.first_version()), images.Release(releases.NEXT_VERSION))
    with progress.step(f"namespace {cluster.namespace}, passwords, certificate"):
        cluster.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}})
        give_secrets(cluster, here)
        give_volumes(cluster)
    with progress.step("workloads made"):
        cluster.make(*manifests(FOLDER))
    with progress.step("database, pool and queue"):
        for name in ("statefulsets/postgres", "deployments/pgbouncer", "deployments/redis"):
            wait_for(cluster, name)
    # Only the first time: afterwards the schema belongs to deploys.
    if cluster.read("batch/v1/jobs/seed") is None:
        with progress.step("schema and old log rows"):
            cluster.run_job(job("migrate", ["-m", "alembic", "upgrade", "head"]), JOB_SECONDS)
            rows = ["--rows", str(SEEDED_ROWS), "--days", str(SEEDED_DAYS)]
            cluster.run_job(job("seed", ["-m", "src.cli", "seed-logs", *rows]), JOB_SECONDS)
    with progress.step("everything is ready"):
        for name in workloads():
            wait_for(cluster, name)
    kubernetes_environment.write_file(here, cluster.namespace)
    progress.say(f"Ready in {progress.seconds:.1f} s: namespace {cluster.namespace} (--env kubernetes)")


def load(*wanted: images.Release) -> None:
    """Bring the images of releases to the cluster."""
    command = os.environ.get("RENEC_LOAD_IMAGE", "")
    if not command:
        raise StackError(
            "nothing says how an image comes to this cluster",
            "set RENEC_LOAD_IMAGE, as in RENEC_LOAD_IMAGE='kind load image-archive {}'",
        )
    archive = str(images.build(*wanted))
    argv = [archive if word == "{}" else word for word in shlex.split(command)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{argv[0]} could not load the image: {(done.stderr or done.stdout).strip()[-300:]}")


def give_secrets(cluster: Cluster, here: Instance) -> None:
    """Passwords and certificate, made once. Those in the cluster are the true ones: they are rotated there."""
    adopt(cluster, "passwords", here.folder("secrets"))
    credentials.generate(here)
    certificates.make_authority(here)
    if adopt(cluster, "tls", here.folder("tls"), {"tls.crt": "server.crt", "tls.key": "server.key"}) is False:
        certificates.issue(here)
    passwords = {name: credentials.password(here, name) for name in credentials.NAMES}
    served = {
        n: (here.folder("tls") / f).read_text() for n, f in (("tls.crt", "server.crt"), ("tls.key", "server.key"))
    }
    cluster.make(
        secret("passwords", passwords),
        secret("app", kubernetes_environment.application(here)),
        secret("tls", served, "kubernetes.io/tls"),
    )


def adopt(cluster: Cluster, name: str, folder: Path, files: Mapping[str, str] | None = None) -> bool:
    """Write what a Secret of the cluster holds into files; whether there is one."""
    found = cluster.read(f"v1/secrets/{name}")
    if found is None:
        return False
    for key, value in (found.get("data") or {}).items():
        credentials.write_private(folder / (files or {}).get(key, key), base64.b64decode(value).decode())
    return True


def give_volumes(cluster: Cluster) -> None:
    """Volumes on a node's disk for the claims, where the cluster makes none by itself."""

    async def classes(api: Any) -> Object:
        return dict(await api.get("/apis/storage.k8s.io/v1/storageclasses"))

    default = "storageclass.kubernetes.io/is-default-class"
    found = cluster.do(classes)["items"] or []
    if any((one["metadata"].get("annotations") or {}).get(default) == "true" for one in found):
        return

    async def nodes(api: Any) -> Object:
        return dict(await api.get("/api/v1/nodes"))

    hosts = sorted(one["metadata"]["labels"]["kubernetes.io/hostname"] for one in cluster.do(nodes)["items"])
    # A folder of its own each time: what a system before left there has other passwords.
    base = f"{os.environ.get('RENEC_VOLUMES', '/var/tmp/renec-volumes')}/{cluster.namespace}-{secrets.token_hex(3)}"
    claims = [one for one in manifests(FOLDER) if one["kind"] == "PersistentVolumeClaim"]
    for number, claim in enumerate(claims):
        cluster.make(volume(cluster.namespace, claim, base, hosts[number % len(hosts)]))


def volume(namespace: str, claim: Object, base: str, host: str) -> Object:
    """A folder of one node for one claim."""
    name = claim["metadata"]["name"]
    at = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}", "labels": {"app.kubernetes.io/part-of": "renec"}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": name},
            "hostPath": {"path": f"{base}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": at}]}},
        },
    }


def job(name: str, arguments: Sequence[str], version: str = "") -> Object:
    """A job that runs Python in a release, with the variables of the application."""
    labels = {"app.kubernetes.io/part-of": "renec", "part": "job"}
    container = {
        "name": name,
        "image": f"{images.REPOSITORY}:{version or releases.first_version()}",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", *arguments],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "app"}}],
        "volumeMounts": [
            {"name": "passwords", "mountPath": "/etc/renec/passwords"},
            {"name": "artifacts", "mountPath": "/var/lib/renec/artifacts"},
            {"name": "metrics", "mountPath": "/run/metrics"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [
            {
                "name": "passwords",
                "secret": {"secretName": "passwords", "items": [{"key": "api_user", "path": "api_user"}]},
            },
            {"name": "artifacts", "emptyDir": {}},
            {"name": "metrics", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 1, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def workloads() -> list[str]:
    """The workloads of the files, as paths."""
    made = [one for one in manifests(FOLDER) if one["kind"] in PROBED_PODS]
    return [f"{one['kind'].lower()}s/{one['metadata']['name']}" for one in made]


def figures(cluster: Cluster, name: str) -> tuple[int, int]:
    """Pods that are ready and of the newest kind, and how many there should be."""
    found = cluster.read(f"apps/v1/{name}")
    if found is None:
        return 0, 1
    status, wanted = found["status"], int(found["spec"].get("replicas", 1))
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return 0, wanted
    return min(int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0))), wanted


def wait_for(cluster: Cluster, name: str) -> None:
    """Return when every pod of a workload is ready. Raises StackError with its last words."""

    def ready() -> bool:
        now, wanted = figures(cluster, name)
        return now >= wanted

    try:
        cluster.wait(ready, READY_SECONDS, f"{name} was not ready")
    except StackError as error:
        raise StackError(str(error), cluster.log(f"part={name.partition('/')[2]}", 3)) from error


def down() -> None:
    """Nothing in between is offered: a namespace is there, or is gone."""
    raise StackError("Kubernetes keeps it running", "renec destroy --on kubernetes takes all of it away")


def destroy() -> None:
    """Take the namespace away with all that is in it, the volumes made for it, and what is kept here."""
    cluster = Cluster()
    cluster.remove_all(f"/api/v1/namespaces/{cluster.namespace}")
    cluster.wait(lambda: not cluster.there(), READY_SECONDS, f"the namespace {cluster.namespace} did not go")
    for claim in (one for one in manifests(FOLDER) if one["kind"] == "PersistentVolumeClaim"):
        cluster.remove_all(f"/api/v1/persistentvolumes/{cluster.namespace}-{claim['metadata']['name']}")
    kubernetes_environment.forget(instance())


def status() -> int:
    """0 where everything that should run does, else 1."""
    cluster = Cluster()
    if not cluster.there():
        print("not set up")
        return 1
    whole = True
    for name in workloads():
        ready, wanted = figures(cluster, name)
        whole = whole and ready >= wanted
        state = "running" if ready else "stopped"
        print(f"{name.partition('/')[2]:<18}{state:<9}{ready} of {wanted}")
    for name in thrown(cluster):
        print(f"switch thrown: {name} ({SWITCHES[name]})")
    return 0 if whole else 1


def harvest(mode: str) -> int:
    """Harvest in a job of its own."""
    cluster = Cluster()
    print(cluster.run_job(job("harvest", ["-m", "src.cli", "harvest", "--mode", mode, "--quiet"]), 10 * 60))
    return 0


def release(version: str, fault: str = "", migration: bool = False) -> str:
    """Bring the image of another release, without running it."""
    made = images.Release(version, fault, migration)
    load(made)
    return made.image
