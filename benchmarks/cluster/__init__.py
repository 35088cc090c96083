"""Two machines, a secured Kafka and an object store: what fails when machines come and go."""
