"""The procedures over the whole system, with just the role that `generate rbac` writes for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.system import System
from tests.integration.cluster import BEAT, Cluster, deployment, new_namespace, on_cluster, python
from tests.integration.test_kubernetes_deploys import given_by

pytestmark = on_cluster("systems", 600)
OPSBOOK = Path(sys.executable).with_name("opsbook")
COMPONENTS: dict[str, dict[str, Any]] = {
    "cache": {"kind": "redis", "url": "redis://nobody.invalid", "workload": "cache"},
    "worker": {"kind": "workload", "workload": "worker", "replicas": 1, "depends_on": ["cache"]},
    "cluster": {"kind": "cluster"},
}


def opsbook(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(OPSBOOK), *arguments, "--book", str(system.folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def written(system: System, *words: str) -> list[dict[str, Any]]:
    """What `generate rbac` writes."""
    done = opsbook(system, "generate", "rbac", *words)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def log_in(cluster: Cluster, file: Path) -> None:
    """A kubeconfig with a token of the service account."""
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "opsbook"}}
    token = cluster.do(lambda api: api.post(cluster.path(account, "opsbook") + "/token", wanted))
    config, _ = given_by()
    config["users"][0]["user"] = {"token": token["status"]["token"]}
    file.write_text(yaml.safe_dump(config))


def test_the_role_of_the_whole_is_enough_for_it_and_the_least_one_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    with new_namespace(*(deployment(name, python(name, BEAT)) for name in ("cache", "worker"))) as cluster:
        system = cluster.system(COMPONENTS, kubeconfig=str(file))
        nodes = cluster.do(lambda api: api.get("/api/v1/nodes"))["items"]
        node = f"node={nodes[0]['metadata']['name']}"
        # What a deploy may patch restart-all may patch too; only the nodes are no book's own.
        for role, words in (("--read-only", ("restart-all",)), ("", ("maintain-node", node))):
            least = written(system, *([role] if role else []))
            cluster.make(*least)
            try:
                log_in(cluster, file)
                done = opsbook(system, "run", *words, "--dry-run")
                assert done.returncode in (3, 4), done.stdout + done.stderr
                assert "cannot" in done.stderr and "opsbook generate rbac --whole" in done.stderr, done.stderr
            finally:
                cluster.remove(*least)
        whole = written(system, "--whole")
        cluster.make(*whole)
        try:
            log_in(cluster, file)
            for words in (("maintain-node", node, "lose_local_data=true"), ("update-system", "cache=2", "worker=2")):
                planned = opsbook(system, "run", *words, "--dry-run")
                # Others may have pods on the node that no controller holds: then the plan has looked, and says so.
                lonely = "nothing would bring these pods back" in planned.stderr
                assert planned.returncode == 0 or lonely, planned.stderr
            done = opsbook(system, "run", "restart-all", "--yes", "--format", "json")
            view = json.loads(done.stdout)
            assert view["state"] == "done", view["message"]
            reviewed = opsbook(system, "generate", "rbac", "--whole", "--review")
            assert reviewed.returncode == 0, reviewed.stdout
        finally:
            cluster.remove(*whole)
