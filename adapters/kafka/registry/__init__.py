"""Schemas from a registry, and values that were written with them: Avro and Protobuf."""
