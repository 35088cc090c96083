"""Settings of the network, and of the store that its versions are kept in."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from everfresh.contracts.manifest import Rows
from everfresh.contracts.settings.group import File, Group, Place


class ModelSettings(Group):
    """The network, HSTU (arXiv 2402.17152). Weights are made for these values: to change one, name
    an empty folder in weights.url."""

    dim: int = Field(
        64,
        ge=4,
        description="Width of item embeddings and of every block; no unit. A wider network can "
        "tell more apart, and takes more memory and time. Compare widths with `everfresh "
        "evaluate` before you change it.",
    )
    blocks: int = Field(
        2,
        ge=1,
        description="Number of HSTU blocks, one after another. More may predict better and make "
        "training and answers slower. Compare with `everfresh evaluate` before you change it.",
    )
    heads: int = Field(
        2,
        ge=1,
        description="Number of attention heads in each block; it must divide dim. Rarely worth "
        "changing.",
    )
    max_length: int = Field(
        100,
        ge=2,
        le=8192,
        description="Number of a user's last events that the network reads. Raise it if long "
        "histories matter (with state.history_length): the time for a user who is not cached "
        "grows with its square.",
    )
    dropout: float = Field(
        0.4,
        ge=0.0,
        lt=1.0,
        description="Share (0 to 1) of the network's values that training drops at random, so "
        "that it learns no window by heart. Lower it if you have many events per item.",
    )
    temperature: float = Field(
        0.07,
        gt=0.0,
        description="What scores are divided by before the softmax of the training loss; no unit. "
        "A smaller value makes training concentrate on the closest wrong items. Rarely worth "
        "changing.",
    )
    negatives: int = Field(
        4096,
        ge=1,
        description="Number of wrong items, drawn at random, that a training batch compares the "
        "right ones with; all items where the catalogue has fewer. Lower it to train faster.",
    )
    admit_after: int = Field(
        1,
        ge=1,
        description="Number of events on an item after which it gets a row of its own and can be "
        "recommended. Raise it to keep rare items out of a large catalogue.",
    )
    epsilon: float = Field(
        1e-5,
        gt=0.0,
        description="Small number added to the variance where a block normalises its values; no "
        "unit. A larger one gives histories of few events less weight. Rarely worth changing.",
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(
                f"model.heads ({self.heads}) must divide model.dim ({self.dim}): set dim to a "
                "multiple of heads"
            )
        return self


class WeightSettings(Group):
    """Where weights versions are kept, and in what form."""

    url: Place = Field(
        "",
        description="Where versions are kept: a folder, or an fsspec URL such as "
        "s3://bucket/path; empty means <home>/weights. Change it if the trainer and the replicas "
        "do not share this machine's disk.",
    )
    keep: int = Field(
        20,
        ge=2,
        description="Number of versions kept of each track's current lineage, and at most as many "
        "that a rollback turned away from; older ones are deleted. Raise it to be able to roll "
        "back further; each version costs disk space.",
    )
    snapshot_every: int = Field(
        16,
        ge=1,
        le=256,
        description="Every how many versions one is stored whole; those between are stored as "
        "differences from their parent. Where differences are small, the whole one comes later: "
        "once they have come to its bytes. Lower it if replicas take long to load a version when "
        "they start; 1 stores every version whole.",
    )
    rows: Rows = Field(
        "float32",
        description="Number format in which replicas read item vectors. Shorter ones (bf16, int8) "
        "save disk and network, and may change ranks: see docs/performance.md. The "
        "trainer then writes one more file.",
    )
    index_from: int = Field(
        250_000,
        ge=0,
        description="Number of items from which versions have an index, so that a request for at "
        "most 10 items looks at a few thousand rows instead of all. 0: never, and every answer is "
        "exact. Lower it if requests take too long, raise it if exact answers are fast enough.",
    )
    index_recall: float = Field(
        0.98,
        gt=0.0,
        le=1.0,
        description="Share (0 to 1) of the ten best items that the index of a version must find. "
        "A version whose index finds fewer, by the trainer's measure, answers exactly. Lower it "
        "for faster answers that miss more.",
    )
    max_file_mb: int = Field(
        4096,
        ge=1,
        description="Largest file of a version that is read or written, in MiB; a larger one is "
        "refused before it takes memory. Raise it if your catalogue needs more; lower it, if "
        "others can write to the weight store, to what your machine can spare.",
    )
    signing_key: File | None = Field(
        None,
        description="File with the Ed25519 private key (PEM) with which the trainer signs each "
        "version. Set it, together with trusted_key, if others can write to the weight store.",
    )
    trusted_key: File | None = Field(
        None,
        description="File with the Ed25519 public key (PEM) that versions must be signed with; "
        "others are refused. Set it wherever versions are read.",
    )
