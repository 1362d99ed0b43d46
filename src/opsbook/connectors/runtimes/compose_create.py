"""What the Docker API is told to create a container of a service. A key that is not understood is refused by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.book.system import parse_env
from opsbook.connectors.runtimes.compose_file import ComposeFile, Service, seconds, size
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.errors import UsageError

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER, ONE_OFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"

PLAIN = {"user": "User", "working_dir": "WorkingDir", "hostname": "Hostname", "domainname": "Domainname",
         "stop_signal": "StopSignal", "tty": "Tty", "stdin_open": "OpenStdin"}  # fmt: skip
HOST = {"init": "Init", "read_only": "ReadonlyRootfs", "cap_add": "CapAdd", "cap_drop": "CapDrop",
        "privileged": "Privileged", "security_opt": "SecurityOpt", "group_add": "GroupAdd", "pid": "PidMode",
        "ipc": "IpcMode", "userns_mode": "UsernsMode", "cpuset": "CpusetCpus", "cpu_shares": "CpuShares",
        "pids_limit": "PidsLimit", "oom_score_adj": "OomScoreAdj"}  # fmt: skip
TRANSLATED = frozenset({
    "image", "command", "entrypoint", "environment", "env_file", "volumes", "ports", "expose", "networks",
    "network_mode", "labels", "healthcheck", "restart", "deploy", "scale", "mem_limit", "cpus", "container_name",
    "stop_grace_period", "tmpfs", "extra_hosts", "ulimits", "shm_size", "logging", "dns", "dns_search", "sysctls",
    "depends_on", "profiles", "build", "pull_policy",
})  # fmt: skip
DEPLOY = frozenset({"replicas", "resources", "labels", "mode", "update_config", "rollback_config", "restart_policy"})


@dataclass(frozen=True)
class Wanted:
    """One container to be. `config` is the body of `POST /containers/create`; it may hold secrets."""

    name: str
    config: Mapping[str, Any]
    networks: Mapping[str, tuple[str, ...]]
    """Network → aliases; the first is part of `config`."""


def not_understood(service: Service) -> str:
    """The first key that no container can be made of; empty where all are understood."""
    known = TRANSLATED | set(PLAIN) | set(HOST)
    for key in service.settings:
        if key not in known and not str(key).startswith("x-"):
            return str(key)
    for key in service.settings.get("deploy") or {}:
        if key not in DEPLOY:
            return f"deploy.{key}"
    if (service.settings.get("deploy") or {}).get("mode", "replicated") != "replicated":
        return "deploy.mode"
    return "" if service.image else "build"


def refuse_strange(service: Service) -> None:
    """Raises Unsupported for what a container of this service would lack."""
    if key := not_understood(service):
        hint = "give it an `image` too" if key == "build" else f"start it with `docker compose up {service.name}`"
        raise Unsupported(f"opsbook makes no container of {service.name}: it does not understand its `{key}`", hint)


def fixed_ports(service: Service) -> tuple[str, ...]:
    """Ports of this host that only one container can have."""
    return tuple(f"{address}:{host}" if address else host
                 for address, host, _, _ in map(_port, service.settings.get("ports") or ())
                 if host and "-" not in host)  # fmt: skip


def alone(service: Service) -> str:
    """Why there can be only one container of it at a time; empty where there can be more."""
    if named := service.settings.get("container_name"):
        return f"its container is named {named}"
    if ports := fixed_ports(service):
        return f"it publishes the port {ports[0]}"
    return ""


def wanted(
    file: ComposeFile,
    service: Service,
    number: int,
    name: str,
    image: str,
    labels: Mapping[str, str | None] | None = None,
) -> Wanted:
    """The container with this number, of this image. `labels` are put over those of the file; None takes one away."""
    refuse_strange(service)
    settings = service.settings
    networks = _networks(file, service)
    config: dict[str, Any] = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in environment(file, service).items()],
        "Labels": _labels(file, service, number, labels or {}),
        "HostConfig": _host(file, service, networks),
    }
    for key, api in PLAIN.items():
        if settings.get(key) is not None:
            config[api] = settings[key]
    for key, api in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        if settings.get(key) is not None:
            config[api] = words(settings[key])
    if settings.get("stop_grace_period") is not None:
        config["StopTimeout"] = int(service.grace)
    if check := healthcheck(settings.get("healthcheck")):
        config["Healthcheck"] = check
    if exposed := _exposed(settings):
        config["ExposedPorts"] = {port: {} for port in exposed}
    if networks:
        first = next(iter(networks))
        config["NetworkingConfig"] = {"EndpointsConfig": {first: {"Aliases": list(networks[first])}}}
    return Wanted(name, config, networks)


def words(value: Any) -> list[str]:
    """A command as its argv."""
    return [str(one) for one in value] if isinstance(value, list) else shlex.split(str(value))


def pairs(value: Any) -> dict[str, str | None]:
    """`KEY=VALUE` lines or a mapping; None where only the name stands."""
    if isinstance(value, dict):
        return {str(key): None if one is None else _text(one) for key, one in value.items()}
    lines = (str(line).partition("=") for line in value or ())
    return {key: one if sign else None for key, sign, one in lines}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def environment(file: ComposeFile, service: Service) -> dict[str, str]:
    """What the service sets; those of its image come under it. Raises UsageError for a file that is not there."""
    found: dict[str, str] = {}
    written = service.settings.get("env_file") or []
    for one in [written] if isinstance(written, str | dict) else written:
        said = one if isinstance(one, dict) else {"path": one}
        path = file.path.parent / str(said["path"])
        try:
            found |= parse_env(path.read_text(encoding="utf-8"))
        except OSError as error:
            if said.get("required", True):
                raise UsageError(f"{path}: {error.strerror}", f"correct `env_file` of {service.name}") from error
    for key, value in pairs(service.settings.get("environment")).items():
        taken = value if value is not None else file.variables.get(key)
        if taken is not None:
            found[key] = taken
    return found


def _labels(file: ComposeFile, service: Service, number: int, over: Mapping[str, str | None]) -> dict[str, str]:
    own = {PROJECT: file.project, SERVICE: service.name, NUMBER: str(number), ONE_OFF: "False",
           "com.docker.compose.project.config_files": str(file.path.absolute()),
           "com.docker.compose.project.working_dir": str(file.path.absolute().parent)}  # fmt: skip
    written: dict[str, str | None] = {
        **{key: value or "" for key, value in pairs(service.settings.get("labels")).items()}, **over, **own
    }  # fmt: skip
    return {key: value for key, value in written.items() if value is not None}


def _networks(file: ComposeFile, service: Service) -> dict[str, tuple[str, ...]]:
    if service.settings.get("network_mode"):
        return {}
    written = service.settings.get("networks") or ["default"]
    keys = written if isinstance(written, dict) else dict.fromkeys(written)
    found = {}
    for key, said in keys.items():
        if strange := set(said or {}) - {"aliases"}:
            raise Unsupported(f"opsbook makes no container of {service.name}: it does not understand"
                              f" `networks.{key}.{min(strange)}`")  # fmt: skip
        found[file.network(key)[0]] = (service.name, *map(str, (said or {}).get("aliases") or ()))
    return found


def healthcheck(said: Any) -> dict[str, Any]:
    """Nanoseconds and an argv, as the API wants them; empty where the image's own holds."""
    if not said:
        return {}
    if said.get("disable"):
        return {"Test": ["NONE"]}
    found: dict[str, Any] = {}
    test = said.get("test")
    if test is not None:
        found["Test"] = [str(one) for one in test] if isinstance(test, list) else ["CMD-SHELL", str(test)]
    for key, api in (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")):
        if said.get(key) is not None:
            found[api] = int(seconds(said[key]) * 1e9)
    if said.get("retries") is not None:
        found["Retries"] = int(said["retries"])
    return found


def _host(file: ComposeFile, service: Service, networks: Mapping[str, Any]) -> dict[str, Any]:
    settings = service.settings
    host: dict[str, Any] = {api: settings[key] for key, api in HOST.items() if settings.get(key) is not None}
    host["NetworkMode"] = next(iter(networks)) if networks else settings["network_mode"]
    name, _, times = str(settings.get("restart") or "no").partition(":")
    host["RestartPolicy"] = {"Name": "no" if name in ("False", "no") else name,
                             **({"MaximumRetryCount": int(times)} if times else {})}  # fmt: skip
    host |= _limits(settings) | _mounts(file, settings)
    if ports := _bindings(settings):
        host["PortBindings"] = ports
    for key, api in (("extra_hosts", "ExtraHosts"), ("dns", "Dns"), ("dns_search", "DnsSearch")):
        if value := settings.get(key):
            if isinstance(value, dict):
                value = [f"{one}:{address}" for one, address in value.items()]
            host[api] = [value] if isinstance(value, str) else list(value)
    if sysctls := settings.get("sysctls"):
        host["Sysctls"] = {key: value or "" for key, value in pairs(sysctls).items()}
    if said := settings.get("logging"):
        options = {key: str(value) for key, value in (said.get("options") or {}).items()}
        host["LogConfig"] = {"Type": str(said.get("driver", "")), "Config": options}
    return host


def _limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    limits = ((settings.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    memory, cpus = settings.get("mem_limit", limits.get("memory")), settings.get("cpus", limits.get("cpus"))
    found: dict[str, Any] = {}
    if memory is not None:
        found["Memory"] = size(memory)
    if cpus is not None:
        found["NanoCpus"] = int(float(cpus) * 1e9)
    if settings.get("shm_size") is not None:
        found["ShmSize"] = size(settings["shm_size"])
    if ulimits := settings.get("ulimits"):
        found["Ulimits"] = [
            {"Name": name, "Soft": said["soft"] if isinstance(said, dict) else said,
             "Hard": said["hard"] if isinstance(said, dict) else said}
            for name, said in ulimits.items()
        ]  # fmt: skip
    return found


def _mounts(file: ComposeFile, settings: Mapping[str, Any]) -> dict[str, Any]:
    binds = []
    for said in settings.get("volumes") or ():
        source, target, mode = _volume(said)
        if source.startswith((".", "/", "~")):
            # Not resolved: a link of the host is followed by the engine, as compose leaves it.
            source = str(file.path.absolute().parent / Path(source).expanduser())
        else:
            source = file.volume(source)[0]
        binds.append(":".join(filter(None, (source, target, mode))))
    tmpfs = settings.get("tmpfs") or ()
    lines = [tmpfs] if isinstance(tmpfs, str) else tmpfs
    memory = {path: options for path, _, options in (str(line).partition(":") for line in lines)}
    return {**({"Binds": binds} if binds else {}), **({"Tmpfs": memory} if memory else {})}


def _volume(said: Any) -> tuple[str, str, str]:
    """Source, target and mode. Raises Unsupported for what has no source: each container would get another."""
    if isinstance(said, dict):
        if said.get("type") not in ("bind", "volume") or not said.get("source"):
            raise Unsupported(f"opsbook makes no volume of type {said.get('type')!r} without a name")
        return str(said["source"]), str(said["target"]), "ro" if said.get("read_only") else ""
    parts = str(said).split(":")
    if len(parts) == 1:
        raise Unsupported(f"the volume {said} has no name: a new container would begin with an empty one",
                          "name it, as in `data:/var/lib/data`")  # fmt: skip
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def volume_keys(service: Service) -> list[str]:
    """The named volumes that it mounts, as the file calls them."""
    sources = [_volume(said)[0] for said in service.settings.get("volumes") or ()]
    return [one for one in sources if not one.startswith((".", "/", "~"))]


def network_keys(service: Service) -> list[str]:
    """The networks that it is in, as the file calls them."""
    return [] if service.settings.get("network_mode") else list(service.settings.get("networks") or ["default"])


def _port(said: Any) -> tuple[str, str, str, str]:
    """Address, port of the host, port of the container, protocol. The host's may be empty, or a range to choose of."""
    if isinstance(said, dict):
        return (str(said.get("host_ip") or ""), str(said.get("published") or ""), str(said["target"]),
                str(said.get("protocol") or "tcp"))  # fmt: skip
    ports, _, protocol = str(said).partition("/")
    rest, _, inside = ports.rpartition(":")
    address, _, host = rest.rpartition(":")
    if "-" in inside:
        raise Unsupported(f"the range of ports {said} is not understood", "write one line for each port")
    return address, host, inside, protocol or "tcp"


def _bindings(settings: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for address, host, inside, protocol in map(_port, settings.get("ports") or ()):
        found.setdefault(f"{inside}/{protocol}", []).append({"HostIp": address, "HostPort": host})
    return found


def _exposed(settings: Mapping[str, Any]) -> list[str]:
    said = [str(one) if "/" in str(one) else f"{one}/tcp" for one in settings.get("expose") or ()]
    return [*_bindings(settings), *said]
