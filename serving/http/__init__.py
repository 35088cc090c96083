"""The HTTP door: routes, request bodies, problem documents, OpenAPI."""
