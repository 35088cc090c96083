"""What a process says of itself: log files, Prometheus metrics, scrape targets."""
