"""Doors to the world behind the ports: Kafka, weights, state, files, metrics. No domain logic."""
