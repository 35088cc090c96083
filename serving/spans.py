"""Spans of a replica: a version that goes live, and an answer whose request is traced.

A request without a sampled ``traceparent`` leaves no span: whoever asks begins the trace. That of
an answer stands in the asker's trace, and links to the span of the version that made it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextvars import ContextVar

from opentelemetry.trace import SpanContext, SpanKind

from everfresh.adapters.observe.tracing.contexts import sampled_context
from everfresh.adapters.observe.tracing.spans import Attributes, Spans
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.ports import Clock
from everfresh.serving.recommend import Answer, SimilarAnswer
from everfresh.serving.versions.holder import LoadedVersion

Headers = Iterable[tuple[str | bytes, str | bytes | None]]

_SERVICE = "everfresh.v1.Recommender"
_METHODS = {"GET", "HEAD", "POST"}
_REMEMBERED = 256
"""Versions that answers link to; those that were live before them are forgotten."""
_ANSWER: ContextVar[Answer | SimilarAnswer | None] = ContextVar("answer", default=None)


class ReplicaSpans:
    """``live`` is called by the threads that follow versions, the rest by every request."""

    def __init__(self, spans: Spans, clock: Clock) -> None:
        self._spans = spans
        self._clock = clock
        # Replaced as a whole: requests read it meanwhile.
        self._versions: dict[tuple[str, int], SpanContext] = {}
        self._noting = threading.Lock()

    def live(self, track: str, loaded: LoadedVersion, began_ms: int) -> None:
        """A version of ``track`` is live here; the look that found it began at ``began_ms``."""
        version = self._version(track, loaded.manifest)
        if version is None:
            return
        with self._noting:
            kept = list(self._versions.items())[1 - _REMEMBERED :]
            self._versions = dict([*kept, ((track, loaded.version), version)])
        attributes: Attributes = {
            "everfresh.track": track,
            "everfresh.version": loaded.version,
            "everfresh.epoch": loaded.epoch,
        }
        self._spans.write("take over", (began_ms, loaded.live_since_ms), attributes, parent=version)

    def answered(self, answer: Answer | SimilarAnswer | None) -> None:
        """What the request that is worked on here is answered with, for :meth:`http` or
        :meth:`rpc`."""
        _ANSWER.set(answer)

    def http(
        self, headers: Headers, method: str, route: str, status: int, problem: str, took_s: float
    ) -> None:
        """A request over HTTP was answered; ``route`` is empty for one that there is not."""
        answer = _taken()
        parent = sampled_context(headers)
        if parent is None:
            return
        known = method in _METHODS
        attributes: dict[str, str | int | float | bool] = {
            "http.request.method": method if known else "_OTHER",
            "http.response.status_code": status,
            "url.scheme": "http",
            **({"http.route": route, "url.path": route} if route else {}),
            **({"error.type": problem} if problem else {}),
        }
        name = f"{method if known else 'HTTP'} {route}".rstrip()
        self._write(name, parent, attributes, answer, problem if status >= 500 else "", took_s)

    def rpc(self, metadata: Headers, route: str, code: str, problem: str, took_s: float) -> None:
        """A call over gRPC was answered; ``route`` is its method in lower case."""
        answer = _taken()
        parent = sampled_context(metadata)
        if parent is None:
            return
        method = f"{_SERVICE}/{route.capitalize()}"
        attributes: dict[str, str | int | float | bool] = {
            "rpc.system.name": "grpc",
            "rpc.method": method,
            "rpc.response.status_code": code,
        }
        self._write(method, parent, attributes, answer, problem, took_s)

    def close(self) -> None:
        """Send what waits, for a second at most."""
        self._spans.close()

    def _write(
        self,
        name: str,
        parent: SpanContext,
        attributes: Attributes,
        answer: Answer | SimilarAnswer | None,
        error: str,
        took_s: float,
    ) -> None:
        links: list[SpanContext] = []
        if answer is not None:
            attributes = {**attributes, **_told(answer)}
            used = (self._versions.get(each) for each in _used(answer))
            links = [each for each in used if each is not None]
        now_ms = self._clock()
        times_ms = now_ms - took_s * 1000, now_ms
        kind = SpanKind.SERVER
        self._spans.write(
            name, times_ms, attributes, parent=parent, links=links, kind=kind, error=error
        )

    def _version(self, track: str, manifest: WeightManifest) -> SpanContext | None:
        if manifest.label is None:
            return None
        number = manifest.version
        trained_on, _, said = manifest.origin.rpartition(":")
        if said.isdecimal():  # such as default:57: it was trained there
            track, number = trained_on, int(said)
        return self._spans.version((manifest.label, manifest.cut), track, number)


def _taken() -> Answer | SimilarAnswer | None:
    answer = _ANSWER.get()
    if answer is not None:
        _ANSWER.set(None)
    return answer


def _used(answer: Answer | SimilarAnswer) -> list[tuple[str, int]]:
    """Tracks and versions that made it."""
    if isinstance(answer, SimilarAnswer):
        return [(DEFAULT, answer.version)]
    if answer.teams:
        return [(team.track, team.version) for team in answer.teams]
    return [(answer.track, answer.version)]


def _told(answer: Answer | SimilarAnswer) -> Attributes:
    told: dict[str, str | int | float | bool] = {
        "everfresh.version": answer.version,
        "everfresh.epoch": answer.epoch,
    }
    if isinstance(answer, Answer):
        told["everfresh.track"] = answer.track
        told["everfresh.source"] = answer.source
        if answer.state_partition is not None and answer.state_offset is not None:
            told["everfresh.state.partition"] = answer.state_partition
            told["everfresh.state.offset"] = answer.state_offset
    return told
