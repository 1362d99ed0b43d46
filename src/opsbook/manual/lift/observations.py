"""What figures are called in manuals, and the observations that yield them, as a table.

Each row: words of the name (a regular expression, several languages), the component kinds that it is read of, the
observation, and whether the figure is turned: a manual speaks of what is used, the observation of what is left.
The first row fits whose words match, whose observation has the unit of the figure, and whose component the book has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One name of a figure."""

    words: re.Pattern[str]
    kinds: tuple[str, ...]
    observe: str
    turned: bool = False


_TIME = (
    r"(?:response|request|api|page|answer).{0,12}(?:time|latenc)|latenc|reaktionszeit|antwortzeit|latenz|tiempo de respuesta|"  # noqa: E501
    r"tempo de resposta|temps de réponse|время (?:ответа|отклика)|задержк|响应时间|延迟|応答時間|レイテンシ|응답 ?시간|지연"  # noqa: E501
)
_ERRORS = r"error.{0,3}rate|5xx|error ratio|tasa de error|taxa de erro|fehlerrate|taux d'erreur|ошиб\w* |доля ошибок|错误率|エラー率|오류율"  # noqa: E501
_DATABASE = r"\bdb\b|database|postgres|sql|base de datos|banco de dados|datenbank|база данных|数据库|データベース|데이터베이스|connection pool"  # noqa: E501
_MEMORY = r"memory|\bram\b|heap|memoria|memória|speicher|mémoire|память|内存|メモリ|메모리"
_CPU = r"\bcpu\b|processor|procesador|prozessor|процессор|处理器"
_DISK = r"disk|storage|filesystem|volume|disco|festplatte|speicherplatz|диск|磁盘|ディスク|디스크"
_FREE = r"free|available|libre|livre|frei|remaining|свободн|剩余|可用|空き|여유"
_CONNECTIONS = r"connection|conexion|conexões|verbindung|соединени|подключени|连接|接続|연결"
_WORDS = {
    "time": _TIME, "errors": _ERRORS, "db": _DATABASE, "memory": _MEMORY, "cpu": _CPU, "disk": _DISK, "free": _FREE,
    "connections": _CONNECTIONS, "cache": r"redis|cache|caché|缓存|キャッシュ|캐시|valkey",
}  # fmt: skip


def _row(text: str, kinds: str, observe: str, turned: bool = False) -> Row:
    for word, pattern in _WORDS.items():
        text = text.replace(f"<{word}>", f"(?:{pattern})")
    return Row(re.compile(text, re.I | re.S), tuple(kinds.split()), observe, turned)


