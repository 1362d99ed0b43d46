"""Why an autoscaler is where it is, and its aims in each version of the API."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes_aims import aims_of, unasked
from opsbook.connectors.runtimes.kubernetes_autoscalers import _read
from opsbook.connectors.runtimes.kubernetes_why_scaled import why


def resource(name: str, key: str, percent: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"averageUtilization": percent}
    if key == "target":
        inner["type"] = "Utilization"
    return {"type": "Resource", "resource": {"name": name, key: inner}}


def scaler(current: int, wanted: int, cpu: int | None, memory: int | None = None, reason: str = "") -> dict[str, Any]:
    seen = [resource(name, "current", percent) for name, percent in (("cpu", cpu), ("memory", memory)) if percent]
    aims = [resource("cpu", "target", 70), *([resource("memory", "target", 80)] if memory else [])]
    conditions = [{"type": "AbleToScale", "status": "True", "reason": reason}] if reason else []
    return {"metadata": {"name": "api"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}, "minReplicas": 2, "maxReplicas": 6,
                     "metrics": aims},
            "status": {"currentReplicas": current, "desiredReplicas": wanted, "currentMetrics": seen,
                       "conditions": conditions}}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (scaler(3, 3, 72), "api has 3 … cpu is at 72% of 70%, which is within a tenth of the aim"),
        (scaler(3, 5, 110), "api has 3 … cpu is at 110% of 70%: it wants 5, and they are coming"),
        (scaler(6, 6, 95), "api has 6 … cpu is at 95% of 70%: it wants more, and may not have more"),
        (scaler(2, 2, 10), "api has 2 … cpu is at 10% of 70%: fewer would do, and it keeps the least"),
        (scaler(4, 4, 20, reason="ScaleDownStabilized"),
         "api has 4 … cpu is at 20% of 70%: fewer would do, and it waits whether that lasts"),
        (scaler(4, 2, 20), "api has 4 … cpu is at 20% of 70%: it wants 2, and takes the rest away"),
        (scaler(4, 4, 20, 78), "api has 4 … memory is at 78% of 80%, which is within a tenth of"
         " the aim; cpu is at 20% of 70%"),
        (scaler(2, 2, None), "api has 2 pods, of 2 to 6: its metrics have not come yet"),
    ],
)  # fmt: skip
def test_it_says_in_one_sentence_why_there_are_so_many_pods(one: dict[str, Any], sentence: str) -> None:
    assert why(_read(one)).replace(" pods, of 2 to 6, because ", " … ") == sentence


def test_it_says_what_keeps_it_from_scaling() -> None:
    one = scaler(2, 2, 20)
    one["status"]["conditions"] = [{"type": "ScalingActive", "status": "False", "message": "no metrics were returned"}]
    assert why(_read(one)) == "api has 2 pods, of 2 to 6, and stays there: no metrics were returned"


def test_it_reads_the_first_version_which_keeps_conditions_as_text() -> None:
    one = scaler(2, 2, None)
    del one["spec"]["metrics"]
    one["spec"]["targetCPUUtilizationPercentage"] = 50
    one["status"] |= {"currentCPUUtilizationPercentage": 49, "currentMetrics": []}
    told = '[{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}]'
    one["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/conditions": told}
    found = _read(one)
    assert (found.aims[0].target, found.aims[0].current, found.needed) == (0.5, 0.49, 2)
    assert found.conditions == {"AbleToScale": "ReadyForNewScale"}


def test_it_needs_as_many_as_its_worst_metric_asks_for() -> None:
    found = _read(scaler(4, 6, 105, 40))
    assert (found.needed, found.pressed) == (6, True)


def test_an_aim_replaces_its_like_and_leaves_the_others() -> None:
    queue = {"type": "External", "external": {"metric": {"name": "waiting"}}}
    spec = {"metrics": [resource("cpu", "target", 70), queue]}
    assert aims_of("v2", spec, 0.6, None) == {"metrics": [queue, resource("cpu", "target", 60)]}
    assert aims_of("v2beta2", spec, None, 0.8)["metrics"] == [
        queue, resource("memory", "target", 80), resource("cpu", "target", 70),
    ]  # fmt: skip
    assert aims_of("v1", {}, 0.6, None) == {"targetCPUUtilizationPercentage": 60}
    with pytest.raises(Unsupported, match="CPU alone"):
        aims_of("v1", {}, None, 0.8)


def test_a_share_needs_something_that_it_is_a_share_of() -> None:
    asks = {"resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "1Gi"}}}
    assert unasked({"spec": {"containers": [asks]}}, ["cpu", "memory"]) == []
    assert unasked({"spec": {"containers": [asks, {}]}}, ["cpu", "memory"]) == ["cpu", "memory"]
