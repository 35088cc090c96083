"""The local Ray head: its metrics, its token and its temporary folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from everfresh.contracts.settings import RaySettings, Settings
from everfresh.infra import ray_head


@pytest.mark.parametrize("metrics", [True, False])
def test_ray_keeps_metrics_of_its_own_only_where_told(metrics: bool) -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_head.prepare_head(run_id, RaySettings(metrics=metrics))
        assert head.spec.env["RAY_enable_metrics_collection"] == str(int(metrics))
    finally:
        ray_head.remove_temporary_folder(run_id)


def test_rays_token_is_its_owners_alone() -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_head.prepare_head(run_id, Settings().ray)
        token = Path(head.driver_environment["RAY_AUTH_TOKEN_PATH"])
        assert token.stat().st_mode & 0o077 == 0
        assert token.parent.stat().st_mode & 0o077 == 0
        assert len(token.read_text()) >= 32
        assert head.address.startswith("127.0.0.1:")
        assert token.read_text() not in " ".join(head.spec.argv)
        # What its processes leave lying goes with the folder.
        assert Path(head.spec.env["TMPDIR"]).parent == token.parent
    finally:
        ray_head.remove_temporary_folder(run_id)
    assert not ray_head.temporary_folder(run_id).exists()
