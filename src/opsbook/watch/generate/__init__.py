"""What Prometheus, Alertmanager, Grafana and blackbox_exporter are told, by the same thresholds as the checks."""
