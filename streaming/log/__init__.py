"""All that talks to Kafka: fetching, sending, the log's identity, its ends and its clock."""
