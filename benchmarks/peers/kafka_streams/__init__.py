"""Kafka Streams as a peer: its one class, its libraries, and what builds them on first use."""
