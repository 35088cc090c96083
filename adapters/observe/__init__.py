"""Observability of a process: log files, Prometheus metrics, scrape targets."""
