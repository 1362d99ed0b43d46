"""Maintenance of a proxy by cat, nginx -t and a signal, or by kubectl; what was included before is kept where opsbook
keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from opsbook.book.environments import ComposeRuntime, KubernetesRuntime
from opsbook.book.references import Reference
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import fed, word
from opsbook.connectors.change import Json
from opsbook.connectors.switches.include import MARK


@as_commands("maintenance")
def maintenance(change: Json, script: Script) -> Iterator[str]:
    """The include is written or put back, checked and taken up."""
    effect = change["effect"]
    component = effect["component"]
    switch = script.component(component).maintenance
    if switch.config_map:
        yield from _of_map(script, component, switch.config_map, PurePosixPath(str(switch.include)).name, effect)
        return
    mark = f'grep -qsxF {word(MARK.strip())} "$include"'
    yield f"include={script.value(Reference(switch.include), f'maintenance.include of {component}')}"
    yield 'kept="$(dirname "$include")/.$(basename "$include").before-maintenance"'
    if effect["content"] is None:
        yield f'if {mark}; then if [ -e "$kept" ]; then cat "$kept" > "$include"; else : > "$include"; fi; fi'
    else:
        yield f'{mark} || [ ! -e "$include" ] || cp -p "$include" "$kept"'
        yield from fed('cat > "$include"', effect["content"], "NGINX")
    if not switch.pid_file and (commands := script.component(component).reload):
        inside = _inside(script, component)
        for argv in filter(None, (commands.check, commands.command)):
            yield " ".join([*inside, *map(word, argv)])
        return
    check = (script.value(Reference(one), f"maintenance.check of {component}") for one in switch.check)
    yield " ".join(check)
    yield f'kill -HUP "$(cat {script.value(Reference(switch.pid_file), f"maintenance.pid_file of {component}")})"'


def _of_map(script: Script, component: str, name: str, key: str, effect: Json) -> Iterator[str]:
    """The key is set or put back, and every pod begun anew, which has it from its start."""
    runtime = script.system.environment.runtime
    assert isinstance(runtime, KubernetesRuntime), "planned for Kubernetes"
    kubectl, before = f"kubectl -n {word(runtime.namespace)}", f"{key}.before-maintenance"
    workload = script.component(component).workload or component

    def read(one: str) -> str:
        template = f"""{{{{printf "%q" (index .data {json.dumps(one)})}}}}"""
        return f"$({kubectl} get configmap {word(name)} -o go-template={word(template)})"

    def patched(one: str, value: str) -> str:
        return f'{kubectl} patch configmap {word(name)} --type merge -p "{{\\"data\\":{{\\"{one}\\":{value}}}}}"'

    yield f'now="{read(key)}"'
    mark = f'case "$now" in \'"\'{word(MARK.strip())}*)'
    if effect["content"] is None:
        yield f"{mark} {patched(key, read(before))} ;; esac"
    else:
        yield f"{mark} ;; *) {patched(before, '$now')} ;; esac"
        whole = json.dumps({"data": {key: effect["content"]}})
        yield f"{kubectl} patch configmap {word(name)} --type merge -p {word(whole)}"
    yield f"{kubectl} rollout restart deployment/{word(workload)}"
    yield f"{kubectl} rollout status deployment/{word(workload)} --timeout=3m"


def _inside(script: Script, component: str) -> list[str]:
    """What runs a command where the proxy runs."""
    runtime = script.system.environment.runtime
    workload = script.component(component).workload or component
    if isinstance(runtime, ComposeRuntime):
        file = script.system.path(runtime.file)
        return ["docker", "compose", "--project-directory", word(str(file.parent)), "exec", "-T", word(workload)]
    if isinstance(runtime, KubernetesRuntime):
        return ["kubectl", "-n", word(runtime.namespace), "exec", word(f"deployment/{workload}"), "--"]
    return []
