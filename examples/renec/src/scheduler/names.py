"""Names that the workers and the API agree on, apart so that the API need not import Celery."""

from __future__ import annotations

QUEUE = "celery"
ENQUEUED_AT = "enqueued_at"
"""Header of every task: seconds since the epoch at which it was put into the queue."""
TASK_FAILURES = "renec:task-failures"
"""Hash in the broker's database: task name → failures so far."""
