"""The records that other programs write or read, as JSON Schema and AsyncAPI: pure."""
