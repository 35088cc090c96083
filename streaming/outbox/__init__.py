"""The outbox: closed slices, outcomes and dead letters that wait for Kafka, and their delivery."""
