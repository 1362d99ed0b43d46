"""What a deploy costs over the runtime's own rollout, and how many requests are lost at 200 a second meanwhile.

Needs a Kubernetes that may be filled: KUBECONFIG, and OPSBOOK_TEST_KUBERNETES=1. The pod that asks runs in the cluster,
with a connection for each request; the application is a small one whose pods are ready in a second.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
RATE, THREADS = 200, 8
os.environ["OPSBOOK_TEST_EVERY"] = str(THREADS / RATE)

from figures import Figure, tell  # noqa: E402
from tests.integration.cluster import GIVEN, NOT_GIVEN, new_namespace  # noqa: E402
from tests.integration.kubernetes_shop import Shop, book, objects  # noqa: E402

ROUNDS = int(os.environ.get("OPSBOOK_BENCH_ROUNDS", "3"))


def main() -> None:
    if not GIVEN:
        print(NOT_GIVEN)
        return
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    with tempfile.TemporaryDirectory() as folder, new_namespace(*objects(3)) as cluster:
        shop = Shop(cluster, book(cluster, Path(folder) / "ops"))
        shop.scale("api", 3)
        shop.scale("ask", 1)
        rolled(shop, kubectl)
        for name, words in (("blue-green", ["deploy", "api", "?", "--strategy", "blue-green"]),
                            ("rolling", ["deploy", "api", "?", "--strategy", "rolling"]),
                            ("rollback", ["rollback", "api"])):  # fmt: skip
            counted(shop, name, words)


def rolled(shop: Shop, kubectl: str | None) -> None:
    """One rolling update of three pods after the other, ours and kubectl's in turn."""
    ours, theirs, rest = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        view = shop.run("deploy", "api", other(shop), "--strategy", "rolling")
        assert view["state"] == "done", view["message"]
        ours.append(took(view, "deploy"))
        whole = seconds(view["ended_at"]) - seconds(view["started_at"])
        rest.append(whole - sum(took(view, one) for one in ("deploy", "before", "watch")))
        if kubectl:
            theirs.append(by_hand(shop, kubectl, other(shop)))
    peer = statistics.median(theirs) if theirs else None
    tell(Figure("rolling update of 3 pods", statistics.median(ours), "s",
                "kubectl set image, rollout status" if theirs else "kubectl is not here", peer))  # fmt: skip
    tell(Figure("the deploy's other steps, without watching", statistics.median(rest), "s"))


def by_hand(shop: Shop, kubectl: str, version: str) -> float:
    """The same by kubectl."""
    name = "api" if shop.serving()[0] == "blue" else "api-green"
    here = [kubectl, "-n", shop.cluster.namespace]
    started = time.perf_counter()
    subprocess.run([*here, "set", "image", f"deployment/{name}", f"api=localhost/base:{version}"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    subprocess.run([*here, "rollout", "status", f"deployment/{name}"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def counted(shop: Shop, name: str, words: list[str]) -> None:
    """Requests meanwhile, and those of them that were not answered with 200."""
    said = [other(shop) if word == "?" else word for word in words]
    with shop.asked() as requests:
        view = shop.run(*said)
        assert view["state"] == "done", view["message"]
    every = sum(requests.values())
    tell(Figure(f"{name}: requests lost of {every:,}", every - requests.get("200", 0), "requests", aim="0"))


def other(shop: Shop) -> str:
    """The version that does not serve."""
    return "2" if shop.serving()[1] == "1" else "1"


def took(view: dict[str, Any], step: str) -> float:
    """Seconds of a step."""
    one = next(each for each in view["steps"] if each["id"] == step)
    return seconds(one["ended_at"]) - seconds(one["started_at"])


def seconds(moment: Any) -> float:
    """A time as the run tells it."""
    return float(moment) if isinstance(moment, int | float) else datetime.fromisoformat(str(moment)).timestamp()


if __name__ == "__main__":
    main()
