"""The grid: what cells share, one cell, and a run that was killed and goes on."""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import Settings
from everfresh.evaluation.scaling import __main__ as running
from everfresh.evaluation.scaling import cell as cells
from everfresh.evaluation.scaling.cell import sized, tokens_of, train_cell
from everfresh.evaluation.scaling.grid import Grid, lay_grid
from everfresh.evaluation.scaling.kept_cells import KeptCells
from everfresh.evaluation.scaling.lines import (
    Cell,
    Findings,
    GridPlan,
    PassDone,
    Reading,
    ScalingLine,
)
from everfresh.model.network.batches import make_batches, query_batch
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from tests.evaluation.made_up_events import event

SIZES = ("4x1", "8x1", "8x2", "16x1")


def clicks(number: int, seed: int = 1) -> list[Event]:
    """Users who mostly go on to the next item; items beyond 20 come with time."""
    rng, last = random.Random(seed), dict.fromkeys(range(60), 0)
    events = []
    for n in range(number):
        user = rng.randrange(60)
        most = 20 + n // 1_000
        last[user] = (last[user] + 1) % most if rng.random() < 0.8 else rng.randrange(most)
        events.append(event(n, user, last[user]))
    return events


@pytest.fixture
def settings(small_settings: Settings) -> Settings:
    """Whole histories are read, in few steps."""
    model = small_settings.model.model_copy(update={"max_length": 200})
    tuning = small_settings.trainer.model_copy(update={"batch_tokens": 1024})
    return small_settings.model_copy(update={"model": model, "trainer": tuning})


@pytest.fixture
def grid(settings: Settings) -> Grid:
    return lay_grid(clicks(8_000), 0.1, 4, settings)


def test_prefixes_are_halves_of_each_other_and_end_where_the_window_begins(grid: Grid) -> None:
    assert list(grid.prefixes) == [900, 1800, 3600, 7200]
    assert [window.events for window in grid.prefixes.values()] == list(grid.prefixes)
    assert sum(len(example.targets) for example in grid.window) == 800
    assert all(window.label == 0 for window in grid.prefixes.values())
    longest = {each.user: each for each in grid.prefixes[7200].examples}
    for example in grid.window:
        assert example.context == longest[example.user].targets


def test_only_targets_that_the_shortest_prefix_knows_are_measured(grid: Grid) -> None:
    known = {target.item for each in grid.prefixes[900].examples for target in each.targets}
    targets = [target.item for each in grid.window for target in each.targets]
    assert set(grid.catalogue) == known
    assert [item in known for item in targets] == (grid.wanted >= 0).tolist()
    assert 0 < grid.targets < len(targets)
    assert not (np.diff(grid.choosing[grid.wanted >= 0]) == 0).all(), "both halves have users"


def test_refusals_are_read_and_are_no_targets_of_any_cell(settings: Settings) -> None:
    plain = clicks(8_000)
    skips = [replace(each, type="skip") if at % 5 == 0 else each for at, each in enumerate(plain)]
    grid, whole = (lay_grid(events, 0.1, 4, settings) for events in (skips, plain))
    targets = [target for each in grid.window for target in each.targets]
    assert len(targets) == 800
    assert not (grid.wanted[[target.action == "skip" for target in targets]] >= 0).any()
    assert whole.targets - 200 < grid.targets < whole.targets
    longest = grid.prefixes[7200]
    assert (longest.events, sum(each.taught for each in longest.examples)) == (7200, 5760)


@pytest.mark.parametrize(
    ("number", "share", "said"),
    [(2_000, 0.1, "shortest prefix of 225"), (8_000, 0.05, "of one half of the users")],
)
def test_too_few_events_are_refused_with_what_was_found(
    settings: Settings, number: int, share: float, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        lay_grid(clicks(number), share, 4, settings)


@pytest.mark.parametrize(
    ("size", "said"),
    [("64", "WIDTHxBLOCKS"), ("64x", "found"), ("-4x2", "found"), ("5x1", "heads"), ("4x0", "4x0")],
)
def test_what_is_no_size_is_refused(settings: Settings, size: str, said: str) -> None:
    model = settings.model.model_copy(update={"heads": 2})
    with pytest.raises(SettingsError, match=said):
        sized(settings.model_copy(update={"model": model}), size, 1, 1)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("8x1,8x2", "4 different sizes or more"),
        ("8x1,8x2,8x1,8x3", "4 different sizes or more"),
        ("8x1,8x2,8x3,8000x99", "8000x99 has .* weights.*name smaller ones"),
    ],
)
def test_sizes_that_make_no_grid_are_refused_before_anything_is_read(
    settings: Settings, sizes: str, said: str
) -> None:
    names = sizes.split(",")
    with pytest.raises(SettingsError, match=said):
        running._require_enough({name: sized(settings, name, 1, 1) for name in names}, names)


