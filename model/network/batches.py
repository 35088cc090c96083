"""From examples to packed training batches: every target is predicted exactly once per pass.

A user's events ``e0 … en`` become the input tokens ``START, e0 … e(n-1)``; the output at token
``p`` predicts ``ep``, so that a user's very first event is predicted too. A sequence longer than
``max_length`` tokens is cut into rolling chunks: each predicts the next half of a length, with the
events before as context. Sequences are packed end to end, never padded: ``offsets`` part them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.contracts.sequence import Interaction, decode_entries, even_entries
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

VALUE_BUCKETS = 34
"""Codes of :func:`value_bucket`."""

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Packed sequences. ``T`` tokens in ``B`` sequences; token ``offsets[b]`` is START.

    ``rows``, ``actions``, ``values`` (codes) and ``times`` (UTC seconds) describe each input
    token and have shape ``(T,)``; START carries zeros and the time of the event after it.
    ``offsets`` has shape ``(B + 1,)``. ``predicts`` marks the tokens whose next event is a target,
    and ``targets`` holds that event's row.
    """

    rows: Tensor
    actions: Tensor
    values: Tensor
    times: Tensor
    offsets: Tensor
    targets: Tensor
    predicts: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on that device; itself where it is there. Batches are made on the CPU."""
        if self.rows.device == device:
            return self
        moved = (getattr(self, field.name).to(device) for field in fields(self))
        return Batch(*moved)

    @property
    def tokens(self) -> int:
        """Number of input tokens, START tokens included."""
        return self.rows.numel()


@dataclass(frozen=True)
class EncodedExample:
    """One example as codes: ``(4, n)`` rows, actions, value codes and times of its events.

    Events from ``first_target`` on are targets. ``refused`` ``(n,)`` marks those that are refusals.
    """

    codes: _Ints
    first_target: int
    refused: npt.NDArray[np.bool_] | None = None

    @property
    def target_rows(self) -> _Ints:
        """The row of each event ``(n,)`` as a target: none for a refusal, which is not taught."""
        rows = self.codes[0]
        return rows if self.refused is None else np.where(self.refused, UNKNOWN, rows)

    def until(self, stop: int) -> EncodedExample:
        """The same without the events from ``stop`` on."""
        refused = None if self.refused is None else self.refused[:stop]
        return EncodedExample(self.codes[:, :stop], self.first_target, refused)


@dataclass(frozen=True)
class SequenceChunk:
    """A piece of one example: events ``start`` to ``stop``, those from ``first`` on predicted."""

    example: EncodedExample
    start: int
    first: int
    stop: int

    @property
    def tokens(self) -> int:
        """Input tokens: START, then every event but the last."""
        return self.stop - self.start


def derive_seed(seed: int, *numbers: int) -> int:
    """A seed of 63 bits for one purpose, the same on every machine."""
    text = ",".join(str(number) for number in (seed, *numbers))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def value_bucket(value: float | None) -> int:
    """The code of an event's value, so that a rating or an amount can be an action token.

    0 for none, 1 for negative; then half steps up to 10 (ratings keep their shape), then one
    bucket per doubling (amounts of any size). Not-a-number counts as none.
    """
    if value is None or math.isnan(value):
        return 0
    if value < 0:
        return 1
    if value <= 10:
        return 2 + round(2 * value)
    return min(VALUE_BUCKETS - 1, 22 + int(math.log2(min(value, 1e300) / 10)))


def encode_events(events: Sequence[Interaction], vocabulary: Vocabulary) -> _Ints:
    """Codes of events, shape ``(4, n)``: rows, actions, value codes, times in seconds."""
    # By columns, each in one loop: histories are long, and this is done to each at every window.
    columns = (
        vocabulary.rows_of([event.item for event in events]),
        vocabulary.actions_of([event.action for event in events]),
        [0 if event.value is None else value_bucket(event.value) for event in events],
        [event.time // 1000 for event in events],
    )
    return np.array(columns, dtype=np.int64)


def encode_entries(raw: bytes, actions: list[str], vocabulary: Vocabulary) -> _Ints:
    """What :func:`encode_events` makes of stored entries, mostly without an object for each."""
    even = even_entries(raw)
    if even is None or max(even.codes) >= len(actions):
        return encode_events(decode_entries(raw, actions), vocabulary)
    codes = vocabulary.actions_of(actions)
    columns = (
        vocabulary.rows_of(even.items),
        [codes[code] for code in even.codes],
        [0 if math.isnan(value) else value_bucket(value) for value in even.values],
        [time // 1000 for time in even.times],
    )
    return np.array(columns, dtype=np.int64)


def encode_example(example: DecodedExample, vocabulary: Vocabulary) -> EncodedExample:
    """Codes of an example's context and targets."""
    events = encode_events([*example.context, *example.targets], vocabulary)
    if not example.refused:
        return EncodedExample(events, len(example.context))
    before = [False] * len(example.context)
    return EncodedExample(events, len(before), np.array([*before, *example.refused]))


