"""Kafka clients behind the ports: topics, sinks, bounded readers, dead letters."""
