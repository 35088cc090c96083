"""The rows that a filter leaves are the same whether they were kept up or are found anew."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from everfresh.contracts.items.rules import Filter
from everfresh.model.recommender import Recommender
from everfresh.serving.items import view as module
from everfresh.serving.items.catalogue import Catalogue
from tests.serving.items.shop import catalogue_of, change, removal
from tests.serving.replica_in_memory import ITEMS, recommender

DRAMA = Filter(attribute="genre", equals="drama")
CHEAP = Filter(none=(Filter(attribute="price", at_least=50),))


def left(catalogue: Catalogue, made: Recommender, of: Filter | None, now: int = 1) -> set[object]:
    with catalogue.reading(made, now) as view:
        closed, number = view.closed(of)
        rows = [row for row in range(len(closed)) if not closed[row]]
    assert number == len(rows)
    return {made.vocabulary.item(row) for row in rows}


def test_all_that_has_no_record_may_be_shown_unless_only_what_is_listed_may() -> None:
    made = recommender(1)
    for unlisted, expected in (("allow", set(ITEMS) - {5}), ("exclude", {3})):
        catalogue = catalogue_of(change(3), change(5, available=False), unlisted=unlisted)
        catalogue.prepare(made)
        assert left(catalogue, made, None) == expected


def test_a_filter_follows_changed_records_removals_and_time() -> None:
    made, catalogue = recommender(1), catalogue_of()
    catalogue.prepare(made)
    dice, known = random.Random(1), dict[object, tuple[str, int] | None]()
    for step in range(120):
        some = [dice.choice([*ITEMS, "unseen"]) for _ in range(dice.randint(1, 5))]
        for item in some:
            genre, price = dice.choice(["drama", "crime"]), dice.randrange(100)
            gone = dice.random() < 0.2
            record = removal(item) if gone else change(item, genre=genre, price=price)
            catalogue.apply([record], step + 1)
            known[item] = None if gone else (genre, price)
        listed = {item: said for item, said in known.items() if item in ITEMS}
        away = {item for item, said in listed.items() if said is None}
        drama = {item for item, said in listed.items() if said and said[0] == "drama"}
        dear = {item for item, said in listed.items() if said and said[1] >= 50}
        assert left(catalogue, made, None) == set(ITEMS) - away
        if step % 3 == 0:
            assert left(catalogue, made, DRAMA) == drama
        assert left(catalogue, made, CHEAP) == set(ITEMS) - away - dear


def test_a_version_with_other_items_in_its_rows_is_seen_as_it_is() -> None:
    """The vocabulary of a spare is overwritten: rows get other items, and new ones come."""
    made = recommender(1)
    catalogue = catalogue_of(*(change(n, genre="drama" if n % 2 else "crime") for n in range(60)))
    catalogue.prepare(made)
    odd = {item for item in ITEMS if isinstance(item, int) and item % 2}
    assert left(catalogue, made, DRAMA) == odd
    vocabulary = made.vocabulary
    vocabulary.expire(1)  # all rows are free
    vocabulary.admit(list(range(20, 58)), label=1)
    catalogue.prepare(made)
    assert left(catalogue, made, DRAMA) == {n for n in range(20, 58) if n % 2}
    assert left(catalogue, made, None) == set(range(20, 58))
    catalogue.apply([removal(21)], 61)
    assert left(catalogue, made, DRAMA) == {n for n in range(23, 58) if n % 2}


def test_what_was_noted_too_long_ago_is_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NOTED", 8)
    made, catalogue = recommender(1), catalogue_of(change(1, genre="drama"))
    catalogue.prepare(made)
    assert left(catalogue, made, DRAMA) == {1}
    for item in range(2, 25):
        catalogue.apply([change(item, genre="drama")], item)
    assert left(catalogue, made, DRAMA) == set(range(1, 25))


def test_only_so_many_filters_are_kept() -> None:
    made, catalogue = recommender(1), catalogue_of(change(1, n=1))
    catalogue.prepare(made)
    for number in range(3 * module.MOST_FILTERS):
        left(catalogue, made, Filter(attribute="n", equals=number))
    assert len(catalogue._views[made]._kept) == module.MOST_FILTERS


def test_true_and_1_are_two_filters() -> None:
    made = recommender(1)
    catalogue = catalogue_of(change(1, n=1), change(2, n=True))
    catalogue.prepare(made)
    assert left(catalogue, made, Filter(attribute="n", equals=True)) == {2}
    assert left(catalogue, made, Filter(attribute="n", equals=1)) == {1}


def test_an_expiry_takes_an_item_out_at_its_moment() -> None:
    made, catalogue = recommender(1), catalogue_of(change(3, expires=500))
    catalogue.prepare(made)
    assert 3 in left(catalogue, made, None, now=499)
    assert 3 not in left(catalogue, made, None, now=500)


def test_requests_records_and_versions_may_come_at_once() -> None:
    """Whatever meets whatever, no request fails, and each sees all that came before it."""
    catalogue = catalogue_of(*(change(n, genre="drama") for n in range(1, 31)))
    versions = [recommender(seed) for seed in (1, 2)]
    for each in versions:
        catalogue.prepare(each)

    def write() -> None:
        for turn in range(300):
            catalogue.apply([change(turn % 30 + 1, genre="crime", expires=turn)], 31 + turn)

    def swap(writing: Future[None]) -> None:
        while not writing.done():
            catalogue.prepare(recommender(3))
            catalogue.prepare(versions[0])

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        swapping = pool.submit(swap, writing)
        for now in itertools.takewhile(lambda _: not writing.done(), itertools.count()):
            left(catalogue, versions[1], DRAMA, now)
        writing.result()
        swapping.result()
    assert left(catalogue, versions[1], DRAMA, now=10**9) == set()
    assert left(catalogue, versions[1], None, now=10**9) == {"thirty-one"}
