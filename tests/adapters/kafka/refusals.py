"""What the diagnosis says of a broker that cannot be used: one line, without the secret."""

from __future__ import annotations

import pytest

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity

SECRET = "t0p-secret"


def said(servers: str, security: KafkaSecurity) -> str:
    with pytest.raises(EverfreshError) as caught:
        require_broker(Brokers(servers, security), wait_s=20.0)
    words = str(caught.value)
    assert "\n" not in words
    assert SECRET not in words
    return words
