"""A schema registry over HTTP, as far as a reader of schemas needs it (Confluent's interface)."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Registry:
    """``schemas`` by id, ``subjects`` by name and version; each is the answer's JSON."""

    def __init__(self, port: int = 0) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], dict[str, Any]] = {}
        self.asked: list[str] = []
        self.login = ""
        self.code = 200
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, answer = registry.answer(self.path, self.headers.get("Authorization", ""))
                body = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, authorization: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.code != 200:
            return self.code, {"error_code": self.code}
        if self.login and authorization != f"Basic {self.login}":
            return 401, {"error_code": 401}
        steps = path.partition("?")[0].strip("/").split("/")
        if steps[:2] == ["schemas", "ids"] and int(steps[2]) in self.schemas:
            return 200, self.schemas[int(steps[2])]
        if steps[0] == "subjects" and (steps[1], int(steps[3])) in self.subjects:
            return 200, self.subjects[steps[1], int(steps[3])]
        return 404, {"error_code": 40403, "message": "Schema not found"}

    @contextmanager
    def up(self) -> Iterator[Registry]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def framed(number: int, body: bytes) -> bytes:
    return struct.pack(">bI", 0, number) + body


def avro(schema: Any, **more: Any) -> dict[str, Any]:
    return {"schema": json.dumps(schema), **more}


def protobuf(file: Any, **more: Any) -> dict[str, Any]:
    text = base64.b64encode(file.SerializeToString()).decode()
    return {"schema": text, "schemaType": "PROTOBUF", **more}
