"""The starter book: what is found, that it loads as it is, that it holds no secret, and that nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbook.book.discover import look
from opsbook.book.load import Book, load_book
from opsbook.book.starter import starter
from opsbook.book.suggestions import SUGGESTED, WORKLOAD
from opsbook.book.system import in_environment
from opsbook.book.threshold import Threshold
from opsbook.catalogue import catalogue
from opsbook.cli.init import command
from opsbook.errors import OpsbookError, UsageError

SECRET = "hunter2"

COMPOSE = f"""
name: My Shop
services:
  web:
    build: .
    command: gunicorn shop.wsgi -b 0.0.0.0:8000
    ports: ["8000:8000"]
    environment:
      DATABASE_URL: postgresql://shop:{SECRET}@db:5432/shop
      CELERY_BROKER_URL: redis://queue:6379/0
      SECRET_KEY: {SECRET}
    depends_on: [db, cache]
    healthcheck: {{test: ["CMD", "curl", "-f", "http://localhost:8000/healthz"]}}
    deploy: {{replicas: 2}}
  worker:
    image: registry.example.org/shop:1.2
    command: [celery, -A, shop, worker]
    environment: [DATABASE_URL=postgresql://shop:{SECRET}@db/shop, "CELERY_BROKER_URL=redis://queue:6379/0"]
    depends_on: {{db: {{condition: service_healthy}}}}
  beat: {{build: ., command: celery -A shop beat}}
  migrate: {{build: ., command: ./manage.py migrate, restart: "no"}}
  db: {{image: "postgis/postgis:16-3.4@sha256:0", ports: ["127.0.0.1:5433:5432"]}}
  db-exporter: {{image: prometheuscommunity/postgres-exporter}}
  cache: {{image: redis:7, ports: ["6380:6379"]}}
  queue: {{image: valkey/valkey:8}}
  front: {{image: nginx:1.27, ports: ["80:80"], depends_on: [web]}}
  mail: {{image: rabbitmq:3, ports: [{{published: 5673, target: 5672}}]}}
"""

KUBERNETES = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: backend, namespace: shop}}
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: backend
          image: registry.example.org/shop/backend:2.1
          ports: [{{containerPort: 8000}}]
          readinessProbe: {{httpGet: {{path: /ready, port: 8000}}}}
          env:
            - {{name: SECRET_KEY, value: {SECRET}}}
            - {{name: DATABASE_URL, valueFrom: {{secretKeyRef: {{name: shop, key: url}}}}}}
            - {{name: REDIS_URL, value: "redis://redis.shop.svc.cluster.local:6379"}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: backend, namespace: shop}}
spec: {{minReplicas: 2, maxReplicas: 10, scaleTargetRef: {{kind: Deployment, name: backend}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: redis, namespace: shop}}
spec: {{template: {{spec: {{containers: [{{image: "redis:7"}}]}}}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop, namespace: shop}}
spec: {{tls: [{{hosts: [shop.example.org], secretName: tls}}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly-report, namespace: shop}}
spec: {{schedule: "0 3 * * *"}}
"""

SUPERVISOR = f"""
[unix_http_server]
file=/run/supervisor.sock

[program:api]
command=uvicorn shop.main:app --port 8000
numprocs=3
process_name=%(program_name)s_%(process_num)d
environment=DATABASE_URL="postgresql://shop:{SECRET}@localhost/shop",SECRET_KEY='{SECRET}'

[program:celery-worker]
command=celery -A shop worker ; a comment

[program:redis]
command=redis-server --port 6390

[program:cleaner]
command=python clean.py
"""


def _book(root: Path) -> tuple[Book, str]:
    result = CliRunner().invoke(command, [str(root)], catch_exceptions=False)
    assert result.exit_code == 0
    path = root / "ops" / "book.yaml"
    text = path.read_text()
    assert SECRET not in text + result.output
    return load_book(path, catalogue()), text


def _kinds(book: Book) -> dict[str, str]:
    return {name: component.kind for name, component in book.model.components.items()}


def _component(book: Book, name: str) -> Any:
    return book.model.components[name]


def test_it_reads_a_compose_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    book, _ = _book(tmp_path)
    assert book.model.system == "my-shop"
    assert _kinds(book) == {
        "front": "proxy",
        "web": "http",
        "worker": "celery",
        "beat": "celery-beat",
        "db-exporter": "workload",
        "db": "postgres",
        "cache": "redis",
        "queue": "redis",
        "mail": "tcp",
    }
    web = _component(book, "web")
    assert (str(web.url), web.health, web.replicas, web.workload) == (
        "${WEB_URL:-http://localhost:8000}",
        "/healthz",
        2,
        "web",
    )
    assert web.depends_on == ("db", "cache", "queue")
    assert web.env == ("DATABASE_URL", "CELERY_BROKER_URL", "SECRET_KEY")
    assert str(_component(book, "db").dsn) == "${DATABASE_URL}"
    assert str(_component(book, "queue").url) == "${CELERY_BROKER_URL}"
    assert str(_component(book, "cache").url) == "${CACHE_URL:-redis://localhost:6380/0}"
    assert str(_component(book, "mail").address) == "${MAIL_ADDRESS:-localhost:5673}"
    assert _component(book, "worker").broker == "queue"
    runtime: Any = book.model.environments["production"].runtime
    assert (runtime.kind, runtime.file) == ("compose", "../compose.yaml")


def test_it_reads_kubernetes_manifests(tmp_path: Path) -> None:
    (tmp_path / "deploy" / "base").mkdir(parents=True)
    (tmp_path / "deploy" / "base" / "all.yaml").write_text(KUBERNETES)
    (tmp_path / "deploy" / "chart.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {{ template }}: x\n")
    book, _ = _book(tmp_path)
    assert book.model.system == "shop"
    assert _kinds(book) == {"backend": "http", "redis": "redis", "database": "postgres", "certificate": "tls"}
    backend = _component(book, "backend")
    assert (backend.health, backend.replicas) == ("/ready", 2)
    assert backend.depends_on == ("redis",)
    assert str(_component(book, "redis").url) == "${REDIS_URL}"
    assert str(_component(book, "database").dsn) == "${DATABASE_URL}"
    assert str(_component(book, "certificate").address) == "shop.example.org:443"
    assert [(job.id, job.schedule) for job in book.model.jobs] == [("nightly-report", "0 3 * * *")]
    runtime: Any = book.model.environments["production"].runtime
    assert (runtime.kind, runtime.namespace) == ("kubernetes", "shop")


def test_it_reads_a_supervisord_conf_and_suggests_checks_of_its_workloads(tmp_path: Path) -> None:
    (tmp_path / "supervisord.conf").write_text(SUPERVISOR)
    book, _ = _book(tmp_path)
    assert _kinds(book) == {
        "api": "http",
        "celery-worker": "celery",
        "cleaner": "workload",
        "redis": "redis",
        "database": "postgres",
        "host": "host",
    }
    api = _component(book, "api")
    assert (str(api.url), api.replicas, api.env) == (
        "${API_URL:-http://localhost:8000}",
        3,
        ("DATABASE_URL", "SECRET_KEY"),
    )
    observed = {(check.of, check.observe) for check in book.model.checks}
    assert {("api", "workload.missing"), ("api", "environment.missing"), ("cleaner", "workload.missing")} <= observed
    assert ("host", "host.disk_free") in observed


def test_it_reads_a_procfile_and_an_env_file(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: npm start\nworker: celery -A x worker\nrelease: ./migrate\n")
    (tmp_path / ".env").write_text(
        f"DATABASE_URL=postgresql://x:{SECRET}@db/x\nREDIS_URL=redis://:{SECRET}@r\nWEB_URL=x\n"
    )
    book, text = _book(tmp_path)
    kinds = {"web": "http", "worker": "celery", "database": "postgres", "cache": "redis", "host": "host"}
    assert _kinds(book) == kinds
    assert book.model.environments["production"].env_file == "../.env"
    assert str(_component(book, "web").url) == "${WEB_URL}"
    assert _component(book, "worker").broker == "cache"
    assert "from Procfile and .env" in text
    system = in_environment(book)
    assert system.missing_secrets(set(system.components)) == []


def test_with_two_places_the_second_only_says_what_differs(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.replace("  web:\n", "  backend:\n").replace("[web]", "[backend]"))
    (tmp_path / "k8s.yaml").write_text(KUBERNETES)
    (tmp_path / ".env").write_text("A=1\n")
    book, _ = _book(tmp_path)
    assert book.model.default_environment == "production"
    assert list(book.model.environments) == ["production", "local"]
    production, local = in_environment(book, "production"), in_environment(book, "local")
    assert (production.environment.policy, local.environment.policy) == ("strict", "open")
    assert (production.environment.env_file, local.environment.env_file) == ("", "../.env")
    assert (production.components["db"].workload, local.components["db"].workload) == ("", "db")
    assert str(local.components["backend"].url) == "${BACKEND_URL:-http://localhost:8000}"  # type: ignore[attr-defined]


def test_where_nothing_is_found_the_book_watches_this_machine(tmp_path: Path) -> None:
    book, _ = _book(tmp_path)
    assert _kinds(book) == {"host": "host"}
    assert {check.of for check in book.model.checks} == {"host"}


def test_it_looks_neither_too_deep_nor_into_what_others_wrote(tmp_path: Path) -> None:
    for folder in ("node_modules/x", ".venv/x", ".git", "a/b/c/d/e/f/g", "vendor"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "compose.yaml").write_text(COMPOSE)
    assert look(tmp_path).places == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("compose.yaml", "services: [a, b"),
        ("compose.yaml", "- a"),
        ("compose.yaml", "services: {a: 5, b: {ports: [[1]], environment: 3, command: {a: b}, deploy: []}}"),
        ("compose.yaml", "services: {a: {depends_on: [b]}, b: {depends_on: [c]}, c: {depends_on: [a, nobody]}}"),
        ("compose.yaml", "services: {'Ä B!': {image: x}, 'true': {image: redis}, a: {environment: ['X Y=1', '=2']}}"),
        ("k8s.yaml", "apiVersion: v1\nkind: Deployment\nspec: {template: 5}"),
        ("k8s.yaml", "apiVersion: v1\nkind: List\nitems: [5, {kind: StatefulSet, metadata: {name: [1]}}]"),
        ("supervisord.conf", "[program:a]\ncommand"),
        ("supervisord.conf", "[program:a]\ncommand=%(here)s/run\nnumprocs=many\n[program:]\n"),
        ("Procfile", "no colon\n: x\nweb:\n"),
        (".env", "\x00\x01=3\nA B=4\n=5\n"),
    ],
)
def test_what_is_odd_does_not_stop_it(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    book, _ = _book(tmp_path)
    assert book.model.components


def test_a_file_that_is_not_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: [a, b")
    result = CliRunner().invoke(command, [str(tmp_path)])
    assert "not understood: compose.yaml: " in result.output


SERVICES = st.dictionaries(
    st.text("abcdb-_.XÄ1 ", min_size=1, max_size=6),
    st.fixed_dictionaries(
        {},
        optional={
            "image": st.sampled_from(["redis:7", "postgres", "x/nginx", "me/app:1", "rabbitmq", "prom/prometheus", ""]),
            "command": st.sampled_from(["celery -A a worker", "celery beat", "gunicorn a", "sleep 1"]),
            "ports": st.lists(
                st.sampled_from(["80:80", 90, "127.0.0.1:7000:7000/tcp", "${P:-81}:80", "x"]), max_size=2
            ),
            "depends_on": st.lists(st.sampled_from(["a", "b", "c", "ab"]), max_size=3),
            "environment": st.dictionaries(
                st.sampled_from(["REDIS_URL", "A_URL", "X Y", "CELERY_BROKER_URL"]),
                st.sampled_from(["redis://a", "http://b:1", "x", None]),
            ),
        },
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SERVICES, st.booleans())
def test_whatever_is_found_the_book_loads(tmp_path: Path, services: dict[str, Any], asked: bool) -> None:
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    path = tmp_path / "book.yaml"
    path.write_text(starter(look(tmp_path), tmp_path, catalogue(), {"compose"} if asked else set()))
    load_book(path, catalogue())


def test_an_existing_book_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    book = tmp_path / "ops" / "book.yaml"
    book.write_text("mine")
    for into in ("ops", "other"):
        with pytest.raises(UsageError, match="there is a book already") as raised:
            CliRunner().invoke(command, [str(tmp_path), "--into", into], catch_exceptions=False)
        assert raised.value.exit_code == 2
    assert book.read_text() == "mine"
    assert [path.name for path in tmp_path.rglob("*")] == ["ops", "book.yaml"]


def test_nothing_is_left_behind_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "ops").write_text("a file")
    with pytest.raises(OpsbookError, match="cannot be written"):
        CliRunner().invoke(command, [str(tmp_path)], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["ops"]


def test_it_is_written_as_a_whole(tmp_path: Path) -> None:
    _book(tmp_path)
    assert [path.name for path in (tmp_path / "ops").iterdir()] == ["book.yaml"]


def test_every_suggestion_exists_and_fits_what_it_observes() -> None:
    known = catalogue().observations
    for one in [*WORKLOAD, *(one for group in SUGGESTED.values() for one in group)]:
        spec = known[one.observe]
        for text in (one.warning, one.critical):
            assert not text or Threshold.parse(text).misfit(spec.dimension) is None
    assert set(SUGGESTED) <= set(catalogue().components)
