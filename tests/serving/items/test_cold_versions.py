"""From the trainer to the answer: versions that know of contents, one after another."""

from __future__ import annotations

from pathlib import Path

from everfresh.adapters.memory import MemoryReportSink, MemoryWindowSource
from everfresh.adapters.memory_items import MemoryItemLog, MemoryItemSource
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.settings import load_settings
from everfresh.serving.recommend import RecommendRequest
from everfresh.trainer.contents import ItemContents
from everfresh.trainer.loop import TrainerLoop
from tests.serving.replica_in_memory import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL

NEVER_USED, WITHOUT_RECORD = 999, 1_000


def test_an_item_that_no_event_names_is_recommended_by_every_version(tmp_path: Path) -> None:
    settings = load_settings({"home": str(tmp_path), **SMALL, "windows": {"seconds": 2.0}})
    items = MemoryItemLog()
    records = [
        ItemChange(n, Item(id=n, attributes={"kind": f"k{n % 3}"}))
        for n in [*range(1, 100), NEVER_USED]
    ]
    items.write(records)
    bench = Bench()
    bench.catalogue.apply(records, len(records))
    trainer = TrainerLoop(
        settings,
        MemoryWindowSource(make_log(1, list(range(3, 12)), users=30, items=60)),
        bench.store,
        MemoryReportSink(),
        lambda: 1_000,
        contents=ItemContents(lambda begin: MemoryItemSource(items, begin), settings),
    )
    scores, follower = list[float | None](), bench.replica._default.follower
    for _ in range(40):
        trainer.step(0)
        if not follower.step():
            continue
        allow = [NEVER_USED, WITHOUT_RECORD]
        answer = bench.replica.answer(RecommendRequest("r", "a", 5, True, allow=allow))
        assert answer is not None
        if answer.version > 1:  # which twenty items with rows come to
            assert answer.items == [NEVER_USED]
            scores += answer.scores
    assert len(scores) > 5
    assert len(set(scores)) == len(scores)
    whole = bench.replica.answer(RecommendRequest("r", "a", 100, True))
    assert whole is not None
    assert NEVER_USED in whole.items
    loaded = bench.replica.current()
    assert loaded is not None
    cold = [each for each in records if each.id not in loaded.recommender.vocabulary]
    assert bench.catalogue.cold_items == len(cold)
