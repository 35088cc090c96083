"""``everfresh experiment report``: counts the new outcomes of an experiment, and says what they
tell."""

from __future__ import annotations

from pathlib import Path

from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.kept_results import write_whole
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.guard.reading import read_report


def run_report(
    settings: Settings,
    name: str,
    html: Path | None,
    *,
    as_json: bool,
    if_explored: float | None = None,
) -> None:
    """Print what is known of the experiment, and write the page where one is asked for.

    ``if_explored`` is another share of places that arms might have explored; ``ExperimentRefused``
    where none explores.
    """
    report, remarks = read_report(with_brokers(settings), name, if_explored)
    if if_explored is not None and not report.what_if:
        raise ExperimentRefused(
            f"no exposure of {name} has propensities: its answers are not by chance, so nothing "
            "can be said of what another policy would have had; start an experiment with --explore"
        )
    from everfresh.experiments.verdict.words import words  # noqa: PLC0415  (needs an extra)

    said = words(report)
    if html is not None:
        from everfresh.infra.cli.views.experiment_page import page  # noqa: PLC0415  (and a plotter)

        drawn = page(report, said)
        write_whole(html, lambda place: place.write_text(drawn, encoding="utf-8"))
    if as_json:
        from everfresh.infra.cli.views.experiment_report import as_tree  # noqa: PLC0415

        write_json(as_tree(report, said, remarks), indent=2)
        return
    from everfresh.infra.cli.views.experiment_report import show  # noqa: PLC0415

    console = Terminal()
    show(console, report, said)
    for remark in remarks:
        console.print(remark)
    if html is not None:
        console.print(f"the page is {html}", soft_wrap=True)
