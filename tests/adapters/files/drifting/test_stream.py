from __future__ import annotations

import gc
import hashlib
from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from everfresh.adapters.files.drifting import stream as stream_module
from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import LiveItems, pick
from everfresh.adapters.files.drifting.law import Floats
from everfresh.adapters.files.drifting.law import rank as true_rank
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import Click, DriftingStream
from everfresh.adapters.files.drifting.visitors import User
from everfresh.adapters.files.drifting.writing import summarize

WINDOW = 1000


@pytest.fixture(scope="module")
def clicks() -> list[Click]:
    return list(DriftingStream(DriftSettings(), 8 * WINDOW).clicks())


def test_the_same_seed_makes_the_same_bytes_on_every_machine() -> None:
    made = b"".join(map(msgspec.json.encode, DriftingStream(DriftSettings(), 2000)))
    assert hashlib.sha256(made).hexdigest() == (
        "6e4120b602f9ded64d5af02c2d4d718e9d729664ac006b2271b7e0709ae485c2"
    )


def test_a_longer_stream_begins_with_the_same_events_and_another_seed_does_not() -> None:
    stream = DriftingStream(DriftSettings(), 500)
    made = list(stream)
    assert len(stream) == len(made) == 500
    assert made == list(stream) == [click.event for click in stream.clicks()]
    assert made == list(DriftingStream(DriftSettings(), 600))[:500]
    other = list(DriftingStream(DriftSettings(seed=18), 500))
    assert not {event.id for event in made} & {event.id for event in other}
    assert [event.item_id for event in made] != [event.item_id for event in other]


def test_times_do_not_fall_and_ids_are_of_one_event_each(clicks: list[Click]) -> None:
    times = [click.event.time for click in clicks]
    assert times == sorted(times)
    assert len({click.event.id for click in clicks}) == len(clicks)
    assert min(click.alive for click in clicks) > 100


def test_only_items_alive_take_memory_however_many_there_have_been() -> None:
    settings = DriftSettings(items_per_hour=60.0, life_hours=1.0)
    items = LiveItems(settings, Draws(1))
    for _ in range(2000):
        items.tick()
    assert int(items.items.max()) > 1700, "so many there have been"
    assert len(items) < 120
    assert len(items.items) <= 256


def test_only_users_who_may_come_back_are_remembered() -> None:
    settings = DriftSettings(regulars=20, gap_s=1.0, items_per_hour=2.0)
    stream = iter(DriftingStream(settings, 3000))
    users = {next(stream).user_id for _ in range(2999)}
    alive = sum(type(one) is User for one in gc.get_objects())
    assert len(users) > 900
    assert alive < 60


def test_the_last_item_stays_until_another_comes() -> None:
    settings = DriftSettings(items_per_hour=0.01, life_hours=0.1, half_life_hours=0.01)
    made = list(DriftingStream(settings, 300))
    assert len({event.item_id for event in made}) >= 1
    assert not any(np.isnan(event.time) for event in made)


def test_the_profile_is_that_of_a_news_site(clicks: list[Click]) -> None:
    windows = [clicks[at : at + WINDOW] for at in range(0, len(clicks), WINDOW)]
    counts = [Counter(click.event.item_id for click in window) for window in windows]
    first_two = np.mean([click.place <= 2 for click in clicks])
    share_of_ten = np.mean([sum(sorted(c.values())[-10:]) / WINDOW for c in counts])
    assert 0.45 < first_two < 0.65
    assert 0.4 < share_of_ten < 0.7
    assert 100 < np.mean([len(c) for c in counts]) < 300
    assert 0.02 < np.mean([clicked_before(clicks)]) < 0.15


def test_who_knows_the_law_is_well_above_counting(clicks: list[Click]) -> None:
    made = summarize(clicks[WINDOW:])
    assert made.oracle.hr10 > made.observer.hr10 > fading_markov(clicks) + 0.05
    assert made.oracle.ndcg10 > made.observer.ndcg10 > 0.4


