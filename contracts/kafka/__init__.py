"""What a Kafka cluster is to its clients: the addresses of its brokers, and how to reach them."""
