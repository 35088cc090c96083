"""``Assigner`` for arms that other systems decide; the built-in one follows a Kafka topic."""