def query_batch(history: Sequence[Interaction], vocabulary: Vocabulary, max_length: int) -> Batch:
    """One sequence that ends in the user's last event, to predict what comes next."""
    events = encode_events(history[-(max_length - 1) :], vocabulary)
    tokens = np.zeros((4, events.shape[1] + 1), dtype=np.int64)
    tokens[:, 1:] = events
    tokens[3, :1] = events[3, :1] if events.size else 0
    rows, actions, values, times = torch.from_numpy(tokens)
    nothing = torch.zeros(len(rows), dtype=torch.long)
    offsets = torch.tensor([0, len(rows)])
    return Batch(rows, actions, values, times, offsets, nothing, nothing.bool())


def cut_into_chunks(example: EncodedExample, max_length: int) -> Iterator[SequenceChunk]:
    """Chunks of at most ``max_length`` tokens that predict each target exactly once, in order."""
    number = example.codes.shape[1]
    first = example.first_target
    while first < number:
        stop = number
        if number > max_length:
            stop = min(number, max(first + max(1, max_length // 2), max_length))
        yield SequenceChunk(example, max(0, stop - max_length), first, stop)
        first = stop


def pack_batch(chunks: Sequence[SequenceChunk]) -> Batch:
    """One batch of these chunks, in this order."""
    inputs, targets, predicts = [], [], []
    for chunk in chunks:
        events = chunk.example.codes[:, chunk.start : chunk.stop]
        tokens = np.zeros_like(events)
        tokens[:, 1:] = events[:, :-1]
        tokens[3, 0] = events[3, 0]
        inputs.append(tokens)
        targets.append(chunk.example.target_rows[chunk.start : chunk.stop])
        predicts.append(np.arange(chunk.start, chunk.stop) >= chunk.first)
    rows, actions, values, times = torch.from_numpy(np.concatenate(inputs, axis=1))
    return Batch(
        rows,
        actions,
        values,
        times,
        torch.from_numpy(np.cumsum([0, *(chunk.tokens for chunk in chunks)])),
        torch.from_numpy(np.concatenate(targets)),
        torch.from_numpy(np.concatenate(predicts)),
    )


def make_batches(
    examples: Sequence[DecodedExample],
    vocabulary: Vocabulary,
    settings: ModelSettings,
    batch_tokens: int,
    seed: int,
) -> list[Batch]:
    """Training batches of about ``batch_tokens`` tokens; order and grouping follow the seed."""
    chunks = [
        chunk
        for example in examples
        for chunk in cut_into_chunks(encode_example(example, vocabulary), settings.max_length)
    ]
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(chunks))
    groups = group_by_tokens([chunks[at] for at in order], batch_tokens)
    return [pack_batch(group) for group in groups]


def group_by_tokens(
    chunks: Sequence[SequenceChunk], batch_tokens: int
) -> Iterator[list[SequenceChunk]]:
    """Consecutive groups of at most ``batch_tokens`` tokens, or of one longer chunk."""
    group: list[SequenceChunk] = []
    tokens = 0
    for chunk in chunks:
        if group and tokens + chunk.tokens > batch_tokens:
            yield group
            group, tokens = [], 0
        group.append(chunk)
        tokens += chunk.tokens
    if group:
        yield group
