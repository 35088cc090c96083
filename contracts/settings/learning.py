"""Settings of the trainer, and of the gate that its models must pass."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from everfresh.contracts.settings.group import Group


class TrainerSettings(Group):
    """How the trainer learns from each window."""

    strategy: Literal["frozen", "finetune", "replay", "distill", "ewc", "retrain"] = Field(
        "replay",
        description="How a window is learned: frozen, finetune, replay, distill, ewc or retrain. "
        "docs/quality.md compares them; do so on your own events with `everfresh evaluate` before "
        "you change it.",
    )
    learning_rate: float = Field(
        4e-3,
        gt=0.0,
        description="Step size of the optimiser (AdamW); no unit. Lower it if training is "
        "unstable, raise it if the model follows the stream too slowly.",
    )
    schedule: Literal["constant", "decay"] = Field(
        "constant",
        description="Whether the learning rate stays the same within a window (constant) or falls "
        "from its beginning to its end (decay). Try decay for long windows with many passes.",
    )
    epochs: int = Field(
        3,
        ge=1,
        description="Number of passes over each window. More learns a window better and takes "
        "longer; too many learn it by heart.",
    )
    first_epochs: int = Field(
        0,
        ge=0,
        description="Number of passes over the first window, and over all events at each retrain "
        "(strategy retrain); 0 takes the value of epochs. Raise it if the first window holds much "
        "of your history.",
    )
    batch_tokens: int = Field(
        1024,
        ge=16,
        description="Number of events in one step of the optimiser. Larger steps are fewer and "
        "smoother, and take more memory.",
    )
    replay_examples: int = Field(
        1024,
        ge=0,
        description="Number of past examples that are kept for replay (strategy replay); 0 keeps "
        "none. More remembers more and makes each version larger on disk.",
    )
    replay_ratio: float = Field(
        1.0,
        ge=0.0,
        description="Number of replayed events per new event in each pass. More forgets less and "
        "takes longer.",
    )
    parent_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share (0 to 1) of the weights before a window that is mixed into the weights "
        "after it. Raise it for long windows with many passes; 0 keeps what was trained as it is.",
    )
    expire_after_s: float = Field(
        2_592_000.0,
        ge=0.0,
        description="Seconds of log time without an event on an item after which it loses its row "
        "and is no longer recommended; 0 for never. Lower it if your items are short-lived.",
    )
    new_items: int = Field(
        1000,
        ge=1,
        description="Number of new items that a window may bring, or a third of its events if "
        "that is more. A window with more is a flood: only those new items get a row that two "
        "users or more have used, and the others wait. Raise it if `everfresh status` reports "
        "floods and the items are good.",
    )
    max_items: int = Field(
        1_000_000,
        ge=1,
        description="Largest number of items that have a row. Beyond it, items with the fewest "
        "events give up theirs, and of these the longest unused first. Set it to what memory and "
        "training time allow: the more rows, the longer each window takes.",
    )
    replay_choice: Literal["random", "herding", "loss"] = Field(
        "random",
        description="Which past examples are kept for replay: a random sample of all (random), or "
        "exemplars as the ADER paper chooses them (herding, loss). Compare them with `everfresh "
        "evaluate` before you change it.",
    )
    distill_weight: float = Field(
        0.8,
        ge=0.0,
        description="Strategy distill: how strongly the model is held to what its parent says on "
        "past examples; no unit. Raise it to forget less.",
    )
    ewc_weight: float = Field(
        1.0,
        ge=0.0,
        description="Strategy ewc: how strongly weights are pulled back to the parent's, by their "
        "importance; no unit. Raise it to forget less, lower it to learn faster.",
    )
    ewc_decay: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        description="Strategy ewc: share (0 to 1) of the earlier importance that is left after "
        "each window. Lower it to let go of the past sooner.",
    )
    ewc_examples: int = Field(
        128,
        ge=1,
        description="Strategy ewc: number of a window's examples on which importance is measured. "
        "More is more exact and takes longer.",
    )
    backlog: Literal["every", "merge", "sample"] = Field(
        "every",
        description="What to do with windows that wait because the trainer is behind: train each "
        "(every), join them into one (merge), or train a share of each (sample). Choose merge or "
        "sample if answers must stay fresh when events come faster than they can be learned.",
    )
    backlog_windows: int = Field(
        4,
        ge=1,
        description="Number of complete windows that may wait before merge or sample begins. "
        "Raise it to sit out short bursts.",
    )
    refusals: list[Annotated[str, Field(pattern=r"^[^<]+(<-?[0-9]+(\.[0-9]+)?)?$")]] = Field(
        ["skip"],
        description="Event types by which users say no: the model reads them, and is not taught "
        "to recommend what they are about. TYPE<NUMBER means events of a type with a smaller "
        "value, such as rating<3. Name the types of yours that say that an item was not wanted.",
    )
    curate: bool = Field(
        False,
        description="Whether a window's repeats, and what one user does far oftener than others, "
        "are left unlearnt. They are scored and counted all the same. Turn it on if bots or "
        "clients that send twice make much of your events; on a clean stream it was not measured.",
    )
    leave_out: list[Annotated[str, Field(pattern=r"^[0-9]{1,9}:[0-9]{1,18}$")]] = Field(
        [],
        description="Records of the topic windows that the trainer leaves out, each as "
        "PARTITION:OFFSET. Name here what another program wrote there, if the trainer says that "
        "slices do not fit together and names the records in doubt.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of processes that train each window together. Raise it if one process "
        "cannot keep up and cores are free.",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="What trains and ranks: the CPU (cpu), or one GPU for each training process "
        "(cuda). Choose cuda if the machine has GPUs.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Number of CPU threads of the trainer, and of each further training process. "
        "Raise it if cores are free. Repeating a run byte for byte needs the same number.",
    )
    beside: bool = Field(
        False,
        description="Whether each live track is trained in a process of its own, all at the same "
        "time (true), or one after another in one process (false). Set it if all tracks together "
        "take longer than windows.seconds and cores are free. Each process takes some 1 GB.",
    )
    cpus: float = Field(
        0.5,
        ge=0.0,
        description="CPUs that Ray sets aside for each training process when it places it. Raise "
        "it on a Ray with other work, so that Ray leaves them room; it limits nothing.",
    )
    node_labels: list[str] = Field(
        [],
        description="Labels, as NAME=VALUE, that a Ray node must have to train on (`ray start "
        "--labels`). Set it where some nodes of your Ray are for training; versions must then be "
        "in an object store (weights.url), or this machine's node must have the labels.",
    )
    seed: int = Field(
        17,
        ge=0,
        description="Number that all random choices are drawn from. Change it to see how much "
        "results differ between runs.",
    )
    exclude_seen: bool = Field(
        False,
        description="Whether scoring ranks only items that are new to the user; this holds for "
        "all contenders alike. Turn it on if your answers leave out what users have seen, "
        "as they do unless a request says otherwise.",
    )

    @field_validator("node_labels")
    @classmethod
    def _labels(cls, labels: list[str]) -> list[str]:
        for label in labels:
            name, equals, value = label.partition("=")
            if not (name and equals and value):
                raise ValueError(f"a label as NAME=VALUE was expected, found {label!r}")
        return labels

    @property
    def label_selector(self) -> dict[str, str]:
        """``node_labels`` as Ray takes them."""
        return dict(label.split("=", 1) for label in self.node_labels)

    @model_validator(mode="after")
    def _one_process_for_distill(self) -> Self:
        # Its loss is no mean over targets, which is what several processes can sum.
        if self.workers > 1 and self.strategy == "distill":
            raise ValueError(
                f"trainer.workers is {self.workers}, and strategy distill can be trained by one "
                "process only: set trainer.workers to 1, or choose another strategy such as replay"
            )
        return self


class GateSettings(Group):
    """What a window, and the model trained on it, must pass before it is published."""

    share: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        description="Share (0 to 1) of each window's targets that is kept back, to compare a new "
        "model with the one before on events that neither has learned. More makes the comparison "
        "surer and learning later. 0 turns this comparison off.",
    )
    windows: int = Field(
        3,
        ge=1,
        description="Number of windows for which such a target is kept back before it is trained. "
        "More gives the comparison more targets, which are learned later.",
    )
    tolerance: float = Field(
        0.1,
        ge=0.0,
        description="How much worse a new model may rank than the one before it, as a share of "
        "that one's gain (0.1 is a tenth). On what is past, what new models of this stream "
        "usually lose is allowed besides, up to as much again. Lower it to stop smaller losses; "
        "more good windows are then held as well.",
    )
    confidence: float = Field(
        3.0,
        ge=0.0,
        description="How sure a comparison must be before the gate acts, in standard errors. "
        "Lower it to act on weaker evidence, with more false alarms.",
    )
    norm_jump: float = Field(
        4.0,
        gt=1.0,
        description="Factor by which the size (root mean square) of any weight may grow in one "
        "window; a model that grows more is held. Raise it if models that score well are held for "
        "this reason.",
    )
    item_share: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Largest share (0 to 1) of a window's events that one item may have; a window "
        "with more is held. Raise it if your catalogue has one item that most events are about.",
    )
    clock_shift: float = Field(
        0.35,
        gt=0.0,
        le=1.0,
        description="Largest share (0 to 1) of the pauses between a user's events that may be of "
        "another length than in the windows before. A window with more is held, since its clocks "
        "look broken. Raise it if your traffic really changes so fast.",
    )
    trial_windows: int = Field(
        3,
        ge=0,
        description="Number of windows on which a published version is still compared with its "
        "parent; if it proves worse, the trainer rolls back. More is surer and slower. 0 compares "
        "none.",
    )
    patience: int = Field(
        10,
        ge=0,
        description="Number of windows held in a row after which the next passes, because the "
        "stream itself must have changed. Raise it to stop longer stretches of bad data; after a "
        "real change learning then stands still for longer. 0 never lets one pass.",
    )
