"""Grafana's dashboards, as code. `python -m infra.grafana` writes them to `dashboards/`, which Grafana is provisioned from."""
