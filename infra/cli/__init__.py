"""The command line, ``everfresh``: typer and rich. Loads neither torch nor ray in its process.

From the top down: ``app`` (commands and their options), ``commands`` and ``demo`` (what they do),
``views`` (what they show), and the modules beside them, which all of these use. What is printed
goes through ``terminal`` and ``streams``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from everfresh.adapters.machine.interrupts import Interrupted
from everfresh.adapters.machine.surroundings import correct_environment
from everfresh.contracts.errors import EverfreshError
from everfresh.infra.cli import streams
from everfresh.infra.cli.interrupts import INTERRUPTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process: 0 done, 1 it could not be done, 2 wrong usage,
    130 interrupted. An error that the operator can mend prints as one line, without a traceback."""
    try:
        INTERRUPTS.install()
        streams.accept_any_text()
        correct_environment()
        _command(sys.argv[1:] if arguments is None else arguments)
    except EverfreshError as error:
        streams.write_error(f"error: {error}")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
        sys.exit(1)
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        streams.write_error(f"error: {place}{error.strerror or error}")
        sys.exit(1)
    except Interrupted as stop:
        streams.write_error(f"stopped by {stop}")
        sys.exit(130)
    except Exception:
        # Compiled code (pydantic's) makes another error of the one that a signal raised in it.
        if INTERRUPTS.received is None:
            raise
        streams.write_error(f"stopped by {Interrupted(INTERRUPTS.received)}")
        sys.exit(130)
    finally:
        _end_child_processes()


def _command(words: Sequence[str]) -> NoReturn:
    # typer and the commands are loaded once signals are handled
    from typer import TyperException  # noqa: PLC0415

    from everfresh.infra.cli.app import app  # noqa: PLC0415

    try:
        sys.exit(app(list(words), prog_name="everfresh", standalone_mode=False) or 0)
    except TyperException as error:
        streams.write_usage_error(error)
        sys.exit(error.exit_code)


def _end_child_processes() -> None:
    """The last net under the supervisor's own stop: a signal may arrive between any two steps."""
    INTERRUPTS.closing()
    from everfresh.infra.processes import processes  # noqa: PLC0415  (help does not wait for psutil)

    if processes.is_subreaper():
        processes.end_descendants(time.monotonic() + 1.0)
