"""The checks that a starter book suggests for each kind of component, and the figures to begin with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suggestion:
    """One check. `id` follows the component's name; figures are ones that many teams begin with."""

    id: str
    observe: str
    title: str
    warning: str = ""
    critical: str = ""
    for_: str = ""
    with_: str = ""
    daily: bool = True
    needs: str = ""
    """`workload`, `replicas` or `variables`: only for a part that has them."""


WEB = (
    Suggestion("up", "http.up", "answers", critical="is down"),
    Suggestion("latency", "http.latency_p95", "response time of 95 % of the requests", "> 200ms", "> 1s", "5m"),
)
POSTGRES = (
    Suggestion("up", "postgres.up", "answers", critical="is down"),
    Suggestion("connections", "postgres.connections_ratio", "connections of the most allowed", "> 80%", "> 90%"),
    Suggestion("long-queries", "postgres.long_queries", "queries that run long", "> 0", with_="{older_than: 5m}"),
    Suggestion(
        "idle-in-transaction", "postgres.idle_in_transaction", "transactions left open", "> 0", with_="{older_than: 5m}"
    ),
    Suggestion("dead-tuples", "postgres.dead_tuples", "dead rows that vacuum left", "> 10000", daily=False),
    Suggestion("cache-hits", "postgres.cache_hit_ratio", "reads served from memory", "< 90%", daily=False),
    Suggestion("transaction-ids", "postgres.transaction_age", "transaction ids used up", "> 50%", "> 80%"),
)
REDIS = (
    Suggestion("up", "redis.up", "answers", critical="is down"),
    Suggestion("memory", "redis.memory_ratio", "memory of its limit", "> 75%", "> 90%"),
    Suggestion("rejected", "redis.rejected_connections", "clients turned away", "> 0", daily=False),
)
CELERY = (
    Suggestion("workers", "celery.workers", "workers that answer", critical="< 1"),
    Suggestion("queue", "celery.queue_depth", "tasks that wait", "> 100", "> 1000", "10m"),
    Suggestion("oldest", "celery.oldest_waiting", "oldest task that waits", "> 5m", "> 30m"),
)
WORKLOAD = (
    Suggestion("instances", "workload.missing", "instances missing", critical="> 0", for_="2m", needs="replicas"),
    Suggestion("restarts", "workload.restarts", "restarts", "> 3", daily=False, needs="workload"),
    Suggestion("memory-limit", "workload.memory_ratio", "memory of its limit", "> 85%", daily=False, needs="workload"),
    Suggestion("environment", "environment.missing", "variables not set", critical="> 0", needs="variables"),
)
HOST = (
    Suggestion("disk", "host.disk_free", "free disk", "< 20%", "< 10%"),
    Suggestion("memory", "host.memory", "memory used", "> 85%", "> 95%"),
    Suggestion("cpu", "host.cpu", "processor used", "> 80%", "> 95%", "15m"),
    Suggestion("clock", "host.clock_synchronised", "clock is synchronised", "is down", daily=False),
)

SUGGESTED: dict[str, tuple[Suggestion, ...]] = {
    "http": WEB,
    "proxy": WEB[:1],
    "postgres": POSTGRES,
    "pgbouncer": (
        Suggestion("up", "pgbouncer.up", "answers", critical="is down"),
        Suggestion("waiting", "pgbouncer.waiting", "clients that wait", "> 5", "> 20", "5m"),
    ),
    "redis": REDIS,
    "celery": CELERY,
    "prometheus": (
        Suggestion("up", "prometheus.up", "answers", critical="is down"),
        Suggestion("targets", "prometheus.targets_down", "targets that cannot be scraped", "> 0"),
        Suggestion("alerts", "prometheus.firing_alerts", "alerts that fire", "> 0"),
    ),
    "alertmanager": (Suggestion("up", "alertmanager.up", "answers", critical="is down"),),
    "tcp": (Suggestion("open", "tcp.open", "takes connections", critical="is down"),),
    "tls": (
        Suggestion("days-left", "tls.days_left", "certificate expires", "< 30d", "< 7d"),
        Suggestion("chain", "tls.chain_valid", "certificate chain", critical="is down"),
    ),
    "host": HOST,
}
"""Component kind → its checks. Those of WORKLOAD are added for every part that a runtime holds."""

ADDRESS = {
    "http": ("url", "http://localhost:{port}"),
    "proxy": ("url", "http://localhost:{port}"),
    "postgres": ("dsn", ""),
    "pgbouncer": ("dsn", ""),
    "redis": ("url", "redis://localhost:{port}/0"),
    "prometheus": ("url", "http://localhost:{port}"),
    "alertmanager": ("url", "http://localhost:{port}"),
    "tcp": ("address", "localhost:{port}"),
}
"""Component kind → the key of its address, and what it is where a port of this machine leads to it."""

VARIABLES = {
    "postgres": ("DATABASE_URL", "POSTGRES_URL", "POSTGRES_DSN", "DATABASE_DSN", "DB_URL", "PG_URL", "DATABASE_URI"),
    "redis": ("REDIS_URL", "CACHE_URL", "REDIS_DSN", "CELERY_BROKER_URL", "BROKER_URL"),
    "http": ("API_URL", "API_BASE_URL", "APP_URL", "BASE_URL", "PUBLIC_URL"),
    "prometheus": ("PROMETHEUS_URL",),
    "alertmanager": ("ALERTMANAGER_URL",),
}
"""Component kind → the variables that usually hold its address, best first."""
BROKERS = ("CELERY_BROKER_URL", "BROKER_URL")

MEANT_FOR = {
    "http": "speaks HTTP: `health` is a path that answers 2xx while it can serve; `metrics`, if it has any",
    "proxy": "stands in front of the others",
    "postgres": "PostgreSQL: a libpq URL (postgresql://user:password@host/database, no +driver) of a role that has "
    "pg_monitor",
    "redis": "Redis or Valkey: redis://[:password@]host:port/database",
    "celery": "Celery workers, asked through their broker",
    "celery-beat": "Celery's scheduler: it shows in what it causes to run",
    "pgbouncer": "PgBouncer: the URL of its console, postgresql://user:password@host:port/pgbouncer",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "tcp": "something that opsbook only knows by its port",
    "tls": "the certificate that users see",
    "workload": "runs without a port of its own",
    "host": "the machine that opsbook runs on",
}
"""Component kind → the comment above one."""
