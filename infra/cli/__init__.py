"""The command line, ``everfresh``: typer and rich. Loads neither torch nor ray in its process."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from everfresh.adapters.machine.interrupts import Interrupted, Interrupts
from everfresh.contracts.errors import EverfreshError

INTERRUPTS = Interrupts()
"""The signals of this process; commands that start others unwind by them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process: 0 done, 1 it could not be done, 2 wrong usage,
    130 interrupted. What is the operator's to mend prints as one message, without a traceback."""
    INTERRUPTS.install()
    from everfresh.infra.cli.app import app  # noqa: PLC0415  (typer is loaded once signals are handled)

    try:
        app(list(arguments) if arguments is not None else None, prog_name="everfresh")
    except EverfreshError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _say(f"error: {place}{error.strerror or error}")
        sys.exit(1)
    except Interrupted as stop:
        _say(f"stopped ({stop})")
        sys.exit(130)
    finally:
        _end_what_is_left()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _end_what_is_left() -> None:
    """The last net under the supervisor's own stop: a signal may arrive between any two steps."""
    INTERRUPTS.closing()
    processes = sys.modules.get("everfresh.infra.processes.processes")
    if processes is not None and processes.is_subreaper():
        processes.end_descendants(time.monotonic() + 1.0)
