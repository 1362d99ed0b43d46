"""The components of a system: from lists, tables and diagrams, and from the workloads that commands act on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.document import Document, Fence, ListItem, Section, Table
from opsbook.manual.facts import Component
from opsbook.manual.outline import parts, split_pair
from opsbook.manual.shell import Command
from opsbook.manual.vocabulary import says

_KIND_WORDS: tuple[tuple[str, str], ...] = (
    ("scheduler", r"celery[ -]?beat|scheduler|\bcron\b|\bbeat\b|planificador|airflow"),
    ("worker", r"worker|celery|sidekiq|consumer|spider|crawler|queue processor|\bjobs?\b|trabajador|arbeiter"),
    (
        "database",
        r"postgres\w*|mysql|mariadb|mongo\w*|database|base de datos|banco de dados|datenbank|база "
        r"данных|数据库|データベース|데이터베이스|timescale\w*|clickhouse|cassandra|elasticsearch|opensearch|"
        r"\brds\b|neo4j|sqlite|influxdb",
    ),
    ("cache", r"redis|valkey|memcached|\bcache\b|caché|缓存|キャッシュ|캐시"),
    ("queue", r"rabbitmq|kafka|\bnats\b|\bsqs\b|broker|message queue|activemq|pulsar"),
    (
        "monitoring",
        r"prometheus|grafana|alertmanager|loki|jaeger|flower|monitoring|datadog|sentry|kibana|"
        r"uptime|zipkin|监控|モニタリング",
    ),
    (
        "proxy",
        r"nginx|traefik|haproxy|load ?balancer|ingress|pgbouncer|cdn|cloudfront|gateway|caddy|envoy|"
        r"reverse proxy|eureka|balanceador|负载均衡|cert-manager",
    ),
    ("bucket", r"\bs3\b|minio|object storage|bucket|blob storage"),
    ("ui", r"\bui\b|front-?end|next\.?js|react|angular|\bvue\b|web app|dashboard|interfaz|前端|フロント|프론트"),
    (
        "api",
        r"\bapi\b|back-?end|fastapi|django|flask|express|spring|rails|\bgo app|app server|server|service|"
        r"servicio|serviço|dienst|сервис|后端|服务|サービス|서비스",
    ),
)
_KINDS = tuple((kind, re.compile(words, re.I)) for kind, words in _KIND_WORDS)
_WORKLOAD = re.compile(r"^(?:deployments?|deploy|statefulsets?|sts|daemonsets?|ds)(?:\.apps)?/([\w.-]+)$")
_UNIT_VERBS = frozenset({"start", "stop", "restart", "reload", "status", "enable", "disable"})
_COMPOSE_VERBS = frozenset(
    {"up", "stop", "start", "restart", "logs", "exec", "run", "pull", "build", "ps", "rm", "kill"}
)
_NAME_COLUMN = re.compile(
    r"\W*(?:component|service|container|application|name|componente|servicio|serviço|dienst|komponente|"
    r"компонент|сервис|组件|服务|コンポーネント|"
    r"サービス|구성|서비스)",
    re.I,
)
_TRAIT_COLUMN = re.compile(
    r"\W*(?:ports?|purpose|replicas?|image|technology|tech|stack|description|function|role|puerto|propósito|"
    r"descripci|porta|zweck|beschreibung|"
    r"назначение|порт|описание|端口|用途|说明|ポート|説明|포트|설명)\b",
    re.I,
)


def components(document: Document, commands: list[Command]) -> tuple[Component, ...]:
    """The components that a manual lists, draws or acts on; the first mention of a name counts."""
    found: dict[str, Component] = {}

    def take(component: Component) -> None:
        found.setdefault(re.sub(r"\W+", "", component.name).lower(), component)

    for section in document.all_sections():
        for component in _described(section):
            take(component)
    for fence in document.fences():
        if fence.language == "diagram":
            for component in _drawn(fence):
                take(component)
    for component in _workloads(commands):
        take(component)
    return tuple(sorted(found.values(), key=lambda component: component.line))


def _described(section: Section) -> Iterator[Component]:
    """Lists and tables of sections on components and architecture."""
    titled = says(section.title, "component") and not says(section.title, "metric")
    for part in parts(section):
        for item in part.items() if titled else ():
            pair = split_pair(item.text.split("\n")[0], item.strong)
            if pair and isinstance(item, ListItem) and item.checked is None and len(pair[0].split()) <= 5:
                yield _component(pair[0], pair[1], item.line)
        for block in part.blocks:
            if isinstance(block, Table) and _lists_components(block, titled):
                for row in block.rows:
                    yield _component(row.text(0), " ".join(cell.text for cell in row.cells[1:]), row.line)


def _lists_components(table: Table, titled: bool) -> bool:
    header = [cell.text for cell in table.header.cells]
    named = bool(_NAME_COLUMN.match(header[0])) if header else False
    return named and (titled or any(_TRAIT_COLUMN.match(text) for text in header[1:]))


def _component(name: str, detail: str, line: int) -> Component:
    kind = kind_of(name)
    port = re.search(r"(?:port|puerto|porta|端口|:)\s*(\d{2,5})\b", detail, re.I)
    return Component(
        line=line,
        name=name,
        kind=kind if kind not in ("other", "api") else kind_of(f"{name} {detail}"),
        detail=detail,
        replicas=_replicas(detail),
        port=int(port[1]) if port else None,
    )


def _replicas(text: str) -> int | None:
    match = re.search(
        r"\b(\d{1,3})\s*(?:replicas?|pods?|instances?|nodes?|réplicas|instancias|instanzen|реплик|副本|个实例)",
        text,
        re.I,
    )
    return int(match[1]) if match else None


def _drawn(fence: Fence) -> Iterator[Component]:
    """The labels in the boxes of a diagram; a count in brackets below a label is its replicas."""
    rows = [re.split(r"[│┃║|┌┐└┘├┤┬┴┼─╔╗╚╝═▼▲▶◀→←+]+", line) for line in fence.text.split("\n")]
    for index, cells in enumerate(rows):
        for cell in cells:
            label = re.sub(r"\s+", " ", cell).strip(" -*•")
            name = re.sub(r"\s*\([^)]*\)", "", label)
            if (
                len(name) >= 2
                and kind_of(name) != "other"
                and len(name.split()) <= 4
                and re.match(r"[A-Za-z\u4e00-\u9fff\uac00-\ud7af]", name)
            ):
                yield Component(line=fence.line + index, name=name, kind=kind_of(name), replicas=_replicas(label))


def _workloads(commands: list[Command]) -> Iterator[Component]:
    """Deployments, services and units that the commands act on."""
    for command in commands:
        for name in _acted_on(command):
            if is_static(name):
                yield Component(line=command.line, name=name, kind=kind_of(name), workload=name)


def _acted_on(command: Command) -> Iterator[str]:
    words = command.words
    if command.program in ("kubectl", "oc"):
        for index, word in enumerate(words):
            match = _WORKLOAD.match(word)
            following = words[index + 1] if index + 1 < len(words) else ""
            if match:
                yield match[1]
            elif word in ("deployment", "deploy", "statefulset", "sts") and re.fullmatch(r"[a-z][\w.-]*", following):
                yield following
    elif command.program in ("systemctl", "supervisorctl") and len(words) > 2 and words[1] in _UNIT_VERBS:
        yield from (word.removesuffix(".service") for word in words[2:] if re.fullmatch(r"[a-z][\w@.-]*", word))
    elif command.program in ("docker-compose", "docker") and "compose" in " ".join(words[:2]):
        verb = next((index for index, word in enumerate(words) if word in _COMPOSE_VERBS), None)
        after = words[verb + 1 :] if verb is not None else ()
        named = [word for word in after if re.fullmatch(r"[a-z][\w-]*", word)]
        yield from named[:1] if verb is not None and words[verb] in ("exec", "run") else named


def kind_of(text: str) -> str:
    """The kind of component that a name or description tells of; `other` where it tells none."""
    for kind, pattern in _KINDS:
        if pattern.search(text):
            return kind
    return "other"


def is_static(name: str) -> bool:
    """Whether a name is written out, not filled in by the shell or a person."""
    return bool(name) and not re.search(r"[$<>{}\[\]*]", name)
