"""What ``python -m everfresh.evaluation.scaling`` says on standard output, a JSON object per line.

Losses are in bits per event: full softmax over one catalogue, on one window later than all events
that are learnt. ``weights`` are those of the blocks, ``rows`` those of the item table.
"""

from __future__ import annotations

import msgspec


class GridPlan(msgspec.Struct, frozen=True, tag="plan"):
    """What is to be run, before it begins. ``prefixes`` are numbers of events and ascend.

    ``targets`` of the window's ``window_events`` are on one of ``catalogue`` items, and are what
    the loss is measured on. ``kept`` of the cells are there from an earlier run; the others feed
    ``tokens`` to a network and take about ``seconds`` of a processor.
    """

    sizes: list[str]
    prefixes: list[int]
    seeds: list[int]
    passes: int
    window_events: int
    targets: int
    catalogue: int
    kept: int
    tokens: int
    seconds: float
    folder: str


class Reading(msgspec.Struct, frozen=True):
    """After a pass. ``choosing`` is the loss on every other user's targets, by which the pass is
    chosen, ``loss`` that on the others'; ``train_s`` and ``tokens`` are of all passes so far."""

    choosing: float
    loss: float
    train_s: float
    tokens: int


class PassDone(msgspec.Struct, frozen=True, tag="pass"):
    """Progress: one pass over ``events`` events; ``tokens`` are this pass's."""

    size: str
    events: int
    seed: int
    number: int
    tokens: int
    reading: Reading


class Cell(msgspec.Struct, frozen=True, tag="cell"):
    """One finished training: a size, a prefix in time and a seed, with a reading after each pass.
    ``popularity`` is the loss of counting how often each item was chosen, on the same targets."""

    size: str
    dim: int
    blocks: int
    events: int
    seed: int
    weights: int
    rows: int
    popularity: float
    readings: list[Reading]

    @property
    def stopped(self) -> int:
        """The pass that was best on every other user, from 0."""
        return min(range(len(self.readings)), key=lambda at: self.readings[at].choosing)

    @property
    def loss(self) -> float:
        """The loss after that pass, on the other users."""
        return self.readings[self.stopped].loss


class HeldOut(msgspec.Struct, frozen=True):
    """A size and prefix that no form was fitted to. ``where`` is ``row`` (the largest size),
    ``column`` (the longest prefix) or ``corner`` (both). ``observed`` is the mean over seeds,
    ``spread`` the largest less the smallest; ``predicted`` by each form."""

    where: str
    size: str
    events: int
    observed: float
    spread: float
    predicted: dict[str, float]


class FittedLaw(msgspec.Struct, frozen=True):
    """``E + A (N / n_unit)^-alpha + B (D / d_unit)^-beta``, fitted to all cells. Intervals are
    95 %, by a bootstrap over cells. ``refused`` says why nothing is predicted beyond what was
    measured; empty where the law may be used."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    n_unit: float
    d_unit: float
    alpha_interval: tuple[float, float]
    beta_interval: tuple[float, float]
    refused: str

    def at(self, weights: float, events: float) -> float:
        """The loss that it says of one training."""
        size = self.a * (weights / self.n_unit) ** -self.alpha
        return float(self.floor + size + self.b * (events / self.d_unit) ** -self.beta)


class Choice(msgspec.Struct, frozen=True):
    """A size and number of passes at the longest prefix; means over seeds."""

    size: str
    passes: int
    loss: float
    train_s: float


class Findings(msgspec.Struct, frozen=True, tag="findings"):
    """All that the grid says. ``errors`` maps form and ``where`` to the mean distance of what it
    predicted from what was observed; ``spread`` is the mean spread of seeds over all cells.
    ``beyond`` maps ``N x 2`` and the like to the loss that a law predicts there: ``beyond_by``,
    which was nearest to the corner that was held out; empty where it is refused. ``advice`` is
    within ``budget_s`` (0: any), or the cheapest where nothing is; ``best`` is the lowest loss.
    """

    plan: GridPlan
    cells: list[Cell]
    held_out: list[HeldOut]
    errors: dict[str, dict[str, float]]
    spread: float
    laws: dict[str, FittedLaw]
    beyond_by: str
    beyond: dict[str, float]
    advice: Choice
    best: Choice
    budget_s: float


ScalingLine = GridPlan | PassDone | Cell | Findings
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[ScalingLine] = msgspec.json.Decoder(ScalingLine)
_CELL = msgspec.json.Decoder(Cell)


def encode_scaling(line: ScalingLine) -> bytes:
    """One line, with its end."""
    return _ENCODER.encode(line) + b"\n"


def decode_scaling(raw: bytes | str) -> ScalingLine | None:
    """``None`` for a line that is something else."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError:
        return None


def decode_cell(raw: bytes) -> Cell | None:
    """``None`` for bytes that are no whole cell."""
    try:
        return _CELL.decode(raw)
    except msgspec.DecodeError:
        return None
