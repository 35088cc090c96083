"""Adapters to Kafka, RocksDB, storage and processes, and the command line. No domain logic."""
