"""The gRPC interface: ``recommender.proto``, and what ``protoc`` makes of it.

To make it again: ``python -m everfresh.serving.rpc``.
"""
