"""The signals of the command line's process; commands that start other processes unwind by them."""

from __future__ import annotations

from everfresh.adapters.machine.interrupts import Interrupts

INTERRUPTS = Interrupts()
