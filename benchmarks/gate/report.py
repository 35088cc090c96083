"""What ``gate`` comes to: its tables and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.measure import Results
from benchmarks.gate.poison import POISONS
from benchmarks.gate.runs import Noise, Poisoned
from benchmarks.harness.report import show_table


def show(results: Results) -> None:
    """Usual windows that were held, what became of poison, and the windows around noise."""
    show_table(
        "Usual windows that were held",
        ("window", "gate's reason"),
        [(report.label, report.held) for report in results.usual_held],
        good="none",
    )
    if results.poisoned:
        _show_poisoned(results.poisoned)
    for trial in results.noise:
        _show_noise(trial, results.hit_rates)


def figures(results: Results) -> dict[str, Any]:
    """Counts of each part, and HR@10 around what went wrong."""
    named: dict[str, Any] = {
        "windows": results.windows,
        "usual_held": len(results.usual_held),
        "usual_rolled_back": results.usual_rolled_back,
    }
    if results.poisoned:
        named |= _poison_figures(results.poisoned)
    if results.noise:
        named |= _noise_figures(results.noise)
    return named


def _show_poisoned(poisoned: Sequence[Poisoned]) -> None:
    rows = [
        (
            window.kind,
            window.window,
            "held" if window.held else "rolled back" if window.rolled_back else "let through",
            f"{window.live:.4f} {window.popularity:.4f}",
            " ".join(f"{change:+.4f}" for change in window.harm),
        )
        for window in poisoned
    ]
    show_table(
        "A poisoned window in place of a usual one",
        ("poison", "window", "gate", "HR@10 of live, popularity", "change of HR@10 after it ↑"),
        rows,
        good="held; changes near zero or above",
    )


def _show_noise(trial: Noise, usual: Mapping[int, float]) -> None:
    rows = [(at, "with noise", value) for at, value in trial.served.items()]
    rows += [(at, "rolled back", value) for at, value in trial.after.items()]
    show_table(
        f"The candidate of window {trial.window} replaced by noise; given up on {trial.decided}",
        ("window", "", "HR@10 ↑", "HR@10 undisturbed"),
        [(at, state, f"{value:.4f}", f"{usual[at]:.4f}") for at, state, value in rows],
        good="given up after two or three windows; then HR@10 near the undisturbed one",
    )


def _poison_figures(poisoned: Sequence[Poisoned]) -> dict[str, Any]:
    named: dict[str, Any] = {"poisoned_each": len(poisoned) // len(POISONS)}
    for kind in POISONS:
        of_kind = [window for window in poisoned if window.kind == kind]
        named[f"{kind.replace(' ', '_')}_held"] = sum(bool(window.held) for window in of_kind)
    for name, held in (("held", True), ("let_through", False)):
        harm = [
            change for window in poisoned if bool(window.held) is held for change in window.harm
        ]
        named[f"{name}_mean_change"] = round(sum(harm) / max(1, len(harm)), 5)
    named["poison_rolled_back"] = sum(window.rolled_back for window in poisoned)
    return named


def _noise_figures(trials: Sequence[Noise]) -> dict[str, Any]:
    back = [trial for trial in trials if trial.decided is not None]
    worst = [value for trial in trials for at, value in trial.served.items() if at > trial.window]
    first = trials[0]
    return {
        "noise_let_through": len(trials),
        "rolled_back": len(back),
        "windows_until_rollback": max(
            (trial.decided or 0) - trial.window for trial in back or trials
        ),
        "hr10_before": first.served[first.window],
        "hr10_lowest": min(worst, default=0.0),
        "hr10_after": next(iter(first.after.values()), 0.0),
    }