def test_a_cells_loss_is_the_full_softmax_over_the_catalogue_after_each_pass(
    grid: Grid, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[PassDone] = []
    recommenders = []
    measured = cells._Ruler.losses

    def losses(ruler: cells._Ruler, recommender: Recommender) -> tuple[float, float]:
        recommenders.append(recommender)
        return measured(ruler, recommender)

    monkeypatch.setattr(cells._Ruler, "losses", losses)
    cell = train_cell(grid, "8x1", 1800, sized(settings, "8x1", 3, 2), told.append)
    assert [line.number for line in told] == [1, 2]
    assert [line.reading for line in told] == cell.readings
    assert cell.readings[0].tokens * 2 == cell.readings[1].tokens
    model = recommenders[-1]
    rows = [model.vocabulary.row(item) for item in grid.catalogue]
    bits, place = [], 0
    with torch.inference_mode():
        for example in grid.window:
            for at, target in enumerate(example.targets):
                if grid.wanted[place] >= 0 and not grid.choosing[place]:
                    before = [*example.context, *example.targets[:at]]
                    batch = query_batch(before, model.vocabulary, model.settings.max_length)
                    scores = model.catalogue().scores(model.network(batch)[-1:])[0, rows]
                    own = scores[grid.catalogue.index(target.item)]
                    bits.append(float(torch.logsumexp(scores, 0) - own) / math.log(2))
                place += 1
    # What is read of a long history differs by where chunks are cut.
    assert cell.readings[-1].loss == pytest.approx(np.mean(bits), rel=1e-4)
    assert cell.popularity > 0
    assert cell.weights == sum(w.numel() for w in model.network.blocks.parameters())


def test_the_tokens_of_a_pass_are_told_beforehand(grid: Grid, settings: Settings) -> None:
    for longest in (8, 16, 200):
        model = settings.model.model_copy(update={"max_length": longest})
        window = grid.prefixes[3600]
        vocabulary = Vocabulary()
        batches = make_batches(window.examples, vocabulary, model, 500, 1)
        assert tokens_of(window, longest) == pytest.approx(
            sum(batch.tokens for batch in batches), rel=0.1
        )


def run(grid: Grid, settings: Settings, kept: KeptCells) -> list[ScalingLine]:
    lines: list[ScalingLine] = []
    options = argparse.Namespace(passes=3, plan=False, budget=0.0, seed=1)
    sizes = {size: sized(settings, size, 1, 3) for size in SIZES}
    running.run_grid(options, grid, sizes, [1, 2], kept, lines.append)
    return lines


def test_a_run_killed_anywhere_goes_on_and_comes_to_the_same(
    grid: Grid, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int, int]] = []
    stop_after = 5

    def made(grid: Grid, size: str, events: int, own: Settings, told: cells.Told) -> Cell:
        if len(trained) == stop_after:
            raise KeyboardInterrupt
        seed, model = own.trainer.seed, own.model
        trained.append((size, events, seed))
        loss = 4 + 9 / (model.dim * model.blocks) + 900 / events + seed / 1000
        readings = [Reading(loss, loss, events * done / 1e3, done) for done in (1, 2, 3)]
        weights = model.dim**2 * model.blocks
        return Cell(size, model.dim, model.blocks, events, seed, weights, 10, 9.0, readings)

    monkeypatch.setattr(running, "train_cell", made)
    monkeypatch.setattr(running, "seconds_per_token", lambda grid, own: 1e-4)
    kept = KeptCells(tmp_path / "cells", "abc")
    with pytest.raises(KeyboardInterrupt):
        run(grid, settings, kept)
    assert len(list(kept.folder.glob("*.json"))) == 5
    (kept.folder / "4x1-900-seed1-abc.json").write_text("{")  # spoilt: trained again
    (kept.folder / "junk").write_text("x")
    stop_after, cut = 99, len(trained)
    plan, *_, found = run(grid, settings, kept)
    assert isinstance(plan, GridPlan)
    assert isinstance(found, Findings)
    assert (plan.kept, len(trained) - cut, len(found.cells)) == (4, 28, 32)
    whole = run(grid, settings, KeptCells(tmp_path / "others", "abc"))[-1]
    assert isinstance(whole, Findings)
    assert (whole.cells, whole.laws, whole.held_out) == (found.cells, found.laws, found.held_out)
    done = len(trained)
    again = run(grid, settings, kept)[0]
    assert isinstance(again, GridPlan)
    assert (again.kept, again.tokens, again.seconds, len(trained)) == (32, 0, 0.0, done)


def test_cells_of_other_settings_or_events_are_not_taken(
    grid: Grid, settings: Settings, tmp_path: Path
) -> None:
    own = sized(settings, "8x1", 1, 2)
    faster = own.model_copy(
        update={"trainer": own.trainer.model_copy(update={"learning_rate": 0.1})}
    )
    other = lay_grid(clicks(8_000, seed=2), 0.1, 4, settings)
    state = settings.state.model_copy(update={"history_length": 20})
    shorter = lay_grid(clicks(8_000), 0.1, 4, settings.model_copy(update={"state": state}))
    digests = {
        running._digest(grid, own),
        running._digest(grid, faster),
        running._digest(other, own),
        running._digest(shorter, own),
        running._digest(grid, sized(settings, "8x1", 1, 3)),
    }
    assert len(digests) == 5
    assert running._digest(grid, sized(settings, "16x1", 7, 2)) in digests


def test_weights_are_counted_without_making_a_network(settings: Settings) -> None:
    own = sized(settings, "8x3", 1, 1)
    blocks = Recommender(own.model, Vocabulary(), 1).network.blocks
    assert cells.block_weights(own) == sum(weight.numel() for weight in blocks.parameters())
    assert cells.block_weights(sized(settings, "90000x90000", 1, 1)) > 10**15
