"""The network written out in loops and 64-bit numbers, one sequence at a time: slow and plain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from everfresh.model.network.hstu import HSTU, TIME_BUCKETS

Array = np.ndarray[Any, np.dtype[np.float64]]


def silu(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def norm(x: Array, epsilon: float) -> Array:
    return np.asarray((x - x.mean()) / math.sqrt(x.var() + epsilon))


def outputs(
    network: HSTU, tokens: list[tuple[int, int, int, int]], heads: int, epsilon: float
) -> Array:
    """User vectors ``(n, dim)`` for tokens ``(row, action, value, seconds)``, START first."""
    weights = {name: w.detach().double().numpy() for name, w in network.named_parameters()}
    dim = weights["items"].shape[1]
    x = []
    for place, (row, action, value, _) in enumerate(tokens):
        item = weights["items"][row] if place else weights["start"]
        token = item + weights["actions"][action] + weights["values"][value]
        x.append(token * math.sqrt(dim))
    times = [token[3] for token in tokens]
    for number in range(len(network.blocks)):
        block = {
            name.split(".")[2]: weight
            for name, weight in weights.items()
            if name.startswith(f"blocks.{number}.")
        }
        x = one_block(block, x, times, heads, epsilon)
    return np.stack([vector / np.linalg.norm(vector) for vector in x])


def one_block(
    block: dict[str, Array], x: list[Array], times: list[int], heads: int, epsilon: float
) -> list[Array]:
    dim = len(x[0])
    width = dim // heads
    projected = [silu(norm(vector, epsilon) @ block["w1"]) for vector in x]
    u, v, q, k = ([p[part * dim : (part + 1) * dim] for p in projected] for part in range(4))
    out = []
    for i in range(len(x)):
        attended = np.zeros(dim)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for j in range(i + 1):
                bias = (
                    block["position_bias"][i - j] + block["time_bias"][bucket(times[i] - times[j])]
                )
                score = silu(np.asarray(q[i][part] @ k[j][part] + bias))
                attended[part] += score * v[j][part] / len(block["position_bias"])
        out.append(norm(attended, epsilon) * u[i] @ block["w2"] + block["b2"] + x[i])
    return out


def bucket(seconds: int) -> int:
    power = math.floor(math.log2(max(1, seconds)))
    return min(TIME_BUCKETS - 1, 2 * power + (seconds >= 1.5 * 2**power))
