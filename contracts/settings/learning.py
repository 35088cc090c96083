"""Settings of the network, of the trainer, and of the versions it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from everfresh.contracts.manifest import Rows
from everfresh.contracts.settings.group import Group


class ModelSettings(Group):
    """The network (HSTU, arXiv 2402.17152)."""

    dim: int = Field(64, ge=4, description="Width of item embeddings and of every block.")
    blocks: int = Field(2, ge=1, description="Number of HSTU blocks.")
    heads: int = Field(2, ge=1, description="Attention heads; must divide dim.")
    max_length: int = Field(
        100, ge=2, le=8192, description="Longest sequence the network sees, in events."
    )
    dropout: float = Field(0.4, ge=0.0, lt=1.0, description="Dropout while training.")
    temperature: float = Field(0.07, gt=0.0, description="Softmax temperature over cosine scores.")
    negatives: int = Field(
        4096, ge=1, description="Sampled negatives per batch; all items where there are fewer."
    )
    admit_after: int = Field(1, ge=1, description="Sightings before an item gets a row.")
    epsilon: float = Field(
        1e-5,
        gt=0.0,
        description="Added to variances that blocks norm by; the larger, the less few events say.",
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"model.heads ({self.heads}) must divide model.dim ({self.dim})")
        return self


class GateSettings(Group):
    """What a window and its candidate must hold to be published; see trainer/gate.py."""

    share: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of targets held back to measure on; 0 for none."
    )
    windows: int = Field(
        3, ge=1, description="Windows for which a target is held back before it is trained."
    )
    tolerance: float = Field(
        0.1, ge=0.0, description="Loss of discounted gain, as a share of the parent's, let pass."
    )
    confidence: float = Field(
        3.0, ge=0.0, description="Standard errors by which a loss must exceed the tolerance."
    )
    norm_jump: float = Field(
        4.0, gt=1.0, description="Factor by which a weight's norm may grow in one window."
    )
    item_share: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of a window's events that one item may have."
    )
    clock_shift: float = Field(
        0.35,
        gt=0.0,
        le=1.0,
        description="Share of pauses between a user's events that may change in length at once.",
    )
    trial_windows: int = Field(
        3, ge=0, description="Windows on which a version is tried against its parent; 0 for none."
    )
    patience: int = Field(
        10, ge=0, description="Windows held in a row until one passes all the same; 0 for never."
    )


class TrainerSettings(Group):
    """Learning from each window."""

    strategy: Literal["frozen", "finetune", "replay", "distill", "ewc", "retrain"] = Field(
        "replay", description="How a window is learnt; docs/quality.md compares them."
    )
    learning_rate: float = Field(4e-3, gt=0.0, description="AdamW learning rate.")
    schedule: Literal["constant", "decay"] = Field(
        "constant",
        description="Learning rate within a window: the same, or falling, anew with each window.",
    )
    epochs: int = Field(3, ge=1, description="Passes over each window.")
    first_epochs: int = Field(
        0, ge=0, description="Passes over the first window, and of each retrain; 0 takes epochs."
    )
    batch_tokens: int = Field(1024, ge=16, description="Events in one optimisation step.")
    replay_examples: int = Field(
        1024, ge=0, description="Past examples kept in the replay reservoir; 0 for none."
    )
    replay_ratio: float = Field(
        1.0, ge=0.0, description="Replayed events per new event in each pass."
    )
    parent_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the weights before a window in those it leaves: suits long windows "
        "of many passes; 0 leaves what was trained.",
    )
    expire_after_s: float = Field(
        2_592_000.0,
        ge=0.0,
        description="Log time without a sighting after which an item loses its row; 0 for never.",
    )
    replay_choice: Literal["random", "herding", "loss"] = Field(
        "random",
        description="Which past examples are kept: a reservoir, or exemplars as ADER chooses them.",
    )
    distill_weight: float = Field(
        0.8, ge=0.0, description="Strategy distill: base weight of the parent's word on the past."
    )
    ewc_weight: float = Field(
        1.0, ge=0.0, description="Strategy ewc: weight of the pull towards the parent's weights."
    )
    ewc_decay: float = Field(
        0.9, ge=0.0, le=1.0, description="Strategy ewc: what a window leaves of older importance."
    )
    ewc_examples: int = Field(
        128, ge=1, description="Strategy ewc: examples of a window that importance is measured on."
    )
    backlog: Literal["every", "merge", "sample"] = Field(
        "every",
        description="Behind the stream: train every window, merge those that wait, or sample each.",
    )
    backlog_windows: int = Field(
        4, ge=1, description="Complete windows that may wait until they are merged or sampled."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that train a window together; see trainer/team.py."
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="What trains and ranks: the CPU, or one GPU for each training process."
    )
    threads: int = Field(1, ge=1, description="CPU threads of the trainer, and of each worker.")
    seed: int = Field(17, ge=0, description="Seed of every random choice.")
    exclude_seen: bool = Field(
        False, description="Rank only items new to the user when scoring; for all contenders alike."
    )

    @model_validator(mode="after")
    def _means_only(self) -> Self:
        if self.workers > 1 and self.strategy == "distill":
            raise ValueError(
                "trainer.workers > 1 needs a loss that is a mean over targets, which that of "
                "strategy distill is not: set workers to 1, or choose replay"
            )
        return self


class WeightSettings(Group):
    """Where versions are kept."""

    url: str = Field(
        "", description="fsspec URL or folder of the weight store; empty means <home>/weights."
    )
    keep: int = Field(
        20,
        ge=2,
        description="Versions kept of the live line, and at most as many of those that a rollback "
        "turned away from, until the line has grown by so many; others are deleted.",
    )
    snapshot_every: int = Field(
        16, ge=1, description="Every how many versions one is kept whole, not as a delta; 1: all."
    )
    rows: Rows = Field(
        "float32",
        description="What replicas read item rows as; shorter ones cost them accuracy, and the "
        "trainer another file.",
    )
    signing_key: Path | None = Field(
        None, description="Ed25519 private key, PEM: the trainer signs each manifest with it."
    )
    trusted_key: Path | None = Field(
        None, description="Ed25519 public key, PEM: versions it did not sign are refused."
    )
