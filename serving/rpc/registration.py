"""How the service is registered with a gRPC server: like the generated code, but for one thing.

Generated code has gRPC itself say what is wrong with bytes that are no message, in the name of a
Python class. Here they reach the method, which refuses them as it refuses a wrong field.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
import msgspec
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from everfresh.serving.rpc import recommender_pb2 as pb


class Unreadable(msgspec.Struct, frozen=True):
    """What came in place of a message of this kind."""

    kind: type[Message]


def add_recommender_to_server(servicer: Any, server: Any) -> None:
    """Called by Ray for each of its gRPC servers, with a ``servicer`` that has every method."""
    service = pb.DESCRIPTOR.services_by_name["Recommender"]
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name),
            request_deserializer=partial(read_message, GetMessageClass(method.input_type)),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in service.methods
    }
    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(service.full_name, handlers)


def read_message(kind: type[Message], raw: bytes) -> Message | Unreadable:
    """The message of that kind, or that there is none."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        return Unreadable(kind)
