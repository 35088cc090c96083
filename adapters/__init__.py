"""Implementations of the ports: Kafka, weights, state, files, metrics. No domain logic."""
