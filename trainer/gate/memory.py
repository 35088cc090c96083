"""What the gate knows at a version, and how it changes when the next one is published."""

from __future__ import annotations

import msgspec

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.gate.probation import Probation, continued
from everfresh.trainer.gate.window_checks import Profile
from everfresh.trainer.scoring.paired import Paired
from everfresh.trainer.windows.holdout import HeldOut


class GateMemory(msgspec.Struct, frozen=True):
    """Part of the checkpoint (law 5), where probations stand under their first name, ``trials``."""

    held: list[HeldOut] = []
    profile: Profile = Profile()
    probations: list[Probation] = msgspec.field(default_factory=list, name="trials")

    def after(
        self,
        window: TrainingWindow,
        behind: Paired | None,
        past: Paired,
        held: list[HeldOut],
        parent: int | None,
        settings: GateSettings,
    ) -> GateMemory:
        """Once a version has come of ``window``, made from ``parent``.

        ``behind`` is what live lost to its counts on the window, ``past`` what the candidate lost
        to its parent on past targets, ``held`` what is held out now.
        """
        return GateMemory(
            held,
            self.profile.after(window, behind, past),
            continued(self.probations, parent, settings),
        )

    def without_profile(self) -> GateMemory:
        """The same, which learns anew what windows of this stream are like."""
        return msgspec.structs.replace(self, profile=Profile())
