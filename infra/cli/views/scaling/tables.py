"""A grid's losses, its forms on what was held out, the law and the advice, in tables and words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from everfresh.evaluation.scaling.lines import Cell, Findings, FittedLaw
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import duration

_WHERE = {
    "row": "largest size",
    "column": "longest stretch",
    "corner": "largest size and longest stretch",
}


def parts(result: Findings) -> Iterator[RenderableType]:
    """All of it, in the order in which it is to be read."""
    yield _losses(result)
    yield _held_out(result)
    yield _errors(result)
    for name, law in result.laws.items():
        yield from _law(name, law)
    yield from _beyond(result)
    yield from _advice(result)


def mean_losses(result: Findings) -> dict[tuple[str, int], float]:
    """Size and events -> the mean over seeds of the loss."""
    groups: dict[tuple[str, int], list[float]] = {}
    for cell in result.cells:
        groups.setdefault((cell.size, cell.events), []).append(cell.loss)
    return {key: sum(losses) / len(losses) for key, losses in groups.items()}


def sizes_of(result: Findings) -> dict[str, Cell]:
    """Each size by a cell of its longest stretch, smallest first."""
    ordered = sorted(result.cells, key=lambda cell: (cell.weights, cell.events))
    return {cell.size: cell for cell in ordered}


def _losses(result: Findings) -> RenderableType:
    events = result.plan.prefixes
    heads = [f"{number:,} ↓" for number in events]
    table = new_table(
        "size", "weights", "item rows", *heads, right=("weights", "item rows", *heads)
    )
    means = mean_losses(result)
    for size, cell in sizes_of(result).items():
        losses = [f"{means[size, number]:.3f}" for number in events]
        table.add_row(size, f"{cell.weights:,}", f"{cell.rows:,}", *losses)
    popular = {cell.events: cell.popularity for cell in result.cells}
    table.add_row("popularity", "", "", *(f"{popular[number]:.3f}" for number in events))
    note = (
        "Bits per event (↓ less is better): how surprised the network is by what users chose in "
        "the later window, over all items of the catalogue. One bit less halves the number of "
        "items it hesitates between. A column is a stretch of so many events; means over seeds, "
        f"which lie {result.spread:.3f} apart in the mean. Each after its best pass, chosen by "
        "every other user and told of the others. weights: of the blocks. popularity: counting how "
        "often each item was chosen."
    )
    return described("Loss by size and events", table, note)


def _held_out(result: Findings) -> RenderableType:
    names = list(result.errors)
    heads = ("events", "observed", "seeds apart", *names)
    table = new_table("held out", "size", *heads, right=heads)
    for held in result.held_out:
        told = [f"{held.predicted[name]:.3f}" for name in names]
        table.add_row(
            held.where,
            held.size,
            f"{held.events:,}",
            f"{held.observed:.3f}",
            f"{held.spread:.3f}",
            *told,
        )
    note = (
        "Each form was fitted to all other trainings: not to the largest size (row), not to the "
        "longest stretch (column). What it predicts stands beside what was observed."
    )
    return described("Predicted before it was looked at", table, note)


def _errors(result: Findings) -> RenderableType:
    heads = [f"{words} ↓" for words in _WHERE.values()]
    table = new_table("form", *heads, right=tuple(heads))
    for name, errors in result.errors.items():
        table.add_row(name, *(f"{errors[where]:.3f}" for where in _WHERE))
    note = (
        "Mean distance from what was observed, in bits. A form says something where it is nearer "
        f"than log-linear, and it cannot be nearer than seeds are apart ({result.spread:.3f})."
    )
    if "performance law" not in result.errors:
        note += (
            " The performance law is left out: all sizes but the largest have one number of "
            "blocks, or one width, and its terms for these could be anything."
        )
    return described("How far off", table, note)


def _law(name: str, law: FittedLaw) -> Iterator[str]:
    low, high = law.alpha_interval
    yield (
        f"{name}: L = {law.floor:.3f} + {law.a:.3f} (N / {law.n_unit:,.0f})^-{law.alpha:.3f} + "
        f"{law.b:.3f} (D / {law.d_unit:,.0f})^-{law.beta:.3f}"
    )
    yield (
        f"  95 % intervals: alpha {low:.3f} to {high:.3f}, beta {law.beta_interval[0]:.3f} to "
        f"{law.beta_interval[1]:.3f}"
    )
    if law.refused:
        yield f"  It is not used beyond what was measured: {law.refused}."


def _beyond(result: Findings) -> Iterator[str]:
    if result.beyond:
        told = ", ".join(f"{name}: {loss:.3f}" for name, loss in result.beyond.items())
        yield (
            f"Loss beyond the largest training, by the one that was nearest to the corner "
            f"({result.beyond_by}): {told}"
        )
    yield ""


def _advice(result: Findings) -> Iterator[str]:
    advice, best, budget = result.advice, result.best, result.budget_s
    passes = "1 pass" if advice.passes == 1 else f"{advice.passes} passes"
    within = f" within {duration(budget)}" if budget else ""
    if budget and advice.train_s > budget:
        yield (
            f"Nothing was trained{within}. The cheapest is size {advice.size} with {passes}: "
            f"{duration(advice.train_s)}, loss {advice.loss:.3f}."
        )
        return
    dim, _, blocks = advice.size.partition("x")
    yield (
        f"Advice for this stream{within}: size {advice.size} (model.dim = {dim}, model.blocks = "
        f"{blocks}) and {passes} over a window (trainer.first_epochs = {advice.passes}). Its loss "
        f"is {advice.loss:.3f}, at {duration(advice.train_s)} of processor time over "
        f"{result.plan.prefixes[-1]:,} events."
    )
    if (advice.size, advice.passes) != (best.size, best.passes):
        yield (
            f"The lowest loss of all has size {best.size} with {best.passes} passes: "
            f"{best.loss:.3f}, at {duration(best.train_s)}. The advice is the cheapest that is as "
            "good as chance between seeds can tell"
            + (", of those within the time." if budget else ".")
        )
    size = max(sizes_of(result).values(), key=lambda cell: cell.weights).size
    if best.passes == result.plan.passes:
        yield f"The last pass was the best: try more than --passes {result.plan.passes}."
    if best.size == size:
        yield f"The largest size was the best: try larger ones than {size}."
