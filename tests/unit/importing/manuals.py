"""Two invented manuals of one invented system."""

from __future__ import annotations

BAKERY = """\
# Bakery Orders Operations

## Overview

### Components

- **Orders API**: takes orders (2 replicas)
- **Kitchen Worker**: Celery worker that plans ovens
- **Database**: PostgreSQL 15
- **Cache**: Redis

## Key figures

| Metric | Normal | Warning | Critical |
|---|---|---|---|
| API response time | < 120ms | > 250ms | > 1s |
| Database connections | < 60 | | > 90 |
| Replication lag | | > 5s | > 30s |
| Loaves per hour | > 400 | | < 100 |

## Objectives

- **RTO**: 3 hours
- **RPO**: 30 minutes

## Severity levels

| Severity | Response time | Resolution time |
|---|---|---|
| S1 | 10 minutes | 2 hours |
| S2 | 1 hour | 1 day |

## Maintenance window

Sunday 03:00-05:00 UTC, weekly, 3 days notice.

## Escalation path

1. **Baker on duty**: duty@bakery.example
2. **Head of IT**: it@bakery.example (after 30 minutes)

## Morning checks

```bash
# Are all ovens hot?
kubectl get pods -n bakery
curl https://orders.bakery.example/health
kubectl exec -n bakery db-0 -- pg_isready
```

## Runbook: Restart the orders

```bash
#!/bin/bash
# Take the orders down
kubectl scale deployment/orders-api -n bakery --replicas=0
# End what hangs
kubectl exec -n bakery db-0 -- psql -U baker -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity;"
# Bring them back
kubectl scale deployment/orders-api --replicas=2
./scripts/warm-up.sh
```

## Restore

```bash
# Load the dump
kubectl exec -i -n bakery db-0 -- pg_restore -U baker -d orders /backup/orders.dump
```

## Retention

```sql
-- Old orders go after two years
DELETE FROM old_orders WHERE baked_at < NOW() - INTERVAL '730 days';
```

## Shift checklist

- [ ] Flour is ordered
- [ ] Dashboards are green
"""

GUIDE = """\
# Bakery guide

## Recovery objectives

- **RTO**: 1 hour

## Key metrics

- **API response time**: p95 < 80ms

## Restore

```bash
kubectl exec -n bakery deploy/kitchen-worker -- celery -A ovens inspect active
kubectl exec -n bakery deploy/cache -- redis-cli FLUSHDB
```
"""
