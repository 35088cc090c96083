"""The run that is up in a home: how to reach its Kafka, and that it leaves no process behind."""

from __future__ import annotations

from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.run.run_record import is_supervised, read_record
from everfresh.infra.supervisor import Supervisor


def with_brokers(settings: Settings) -> Settings:
    """The settings; where they name no broker, with those of the run that is up in the home.

    ``RunError`` where nothing is up either.
    """
    if settings.kafka.bootstrap_servers:
        return settings
    home = settings.home.resolve()
    record = read_record(home) if is_supervised(home) else None
    if record is None or not record.bootstrap_servers:
        raise RunError(
            f"nothing is up in {home}; start it with `everfresh up`, name the folder of another "
            "run with --home, or name a Kafka broker with --bootstrap-servers HOST:PORT"
        )
    kafka = settings.kafka.model_copy(
        update={
            "bootstrap_servers": record.bootstrap_servers,
            "topic_prefix": record.topic_prefix,
        }
    )
    return settings.model_copy(update={"kafka": kafka})


def require_nothing_left(run: Supervisor) -> None:
    """``RunError`` that names the processes which could not be ended with the run."""
    if run.left_behind:
        raise RunError(
            f"these processes could not be ended: {', '.join(run.left_behind)}; run `everfresh "
            "down` to try again"
        )