_BOTH = "(?=.*{})(?=.*{}).*"
TABLE: tuple[Row, ...] = (
    _row(r"replica\w*.{0,12}(?:lag|delay)|lag.{0,9}replic|retraso de réplica|replikationsverzug|отставание репл|复制延迟|レプリケーション遅延|복제 지연", "postgres", "postgres.replication_lag"),  # noqa: E501
    _row(r"replica\w*.{0,12}lag", "postgres", "postgres.replication_lag_bytes"),
    _row(_BOTH.format("<cache>", r".*(?:hit|命中|ヒット|적중|treffer|aciertos)") + "", "redis", "redis.hit_rate"),
    _row(_BOTH.format("<db>", r".*hit"), "postgres", "postgres.cache_hit_ratio"),
    _row(_BOTH.format("<cache>", "<memory>"), "redis", "redis.memory_ratio"),
    _row(_BOTH.format("<cache>", "<memory>"), "redis", "redis.memory"),
    _row(_BOTH.format("<cache>", "<connections>"), "redis", "redis.clients"),
    _row(_BOTH.format("<cache>", "evict"), "redis", "redis.evictions"),
    _row(r"pgbouncer|connection pool|pool (?:use|usage|util|satur)", "pgbouncer", "pgbouncer.saturation"),
    _row(r"pgbouncer|connection pool", "pgbouncer", "pgbouncer.waiting"),
    _row(r"(?=.*<connections>)(?=.*<db>)|^(?:active |db )?<connections>", "postgres", "postgres.connections_ratio"),
    _row(r"(?=.*<connections>)(?=.*<db>)|^(?:active |db )?<connections>", "postgres", "postgres.connections"),
    _row(r"dead (?:tuple|row)", "postgres", "postgres.dead_tuples"),
    _row(r"dead (?:tuple|row)|bloat", "postgres", "postgres.dead_ratio"),
    _row(r"slow quer|consultas? lenta|langsame abfrage|慢查询|медленн\w+ запрос", "postgres", "postgres.slow_queries"),
    _row(r"quer\w* (?:time|duration)|consulta.*tiempo|abfragezeit|查询(?:时间|耗时)", "postgres", "postgres.slowest_query"),  # noqa: E501
    _row(r"long[- ]running|oldest transaction", "postgres", "postgres.oldest_transaction"),
    _row(r"lock wait|waiting lock|blocked", "postgres", "postgres.waiting_locks"),
    _row(r"deadlock", "postgres", "postgres.deadlocks"),
    _row(r"transaction id|wraparound|xid", "postgres", "postgres.transaction_age"),
    _row(r"database size|db size", "postgres", "postgres.database_size"),
    _row(r"queue.{0,12}(?:depth|length|size|backlog)|backlog|pending (?:task|job)|cola|fila|warteschlange|очеред|队列|キュー|대기열", "celery", "celery.queue_depth"),  # noqa: E501
    _row(r"(?:oldest|waiting).{0,12}(?:task|job|message)|queue.{0,9}(?:age|time|delay)", "celery", "celery.oldest_waiting"),  # noqa: E501
    _row(r"(?:task|job|worker).{0,12}fail|failed (?:task|job)", "celery", "celery.failure_rate"),
    _row(r"(?:active|running|alive|celery) worker|workers?$", "celery", "celery.workers"),
    _row(r"certificat|ssl|\btls\b|zertifikat|сертификат|证书|証明書|인증서", "tls proxy http", "tls.days_left"),
    _row(r"(?:p|\b)50\b.*(?:<time>)|(?:<time>).*(?:p50|median)", "http proxy", "http.latency_p50"),
    _row(r"(?:p|\b)99\b.*(?:<time>)|(?:<time>).*p99", "http proxy", "http.latency_p99"),
    _row(r"<errors>", "http proxy", "http.error_ratio"),
    _row(r"<time>", "http proxy", "http.latency_p95"),
    _row(r"(?:pod|container|instance|workload)?.{0,9}restart|reinicio|neustart|перезапуск|重启|再起動|재시작", "*", "workload.restarts"),  # noqa: E501
    _row(r"inode", "host", "host.inodes_free", True),
    _row(_BOTH.format("<disk>", "<free>"), "host", "host.disk_free"),
    _row(_BOTH.format("<disk>", "<free>"), "host", "host.disk_free_bytes"),
    _row(r"<disk>", "host", "host.disk_free", True),
    _row(r"(?:pod|container|docker|service|api|worker).{0,12}(?:<memory>)", "*", "workload.memory_ratio"),
    _row(r"(?:pod|container|docker|service|api|worker).{0,12}(?:<cpu>)", "*", "workload.cpu"),
    _row(r"swap", "host", "host.swap"),
    _row(r"<memory>", "host", "host.memory"),
    _row(r"<cpu>", "host", "host.cpu"),
    _row(r"load average|system load|\bload\b", "host", "host.load"),
    _row(r"<memory>", "*", "workload.memory_ratio"),
    _row(r"<cpu>", "*", "workload.cpu"),
    _row(r"file descriptor|open files", "host", "host.file_descriptors"),
    _row(r"(?:failed|authentication|login|auth).{0,12}(?:fail|attempt|login)", "host", "host.failed_logins"),
    _row(r"firing alert|active alert", "prometheus", "prometheus.firing_alerts"),
)  # fmt: skip
"""`*` stands for every component with a workload."""

AVAILABILITY = re.compile(r"uptime|availab|disponib|verfügbar|доступност|可用性|稼働率|가용", re.I)
"""A share of time in which the system is there: a service level, not a check."""
