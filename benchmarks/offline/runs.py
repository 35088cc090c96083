"""The models of ``offline``, and what it keeps of its runs: epochs and the newest weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.offline.sasrec import SASRec
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.hstu import HSTU


@dataclass(frozen=True)
class Plan:
    """A model, and its published HR@10 and NDCG@10."""

    network: type[HSTU]
    settings: ModelSettings
    published: tuple[float, float]
    colour: str


_SIZES = ModelSettings(
    dim=50,
    blocks=2,
    heads=1,
    max_length=200,
    dropout=0.2,
    temperature=0.05,
    negatives=512,
    epsilon=1e-6,
)
MODELS = {
    "hstu": Plan(HSTU, _SIZES, (0.3097, 0.1720), "#0b7a4b"),
    "sasrec": Plan(SASRec, _SIZES, (0.2853, 0.1603), "#b7791f"),
    "hstu-large": Plan(
        HSTU, _SIZES.model_copy(update={"blocks": 8, "heads": 2}), (0.3294, 0.1893), "#2b6cb0"
    ),
}


@dataclass(frozen=True)
class Variant:
    """What differs from a plan of :data:`MODELS`; 0 is what the plan has.

    ``loss`` is that of the product, as published, or the published score against all items
    (``full``); the last two have the published order of ties.
    """

    loss: str = "product"
    blocks: int = 0
    heads: int = 0
    epsilon: float = 0.0
    rate: float = 0.0

    @property
    def name(self) -> str:
        """For the run's folder; empty where nothing differs."""
        numbers = self._changes() | {"rate": self.rate}
        words = [f"-{name}{value:g}" for name, value in numbers.items() if value]
        return "".join(words) + ("" if self.loss == "product" else f"-{self.loss}")

    def settings(self, plan: Plan) -> ModelSettings:
        """The plan's, with what differs."""
        asked = {name: value for name, value in self._changes().items() if value}
        return plan.settings.model_copy(update=asked)

    def _changes(self) -> dict[str, float]:
        return {"blocks": self.blocks, "heads": self.heads, "epsilon": self.epsilon}


AS_PLANNED = Variant()


class Epoch(msgspec.Struct, frozen=True):
    """One epoch. ``scores`` is empty where it was not tested."""

    number: int
    loss: float
    tokens: int
    train_s: float
    train_cpu_s: float
    scores: dict[str, float]


class Stored(msgspec.Struct, frozen=True):
    """The record beside the weights of the newest epoch."""

    model: str
    epochs: list[Epoch]


class Run:
    """A folder that holds the newest epoch whole; an epoch appears by one rename."""

    def __init__(self, folder: Path, model: str, epochs: list[Epoch]) -> None:
        self.folder = folder
        self.model = model
        self.epochs = epochs

    @property
    def name(self) -> str:
        """Model, seed and number of epochs."""
        return self.folder.name

    @classmethod
    def open(cls, folder: Path, model: str) -> Run:
        """What is there already, or a run without epochs."""
        newest = _newest(folder)
        if newest is None:
            return cls(folder, model, [])
        stored = msgspec.json.decode((newest / "run.json").read_bytes(), type=Stored)
        return cls(folder, stored.model, stored.epochs)

    def files(self) -> dict[str, bytes]:
        """The files of the newest epoch."""
        newest = _newest(self.folder)
        assert newest is not None
        return {entry.name: entry.read_bytes() for entry in newest.iterdir()}

    def add(self, epoch: Epoch, files: dict[str, bytes]) -> None:
        """Keep this epoch and its files; those of the one before go."""
        self.epochs.append(epoch)
        stored = msgspec.json.encode(Stored(self.model, self.epochs))
        old, target = _newest(self.folder), self.folder / f"epoch-{epoch.number:04d}"
        draft = target.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, data in {**files, "run.json": stored}.items():
            (draft / name).write_bytes(data)
        draft.rename(target)
        if old:
            shutil.rmtree(old)

    def tested(self) -> list[Epoch]:
        """The epochs that were tested."""
        return [epoch for epoch in self.epochs if epoch.scores]


def _newest(folder: Path) -> Path | None:
    epochs = sorted(entry for entry in folder.glob("epoch-*") if entry.suffix != ".draft")
    return epochs[-1] if epochs else None


def tested_runs(folder: Path) -> Iterator[Run]:
    """The runs in the folder of which an epoch was tested, by name."""
    for entry in sorted(folder.iterdir()):
        if _newest(entry):
            run = Run.open(entry, "")
            if run.tested():
                yield run
