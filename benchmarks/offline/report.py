"""What ``offline`` comes to: its table and its figures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.report import show_table
from benchmarks.offline.runs import MODELS, Run, tested_runs

COLUMNS = (
    "run",
    "epochs",
    "HR@10 ↑",
    "NDCG@10 ↑",
    "HR@50 ↑",
    "published HR@10 / NDCG@10",
    "CPU s ↓",
    "tokens/CPU s ↑",
)


def show(folder: Path) -> None:
    """A table of all runs in the folder, the published figures beside."""
    rows = []
    for run in tested_runs(folder):
        last, (hr10, ndcg10), own = run.tested()[-1], MODELS[run.model].published, figures(run)
        rows.append(
            (
                run.name,
                last.number,
                f"{last.scores['hr10']:.4f}",
                f"{last.scores['ndcg10']:.4f}",
                f"{last.scores['hr50']:.4f}",
                f"{hr10:.4f} / {ndcg10:.4f}",
                f"{own['train_cpu_s']:,.0f}",
                f"{own['tokens_per_cpu_s']:,.0f}",
            )
        )
    show_table(
        "Leave-one-out, MovieLens 1M, after the last epoch",
        COLUMNS,
        rows,
        good="HR@10 and NDCG@10 at or above the published ones",
    )


def figures(run: Run) -> dict[str, float | str]:
    """The newest epoch's scores, which no choice of an epoch has flattered."""
    tested = run.tested()
    seconds = sum(epoch.train_s for epoch in run.epochs)
    cpu = sum(epoch.train_cpu_s for epoch in run.epochs)
    tokens = sum(epoch.tokens for epoch in run.epochs)
    return {
        "model": run.model,
        **(tested[-1].scores if tested else {}),
        "best_hr10": max((epoch.scores["hr10"] for epoch in tested), default=0.0),
        "published_hr10": MODELS[run.model].published[0],
        "published_ndcg10": MODELS[run.model].published[1],
        "epochs": len(run.epochs),
        "tokens_per_s": round(tokens / seconds, 1) if seconds else 0.0,
        "tokens_per_cpu_s": round(tokens / cpu, 1) if cpu else 0.0,
        "train_s": round(seconds, 1),
        "train_cpu_s": round(cpu, 1),
    }
