"""What well-known exporters expose of the facts that checks observe: a table, observation → PromQL.

Names are those of node_exporter 1.x, postgres_exporter 0.13 and later (collectors that are on by default),
redis_exporter 1.x and blackbox_exporter 0.2x. An expression yields the canonical unit of its observation; `<of>` stands
for the labels that choose the component's series: its targets carry `component`. What no exporter shows in the same
meaning is not here: it is left to opsbook's own `/metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opsbook.book.checks import Check
from opsbook.watch.generate.promql import quoted

EXPORTERS = {
    "node": "node_exporter on the machines of kind host",
    "postgres": "postgres_exporter beside components of kind postgres",
    "redis": "redis_exporter beside components of kind redis",
    "blackbox": "blackbox_exporter, as `opsbook generate blackbox` sets it up",
}


@dataclass(frozen=True)
class Input:
    """A series with which an expression yields a wanted value v, for rule tests: `times` · v + `plus` at time 0.

    It grows by `rate_times` · v + `each_second` a second: by 1 for moments, so that what is counted from or to now
    stays the same.
    """

    metric: str
    times: float = 1.0
    plus: float = 0.0
    each_second: float = 0.0
    rate_times: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """How an exporter shows an observation. `takes` are parameters of the check that become labels: (parameter, label).

    A check with a parameter that is not among them, or without one of them, means something else.
    """

    exporter: str
    expression: str
    inputs: tuple[Input, ...]
    takes: tuple[tuple[str, str], ...] = ()

    def expression_of(self, labels: Mapping[str, str]) -> str:
        """The expression for the series with these labels."""
        return self.expression.replace("<of>", ", ".join(f"{name}={quoted(value)}" for name, value in labels.items()))


def one(exporter: str, metric: str) -> Seen:
    """A gauge, or a counter that counts since the server was started, as its observation does."""
    return Seen(exporter, f"max({metric}{{<of>}})", (Input(metric),))


def moment_ago(exporter: str, metric: str) -> Seen:
    """The time since a moment."""
    return Seen(exporter, f"(time() - max({metric}{{<of>}}))", (Input(metric, -1.0, 0.0, 1.0),))


def share_left(exporter: str, left: str, whole: str) -> Seen:
    """The share of a whole that is used, of what is left of it."""
    return Seen(
        exporter,
        f"(1 - max({left}{{<of>}}) / max({whole}{{<of>}}))",
        (Input(left, -100.0, 100.0), Input(whole, 0.0, 100.0)),
    )


def share(exporter: str, part: str, whole: str) -> Seen:
    """The share that a part has of a whole."""
    return Seen(
        exporter, f"(sum({part}{{<of>}}) / max({whole}{{<of>}}))", (Input(part, 100.0), Input(whole, 0.0, 100.0))
    )


def share_of_both(exporter: str, part: str, other: str, takes: tuple[tuple[str, str], ...] = ()) -> Seen:
    """The share that a count has of itself and another."""
    text = f"(sum({part}{{<of>}}) / (sum({part}{{<of>}}) + sum({other}{{<of>}})))"
    return Seen(exporter, text, (Input(part, 100.0), Input(other, -100.0, 100.0)), takes)


ROOT = {"mountpoint": "/"}

TABLE: dict[str, Seen] = {
    # node_exporter: collectors cpu, filesystem, filefd, loadavg, meminfo, stat, timex
    "host.memory": share_left("node", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"),
    "host.swap": share_left("node", "node_memory_SwapFree_bytes", "node_memory_SwapTotal_bytes"),
    "host.cpu": Seen(  # waiting for disks is not busy, as in the observation
        "node",
        '(1 - sum(rate(node_cpu_seconds_total{<of>, mode=~"idle|iowait"}[5m]))'
        " / sum(rate(node_cpu_seconds_total{<of>}[5m])))",
        (
            Input("node_cpu_seconds_total", 0.0, 0.0, 1.0, -1.0, {"mode": "idle", "cpu": "0"}),
            Input("node_cpu_seconds_total", 0.0, 0.0, 0.0, 1.0, {"mode": "user", "cpu": "0"}),
        ),
    ),
    "host.disk_free": Seen(  # what df calls free: root's reserve is left out
        "node",
        '(max(node_filesystem_avail_bytes{<of>, mountpoint="/"}) / (max(node_filesystem_size_bytes{<of>,'
        ' mountpoint="/"}) - max(node_filesystem_free_bytes{<of>, mountpoint="/"})'
        ' + max(node_filesystem_avail_bytes{<of>, mountpoint="/"})))',
        (
            Input("node_filesystem_avail_bytes", 100.0, labels=ROOT),
            Input("node_filesystem_free_bytes", 100.0, labels=ROOT),
            Input("node_filesystem_size_bytes", 0.0, 100.0, labels=ROOT),
        ),
    ),
    "host.disk_free_bytes": Seen(
        "node",
        'max(node_filesystem_avail_bytes{<of>, mountpoint="/"})',
        (Input("node_filesystem_avail_bytes", labels=ROOT),),
    ),
    "host.inodes_free": Seen(
        "node",
        '(max(node_filesystem_files_free{<of>, mountpoint="/"}) / max(node_filesystem_files{<of>, mountpoint="/"}))',
        (
            Input("node_filesystem_files_free", 100.0, labels=ROOT),
            Input("node_filesystem_files", 0.0, 100.0, labels=ROOT),
        ),
    ),
    "host.file_descriptors": share("node", "node_filefd_allocated", "node_filefd_maximum"),
    "host.load": Seen(
        "node",
        '(max(node_load5{<of>}) / count(node_cpu_seconds_total{<of>, mode="idle"}))',
        (
            Input("node_load5"),
            Input("node_cpu_seconds_total", 0.0, 0.0, 1.0, 0.0, {"mode": "idle", "cpu": "0"}),
        ),
    ),
    "host.uptime": moment_ago("node", "node_boot_time_seconds"),
    "host.clock_synchronised": one("node", "node_timex_sync_status"),
    # postgres_exporter: pg_up and the collectors database, postmaster, replication, stat_activity, stat_database,
    # stat_user_tables, settings
    "postgres.up": Seen("postgres", "min(pg_up{<of>})", (Input("pg_up"),)),
    "postgres.connections_ratio": share("postgres", "pg_stat_activity_count", "pg_settings_max_connections"),
    "postgres.connections": Seen("postgres", "sum(pg_stat_activity_count{<of>})", (Input("pg_stat_activity_count"),)),
    "postgres.cache_hit_ratio": share_of_both(
        "postgres", "pg_stat_database_blks_hit", "pg_stat_database_blks_read", (("database", "datname"),)
    ),
    "postgres.rollback_ratio": share_of_both(
        "postgres", "pg_stat_database_xact_rollback", "pg_stat_database_xact_commit", (("database", "datname"),)
    ),
    "postgres.deadlocks": Seen(
        "postgres", "sum(pg_stat_database_deadlocks{<of>})", (Input("pg_stat_database_deadlocks"),)
    ),
    "postgres.cluster_size": Seen("postgres", "sum(pg_database_size_bytes{<of>})", (Input("pg_database_size_bytes"),)),
    "postgres.database_size": Seen(
        "postgres", "max(pg_database_size_bytes{<of>})", (Input("pg_database_size_bytes"),), (("database", "datname"),)
    ),
    "postgres.dead_tuples": one("postgres", "pg_stat_user_tables_n_dead_tup"),
    "postgres.uptime": moment_ago("postgres", "pg_postmaster_start_time_seconds"),
    # redis_exporter: what INFO says, named as its README lists
    "redis.up": Seen("redis", "min(redis_up{<of>})", (Input("redis_up"),)),
    "redis.clients": one("redis", "redis_connected_clients"),
    "redis.clients_ratio": share("redis", "redis_connected_clients", "redis_config_maxclients"),
    "redis.blocked_clients": one("redis", "redis_blocked_clients"),
    "redis.memory": one("redis", "redis_memory_used_bytes"),
    "redis.memory_ratio": Seen(  # without a limit there is no share: the exporter says 0 then
        "redis",
        "(max(redis_memory_used_bytes{<of>}) / (max(redis_memory_max_bytes{<of>}) > 0))",
        (Input("redis_memory_used_bytes", 100.0), Input("redis_memory_max_bytes", 0.0, 100.0)),
    ),
    "redis.fragmentation": one("redis", "redis_mem_fragmentation_ratio"),
    "redis.hit_rate": share_of_both("redis", "redis_keyspace_hits_total", "redis_keyspace_misses_total"),
    "redis.evictions": one("redis", "redis_evicted_keys_total"),
    "redis.expired_keys": one("redis", "redis_expired_keys_total"),
    "redis.rejected_connections": one("redis", "redis_rejected_connections_total"),
    "redis.keys_total": Seen("redis", "sum(redis_db_keys{<of>})", (Input("redis_db_keys"),)),
    "redis.replicas": one("redis", "redis_connected_slaves"),
    "redis.last_save": moment_ago("redis", "redis_rdb_last_save_timestamp_seconds"),
    "redis.uptime": one("redis", "redis_uptime_in_seconds"),
    # blackbox_exporter: each check is a target of its own, so that the label `check` chooses it
    "http.up": Seen("blackbox", "min(probe_success{<of>})", (Input("probe_success"),)),
    "http.status": Seen(
        "blackbox", "max(probe_http_status_code{<of>})", (Input("probe_http_status_code"),), (("path", ""),)
    ),
    "tcp.open": Seen("blackbox", "min(probe_success{<of>})", (Input("probe_success"),)),
    "dns.resolves": Seen("blackbox", "min(probe_success{<of>})", (Input("probe_success"),)),
    "tls.days_left": Seen(
        "blackbox",
        "(min(probe_ssl_earliest_cert_expiry{<of>}) - time())",
        (Input("probe_ssl_earliest_cert_expiry", 1.0, 0.0, 1.0),),
    ),
    "tls.chain_valid": Seen("blackbox", "min(probe_success{<of>})", (Input("probe_success"),)),
}
"""Observation → how an exporter shows it."""


def seen_by(check: Check, exporters: frozenset[str]) -> Seen | None:
    """How one of these exporters shows what the check observes; None where none does in the same meaning."""
    found = TABLE.get(check.observe)
    if found is None or found.exporter not in exporters or {name for name, _ in found.takes} != set(check.with_):
        return None
    return found


def labels_of(check: Check, seen: Seen) -> dict[str, str]:
    """The labels that choose the series of a check."""
    chosen = {"component": check.of, **({"check": check.id} if seen.exporter == "blackbox" else {})}
    return chosen | {label: str(check.with_[name]) for name, label in seen.takes if label}
