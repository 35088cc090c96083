"""The embedded broker: a real Apache Kafka in KRaft mode, for one machine."""
