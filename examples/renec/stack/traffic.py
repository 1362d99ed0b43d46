"""Two months of the API's log, as if the system had run that long: something to back up and to restore."""

from __future__ import annotations

import psycopg

from stack.instance import Instance
from stack.postgres import url

REQUESTS = 1_000_000
"""Some 200 MB with their indexes."""
WRITE = """
INSERT INTO api_logs (method, route, path, status, duration_ms, client, release, created_at)
SELECT 'GET', '/api/v1/standards/{code}', '/api/v1/standards/EC' || lpad((1 + mod(n * 7919, 246))::text, 4, '0'),
       CASE WHEN mod(n, 97) = 0 THEN 404 ELSE 200 END, round((2 + 40 * abs(sin(n)))::numeric, 2),
       '10.1.' || mod(n * 31, 250) || '.' || mod(n * 17, 250), '1.4.2',
       now() - interval '60 days' + n * interval '60 days' / %(requests)s
FROM generate_series(1, %(requests)s::bigint) AS n
"""


def write(instance: Instance) -> int:
    """Write what lacks of the two months; how many requests the log has then."""
    with psycopg.connect(url(instance, "renec")) as connection:
        (there,) = connection.execute("SELECT count(*) FROM api_logs").fetchone() or (0,)
        if there < REQUESTS:
            connection.execute(WRITE, {"requests": REQUESTS})
            there += REQUESTS
        return int(there)
