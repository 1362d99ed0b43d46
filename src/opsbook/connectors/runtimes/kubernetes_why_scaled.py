"""In one sentence: why an autoscaler holds as many pods as it does. Pure.

The rule: pods × current / target, rounded up, within a tenth left as it is, then bounded
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details).
"""

from __future__ import annotations

from opsbook.connectors.runtimes.kubernetes_autoscalers import TOLERANCE, Aim, Autoscaler


def why(one: Autoscaler) -> str:
    """For people."""
    pods = "pod" if one.current == 1 else "pods"
    held = f"{one.workload} has {one.current} {pods}, of {one.least} to {one.most}"
    if one.trouble:
        return f"{held}, and stays there: {one.trouble}"
    known = [aim for aim in one.aims if aim.current is not None]
    if not known:
        return f"{held}: its metrics have not come yet"
    leading = max(known, key=lambda aim: aim.current / aim.target if aim.current is not None else 0)
    because = f"{held}, because {_figures(leading)}{_wants(one, leading)}"
    rest = [_figures(aim) for aim in known if aim is not leading]
    return because + "".join(f"; {one}" for one in rest)


def _figures(aim: Aim) -> str:
    return f"{aim.name} is at {aim.now_shown} of {aim.target_shown}"


def _wants(one: Autoscaler, aim: Aim) -> str:
    assert aim.current is not None
    ratio = aim.current / aim.target
    if one.wanted > one.current:
        return f": it wants {one.wanted}, and they are coming"
    if one.wanted < one.current:
        return f": it wants {one.wanted}, and takes the rest away"
    if abs(ratio - 1) <= TOLERANCE:
        return ", which is within a tenth of the aim"
    if ratio > 1:
        return ": it wants more, and may not have more" if one.current >= one.most else ": more are wanted soon"
    if one.current <= one.least:
        return ": fewer would do, and it keeps the least"
    if one.conditions.get("AbleToScale") == "ScaleDownStabilized":
        return ": fewer would do, and it waits whether that lasts"
    return ": one fewer would be too few" if one.current > 1 else ""
