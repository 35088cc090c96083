"""A thread that lets those go first that answer requests."""

from __future__ import annotations

import os
import threading

_NICENESS = 10
"""What such a thread adds to the niceness of its process."""
_MOST = 19


def give_way() -> None:
    """Let threads that answer go before this one, which works in the background.

    Linux has both per thread: a niceness, and a policy by which nothing that runs is interrupted
    when a rest is over. Added to the niceness there is: to lower it, a process needs a privilege.
    """
    thread = threading.get_native_id()
    os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness, _MOST))
