"""What waits for Kafka: closed slices, outcomes and dead letters, delivered in order."""
