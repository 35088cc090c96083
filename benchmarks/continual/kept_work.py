"""What ``continual`` keeps of its runs: finished periods, and the newest learner."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from everfresh.contracts.manifest import MODEL_FILES
from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import build_optimizer, encode_optimizer, restore_optimizer
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.learner import Learner, fresh_learner

_OPTIMIZER, _MEMORY = "optimizer.safetensors", "memory.msgpack"


class Period(msgspec.Struct, frozen=True):
    """One strategy after learning ``period``, tested on the next; recall and MRR in percent."""

    strategy: str
    period: int
    recall20: float
    mrr20: float
    recall20_all: float
    mrr20_all: float
    train_s: float
    tokens: int


class KeptWork:
    """A folder that outlives a killed run; with ``None`` nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def periods(self, name: str) -> dict[int, Period]:
        """The finished periods of a strategy."""
        file = self._folder / f"{name}.jsonl" if self._folder else None
        if file is None or not file.exists():
            return {}
        lines = file.read_bytes().splitlines()
        periods = [msgspec.json.decode(line, type=Period) for line in lines]
        return {period.period: period for period in periods}

    def add(self, period: Period) -> None:
        """Keep a finished period."""
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{period.strategy}.jsonl").open("ab") as file:
                file.write(msgspec.json.encode(period) + b"\n")

    def keep(self, name: str, learner: Learner, next_period: int) -> None:
        """Keep the learner as it goes into the next period; the one before goes."""
        if self._folder is None:
            return
        network, old = learner.network, self._newest(name)
        files = {
            **network.recommender.save(),
            _OPTIMIZER: encode_optimizer(network.optimizer, network.recommender),
            _MEMORY: learner.strategy.encode(),
        }
        target = self._folder / f"{name}-{next_period:02d}"
        draft = target.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for file, data in files.items():
            (draft / file).write_bytes(data)
        draft.rename(target)
        if old:
            shutil.rmtree(old)

    def resume(self, name: str, settings: Settings) -> tuple[Learner, int]:
        """The learner of a strategy and the period that it learns next."""
        learner, newest = fresh_learner(settings), self._newest(name)
        if newest is None:
            return learner, 0
        files = {file: (newest / file).read_bytes() for file in MODEL_FILES}
        network = learner.network
        network.recommender = Recommender.load(settings.model.model_dump(), files)
        rate = settings.trainer.learning_rate
        network.optimizer = build_optimizer(network.recommender, rate)
        raw = (newest / _OPTIMIZER).read_bytes()
        restore_optimizer(network.optimizer, network.recommender, raw)
        learner.strategy.restore((newest / _MEMORY).read_bytes())
        return learner, int(newest.name.rpartition("-")[2])

    def _newest(self, name: str) -> Path | None:
        kept = sorted(self._folder.glob(f"{name}-??")) if self._folder else []
        return kept[-1] if kept else None
