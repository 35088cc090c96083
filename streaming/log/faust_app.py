"""The Faust app as the worker sets it up: no tables, no web server, no topics declared."""

from __future__ import annotations

import faust
from yarl import URL

from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import worker_group
from everfresh.streaming.log.security import faust_credentials

_HEARTBEAT_SHARE = 0.3  # of the session: three beats before a worker is given up
_NO_LIMIT_S = 7 * 86_400.0


def faust_app(settings: Settings, name: str) -> faust.App:
    """``name`` is the worker's: stable over restarts, unique in the group."""
    servers = settings.kafka.bootstrap_servers.split(",")
    session_s = settings.kafka.session_ms / 1000
    return faust.App(
        worker_group(settings.kafka.topic_prefix),
        broker_credentials=faust_credentials(settings.kafka.security.of_client),
        broker=[URL(f"kafka://{server}") for server in servers],
        datadir=settings.home.resolve() / "faust",
        store="memory://",
        autodiscover=False,
        web_enabled=False,  # its default listens on every interface
        worker_redirect_stdouts=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # A broker that has just started may not know its topics yet; a group whose leader was told
        # so gets no partitions before it asks again.
        consumer_metadata_max_age_ms=3_000,
        consumer_group_instance_id=name,  # a restart gets its partitions back without a rebalance
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s * _HEARTBEAT_SHARE,
        broker_commit_interval=1.0,
        # Faust ends its work without a word where partitions take longer to open (a restore), and
        # its consumer leaves the group where nothing is polled for longer (a full outbox).
        broker_request_timeout=_NO_LIMIT_S,
        broker_max_poll_interval=_NO_LIMIT_S,
        broker_max_poll_records=50_000,
        stream_buffer_maxsize=1,  # what waits is older than what would be fetched instead
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )
