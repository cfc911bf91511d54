"""``midebias reproduce fairness``: Adult and German credit, beside fairlearn's methods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..experiments.fairness import FairnessTable, plan_cells
from ..experiments.tabular_methods import METHODS
from ..reporting.fairness_figure import draw_front
from .console import show_files, show_plain_table
from .run_grid import Reproduction, run_grid

_SHOWN = ("accuracy", "demographic_parity_difference", "equalized_odds_difference", "probe_balanced_accuracy")


def reproduce_fairness(given: Reproduction) -> None:
    """Run what is missing of the table, draw the picture, show the means."""
    given.check_only(METHODS, "methods of")
    if given.resume is not None:
        table = FairnessTable.resume(given.resume)
    else:
        cells = plan_cells(seeds=given.seeds, quick=given.quick)
        table = FairnessTable(given.output_dir, cells, command=given.write_command("fairness"))
        table.begin("reproduce-fairness")
    run_grid(table, only=given.only, jobs=given.jobs, describe=_describe, report=_report)


def _describe(rows: Sequence[dict[str, Any]]) -> str:
    (row,) = rows
    return (
        f"accuracy {row['accuracy']:.3f}, parity {row['demographic_parity_difference']:.3f}, "
        f"odds {row['equalized_odds_difference']:.3f}, {row['seconds']:.0f} s"
    )


def _report(folder: Path, document: dict[str, Any]) -> None:
    draw_front(folder / "front.png", document["summary"])
    lines = [
        [
            f"{e['dataset']}, {e['attribute']}", e["method"], e["setting"],
            *("" if e[n] is None else f"{e[n]:.3f}" for n in _SHOWN),
        ]
        for e in document["summary"]
    ]  # fmt: skip
    header = ["data", "method", "setting", "accuracy", "parity", "odds", "probe"]
    show_plain_table(header, lines, title="Means on the test rows")
    show_files(folder, picture="front.png")
