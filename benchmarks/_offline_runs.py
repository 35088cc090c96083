"""What ``benchmarks.offline`` keeps of its runs: epochs, the newest weights, a table and a plot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import msgspec

from benchmarks._harness import show
from benchmarks._sasrec import SASRec
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.hstu import HSTU

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


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

    def figures(self) -> dict[str, float | str]:
        """The newest epoch's scores, which no choice of an epoch has flattered."""
        tested = self.tested()
        seconds = sum(epoch.train_s for epoch in self.epochs)
        cpu = sum(epoch.train_cpu_s for epoch in self.epochs)
        tokens = sum(epoch.tokens for epoch in self.epochs)
        return {
            "model": self.model,
            **(tested[-1].scores if tested else {}),
            "best_hr10": max((epoch.scores["hr10"] for epoch in tested), default=0.0),
            "published_hr10": MODELS[self.model].published[0],
            "published_ndcg10": MODELS[self.model].published[1],
            "epochs": len(self.epochs),
            "tokens_per_s": round(tokens / seconds, 1) if seconds else 0.0,
            "tokens_per_cpu_s": round(tokens / cpu, 1) if cpu else 0.0,
            "train_s": round(seconds, 1),
            "train_cpu_s": round(cpu, 1),
        }


def _newest(folder: Path) -> Path | None:
    found = sorted(entry for entry in folder.glob("epoch-*") if entry.suffix != ".draft")
    return found[-1] if found else None


def _runs(folder: Path) -> Iterator[Run]:
    for entry in sorted(folder.iterdir()):
        if _newest(entry):
            run = Run.open(entry, "")
            if run.tested():
                yield run


def show_runs(folder: Path) -> None:
    """A table of all runs in the folder, the published figures beside."""
    columns = ("run", "epochs", "HR@10", "NDCG@10", "HR@50", "published", "CPU s", "tokens/CPU s")
    rows = []
    for run in _runs(folder):
        last, known, figures = run.tested()[-1], MODELS[run.model].published, run.figures()
        rows.append(
            (
                run.name,
                last.number,
                f"{last.scores['hr10']:.4f}",
                f"{last.scores['ndcg10']:.4f}",
                f"{last.scores['hr50']:.4f}",
                f"{known[0]:.4f} / {known[1]:.4f}",
                f"{figures['train_cpu_s']:,.0f}",
                f"{figures['tokens_per_cpu_s']:,.0f}",
            )
        )
    show("Leave-one-out, MovieLens 1M", columns, rows)


def draw(folder: Path, path: Path) -> None:
    """HR@10 and NDCG@10 by epoch of every run, the published figures as lines."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), dpi=130, layout="constrained")
    for axis, (metric, title) in zip(axes, (("hr10", "HR@10"), ("ndcg10", "NDCG@10")), strict=True):
        for name, plan in MODELS.items():
            level = plan.published[metric == "ndcg10"]
            axis.axhline(level, color=plan.colour, linewidth=1, linestyle=":")
            axis.annotate(
                f"{name}, published {level:.4f}",
                (0.01, level),
                xycoords=("axes fraction", "data"),
                color=plan.colour,
                fontsize=8,
                ha="left",
                va="bottom",
            )
        for run in _runs(folder):
            tested = run.tested()
            axis.plot(
                [epoch.number for epoch in tested],
                [epoch.scores[metric] for epoch in tested],
                color=MODELS[run.model].colour,
                marker=".",
                linestyle="-" if "-published" in run.name else "--",
                label=run.name,
            )
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.05))
    figure.savefig(path)
    plt.close(figure)
