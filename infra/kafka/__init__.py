"""Apache Kafka: the embedded broker, the topics, and the clients behind the ports."""
