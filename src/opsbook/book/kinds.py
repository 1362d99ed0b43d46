"""What a workload probably is, told by its image, its command and its name. Tables, and how they are read."""

from __future__ import annotations

import re

IMAGES = {
    "postgres": ("postgres", 5432), "postgresql": ("postgres", 5432), "postgis": ("postgres", 5432),
    "timescaledb": ("postgres", 5432), "timescaledb-ha": ("postgres", 5432), "pgvector": ("postgres", 5432),
    "redis": ("redis", 6379), "redis-stack": ("redis", 6379), "redis-stack-server": ("redis", 6379),
    "valkey": ("redis", 6379), "keydb": ("redis", 6379), "dragonfly": ("redis", 6379),
    "pgbouncer": ("pgbouncer", 6432),
    "nginx": ("proxy", 80), "nginx-unprivileged": ("proxy", 8080), "haproxy": ("proxy", 80), "traefik": ("proxy", 80),
    "caddy": ("proxy", 80), "envoy": ("proxy", 8080), "httpd": ("proxy", 80), "openresty": ("proxy", 80),
    "prometheus": ("prometheus", 9090), "alertmanager": ("alertmanager", 9093),
    "mysql": ("tcp", 3306), "mariadb": ("tcp", 3306), "mongo": ("tcp", 27017), "mongodb": ("tcp", 27017),
    "rabbitmq": ("tcp", 5672), "kafka": ("tcp", 9092), "memcached": ("tcp", 11211), "nats": ("tcp", 4222),
    "elasticsearch": ("tcp", 9200), "opensearch": ("tcp", 9200), "clickhouse-server": ("tcp", 9000),
    "minio": ("http", 9000), "grafana": ("http", 3000), "flower": ("http", 5555),
}  # fmt: skip
"""Name of an image without registry and tag → component kind and the port that it listens on."""

HEALTH = {"minio": "/minio/health/live", "grafana": "/api/health", "flower": "/healthcheck"}
"""Name of an image → the path that tells whether it serves."""

NAMES = {
    "db": "postgres", "database": "postgres", "postgres": "postgres", "postgresql": "postgres",
    "redis": "redis", "cache": "redis", "broker": "redis", "valkey": "redis",
    "nginx": "proxy", "proxy": "proxy", "gateway": "proxy", "pgbouncer": "pgbouncer",
    "prometheus": "prometheus", "alertmanager": "alertmanager",
}  # fmt: skip
"""Name of a workload whose image says nothing → component kind."""

COMMANDS = (
    (re.compile(r"\bcelery\b.*\bbeat\b"), "celery-beat"),
    (re.compile(r"\bcelery\b.*\bflower\b"), "http"),
    (re.compile(r"\bcelery\b.*\bworker\b"), "celery"),
    (re.compile(r"\b(redis|valkey)-server\b"), "redis"),
    (re.compile(r"(^|/)(postgres|postmaster)\b"), "postgres"),
    (re.compile(r"(^|/)pgbouncer\b"), "pgbouncer"),
    (re.compile(r"(^|/)(nginx|haproxy|caddy|traefik)\b"), "proxy"),
    (re.compile(r"(^|/)prometheus\b"), "prometheus"),
    (re.compile(r"(^|/)alertmanager\b"), "alertmanager"),
    (re.compile(r"\b(uvicorn|gunicorn|hypercorn|daphne|waitress-serve|granian|puma|unicorn)\b"), "http"),
    (re.compile(r"\b(flask run|runserver|rails (s|server)|next start|npm (run )?start|http\.server)\b"), "http"),
)
"""A command that matches → component kind; the first that does."""

WEB_NAMES = re.compile(r"(^|[-_])(web|api|ui|frontend|backend|app|site|server)([-_]|$)")


def guess(name: str, image: str, command: str, listens: bool) -> tuple[str, int | None, str]:
    """Component kind, the port that such a thing listens on, and its health path; `workload` where nothing tells."""
    base = image_name(image)
    if base in IMAGES:
        kind, port = IMAGES[base]
        return kind, port, HEALTH.get(base, "")
    for pattern, kind in COMMANDS:
        if pattern.search(command):
            return kind, None, ""
    if not image and name in NAMES:
        return NAMES[name], None, ""
    if listens or (WEB_NAMES.search(name) and not command):
        return "http", None, ""
    return "workload", None, ""


def image_name(image: str) -> str:
    """The image without registry, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def slug(text: str) -> str:
    """The text as a name of a book."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.")
    return name or "system"