def test_both_who_know_the_law_expect_the_hits_that_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ten likeliest items are clicked as often as their probabilities say."""
    expected: list[float] = []

    def noted(law: Floats, row: int) -> int:
        assert law.sum() == pytest.approx(1.0)
        expected.append(float(np.sort(law)[-10:].sum()))
        return true_rank(law, row)

    monkeypatch.setattr(stream_module, "rank", noted)
    settings = DriftSettings(headlines=0.2, taste=50.0, again=0.1, returning=0.5, loyal=0.9)
    made = summarize(DriftingStream(settings, 4000).clicks())
    for ceiling, sums in ((made.oracle, expected[::2]), (made.observer, expected[1::2])):
        assert ceiling.hr10 == pytest.approx(np.mean(sums), abs=0.025)
    assert made.oracle.hr10 > made.observer.hr10 + 0.02


def test_tastes_and_links_make_what_follows_depend_on_user_and_item() -> None:
    plain = DriftSettings(taste=1.0, follow=0.0, again=1.0)
    alike = summarize(DriftingStream(plain, 1500).clicks())
    assert alike.oracle.hr10 == alike.observer.hr10, "there is nothing to know of a user"
    linked, loose = (
        summarize(DriftingStream(DriftSettings(follow=follow), 1500).clicks())
        for follow in (0.9, 0.0)
    )
    assert linked.observer.hr10 > loose.observer.hr10 + 0.05


def test_bots_come_by_setting_and_click_at_random_or_one_item() -> None:
    made = list(DriftingStream(DriftSettings(bot_share=0.4, bots=4), 4000).clicks())
    by_user = defaultdict(list)
    for click in made:
        by_user[click.event.user_id].append(click)
    bots = sorted(by_user, key=lambda user: -len(by_user[user]))[:4]
    assert sum(len(by_user[bot]) for bot in bots) / len(made) == pytest.approx(0.4, abs=0.05)
    items = sorted(len({click.event.item_id for click in by_user[bot]}) for bot in bots)
    assert items[:2] == [1, 1]
    assert items[2] > 100
    random = next(bot for bot in bots if len({c.event.item_id for c in by_user[bot]}) > 1)
    hits = np.mean([click.rank <= 10 for click in by_user[random]])
    assert hits < 0.1, "nobody can know what is drawn from all items alike"
    assert max(map(len, by_user.values())) < 0.2 * len(made)


def test_a_row_of_weight_0_is_never_picked() -> None:
    cumulated = np.cumsum([0.0, 0.25, 0.0, 0.75, 0.0])
    assert [pick(cumulated, share) for share in (0.0, 0.2, 0.25, 0.9)] == [1, 1, 3, 3]
    assert pick(cumulated, 1.0) == 3, "where the product is rounded up to the sum"


def clicked_before(clicks: list[Click]) -> float:
    seen: set[tuple[object, object]] = set()
    times = 0
    for click in clicks:
        pair = click.event.user_id, click.event.item_id
        times += pair in seen
        seen.add(pair)
    return times / len(clicks)


def fading_markov(clicks: list[Click]) -> float:
    """HR@10 of last-item counts that halve with each window, filled up with fading popularity."""
    popular: dict[object, float] = {}
    follows: dict[object, dict[object, float]] = defaultdict(dict)
    last: dict[object, object] = {}
    hits = 0
    for at in range(0, len(clicks), WINDOW):
        window = [(click.event.user_id, click.event.item_id) for click in clicks[at : at + WINDOW]]
        hot = sorted(popular, key=lambda item: -popular[item])[:10]
        pairs = []
        for user, item in window:
            before = follows.get(last.get(user), {})
            best = sorted(before, key=lambda item: (-before[item], -popular[item]))[:10]
            hits += at > 0 and item in (best + [one for one in hot if one not in best])[:10]
            pairs.append((last.get(user), item))
            last[user] = item
        for counts in (popular, *follows.values()):
            for item in counts:
                counts[item] *= 0.5
        for before_item, item in pairs:
            popular[item] = popular.get(item, 0.0) + 1.0
            if before_item is not None:
                counts = follows[before_item]
                counts[item] = counts.get(item, 0.0) + 1.0
    return hits / (len(clicks) - WINDOW)
