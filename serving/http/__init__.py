"""The HTTP door: routes, and the OpenAPI document that describes them."""
