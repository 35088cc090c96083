"""Log files: one rotated file per component, and one line on stderr for an operator's mistake."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NoReturn

from everfresh.adapters.machine.disk import is_operators
from everfresh.adapters.machine.private_home import close_home
from everfresh.adapters.machine.surroundings import correct_environment
from everfresh.contracts.errors import EverfreshError, SettingsError
from everfresh.contracts.foreign import printable

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
_BYTES = 5_000_000
_KEPT = 3
# These loggers write a line per request or connection; only their warnings are kept.
_VERBOSE = ("kafka", "aiokafka", "faust", "httpx", "ray", "asyncio", "botocore", "aiobotocore")
# It warns of its own loop, by name of a bug, where the machine is merely busy.
_ALARMING = ("kafka.net.selector",)


class _OneLine(logging.Formatter):
    """A message is one line that steers no terminal, whatever ids are in it; tracebacks follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


def configure_logging(component: str, home: Path) -> Path:
    """Send this process's log to ``<home>/logs/<component>.log`` (UTC), rotated; return the path.

    Replaces earlier handlers, and closes the home to other users (:func:`close_home`): whatever a
    component writes there, it logs there first. ``SettingsError`` where ``home`` cannot be written.
    """
    path = home.resolve() / "logs" / f"{component}.log"
    try:
        still_open = close_home(home.resolve())
        path.parent.mkdir(exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"home is {home} and {path} cannot be written: {error.strerror}; name a folder that can"
        ) from None
    formatter = _OneLine(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # on a full disk, not one error per line
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _ALARMING:
        logging.getLogger(name).setLevel(logging.ERROR)
    if still_open:
        logging.getLogger("everfresh").warning("%s", still_open)
    return path


def run_main(main: Callable[[], None]) -> None:
    """Run a program's ``main`` and end the process with its status.

    0 when it returns, 1 with one line on standard error for an :class:`EverfreshError`, 130 after
    Ctrl-C. Any other error is a bug of ours and keeps its traceback.
    """
    correct_environment()
    try:
        main()
    except EverfreshError as error:
        _fail(type(error).__name__, " ".join(str(error).split()))
    except OSError as error:
        if not is_operators(error):
            raise
        _fail("OSError", f"{error.filename or 'a file'} cannot be used: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _fail(kind: str, line: str) -> NoReturn:
    if logging.getLogger().handlers:
        logging.getLogger("everfresh").error("%s: %s", kind, line)
    sys.stderr.write(f"error: {printable(line)}\n")
    sys.exit(1)
