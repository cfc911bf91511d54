"""What the rule for a table's weight gives away on Adult's test file, against the same rule applied in hindsight."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from midebias.datasets import fetch_adult
from midebias.experiments.table_sweep import TableSweep
from midebias.experiments.weight_choice import WeightTrial, choose_within

from .script import Script, format_table

__all__ = ["measure_table_regret", "render_table"]


def _read_adult(split: Any) -> Any:
    adult = fetch_adult(split=split)
    columns = {"income": adult.target.to_numpy(), "sex": adult.sensitive_features["sex"].astype(str).to_numpy()}
    return adult.data.assign(**columns)


def measure_table_regret(
    train: Any, test: Any, *, criterion: str, weights: Sequence[float], tolerance: float, seed: int
) -> list[dict[str, Any]]:
    """A row per weight: what held-out training rows said, what the test rows say, what was chosen and what was best.

    Best is what the rule takes when it is shown the test rows.
    """
    sweep = TableSweep(
        train, label="income", attributes=["sex"], criterion=criterion, epochs=None, tolerance=tolerance, seeds=[seed]
    )
    trials = [sweep.try_weight(weight) for weight in weights]
    tested = []
    for weight in weights:
        right, (leakage, error) = sweep.judge(train, test, weight, seed)
        tested.append(WeightTrial(weight, float(right.mean()), 0.0, leakage, error))
    plain = float(sweep.judge(train, test, 0.0, seed)[0].mean())
    chosen, best = sweep.choose(trials), choose_within(tested, plain=plain, tolerance=tolerance)
    return [
        {
            "dataset": "adult", "criterion": criterion, "seed": seed, "weight": t.weight,
            "held_out_accuracy": t.accuracy, "held_out_leakage": t.leakage,
            "test_accuracy": o.accuracy, "test_leakage": o.leakage, "test_accuracy_plain": plain,
            "chosen": i == chosen, "best": i == best,
        }
        for i, (t, o) in enumerate(zip(trials, tested, strict=True))
    ]  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """A line per criterion and seed."""
    header = (
        "criterion", "seed", "no penalty", "chosen", "accuracy", "leakage", "best in hindsight", "accuracy", "leakage",
    )  # fmt: skip
    lines, rows = [], document["rows"]
    for criterion, seed in dict.fromkeys((r["criterion"], r["seed"]) for r in rows):
        mine = [r for r in rows if (r["criterion"], r["seed"]) == (criterion, seed)]
        cells = [criterion, str(seed), f"{mine[0]['test_accuracy_plain']:.3f}"]
        for role in ("chosen", "best"):
            (row,) = (r for r in mine if r[role])
            cells += [f"{row['weight']:g}", f"{row['test_accuracy']:.3f}", f"{row['test_leakage']:.3f}"]
        lines.append(cells)
    beyond = [
        max(0.0, r["test_accuracy_plain"] - r["test_accuracy"] - document["tolerance"]) for r in rows if r["chosen"]
    ]
    return "\n".join(format_table(header, lines)) + (
        f"\n\nAccuracy on the test file; leakage in nats. Beyond the tolerance of {document['tolerance']:g} the chosen "
        f"weight cost {statistics.mean(beyond):.3f} on average, {max(beyond):.3f} at most. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script("table_weight_regret", __doc__, weights=[0.1, 0.3, 1.0, 3.0, 10.0], tolerance=0.02, seeds=[0, 1, 2])
    given = script.given
    train, test = _read_adult("train"), _read_adult("test")
    rows: list[dict[str, Any]] = []
    for criterion, seed in product(("independence", "separation"), given["seeds"]):
        rows += measure_table_regret(
            train, test, criterion=criterion, weights=given["weights"], tolerance=given["tolerance"], seed=seed
        )
        script.write(rows, given["seeds"], tolerance=given["tolerance"])
