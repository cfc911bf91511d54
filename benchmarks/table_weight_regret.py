"""What the rule for a table's weight gives away on Adult's test file, against the same rule applied in hindsight.

python -m benchmarks.table_weight_regret --seeds 0,1,2 --output results/weight-regret-adult.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from midebias.datasets import fetch_adult
from midebias.experiments.run_folder import results_document, write_json
from midebias.experiments.table_sweep import TableSweep
from midebias.experiments.weight_choice import WeightTrial, choose_within

__all__ = ["render_table", "table_regret"]


def _file(split: Any) -> Any:
    adult = fetch_adult(split=split)
    columns = {"income": adult.target.to_numpy(), "sex": adult.sensitive_features["sex"].astype(str).to_numpy()}
    return adult.data.assign(**columns)


def table_regret(
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
    lines = [
        "| criterion | seed | no penalty | chosen | accuracy | leakage | best in hindsight | accuracy | leakage |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = document["rows"]
    for criterion, seed in dict.fromkeys((r["criterion"], r["seed"]) for r in rows):
        mine = [r for r in rows if (r["criterion"], r["seed"]) == (criterion, seed)]
        cells = [criterion, str(seed), f"{mine[0]['test_accuracy_plain']:.3f}"]
        for role in ("chosen", "best"):
            (row,) = (r for r in mine if r[role])
            cells += [f"{row['weight']:g}", f"{row['test_accuracy']:.3f}", f"{row['test_leakage']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    beyond = [
        max(0.0, r["test_accuracy_plain"] - r["test_accuracy"] - document["tolerance"]) for r in rows if r["chosen"]
    ]
    return "\n".join(lines) + (
        f"\n\nAccuracy on the test file; leakage in nats. Beyond the tolerance of {document['tolerance']:g} the chosen "
        f"weight cost {statistics.mean(beyond):.3f} on average, {max(beyond):.3f} at most. `{document['command']}`\n"
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", default="0.1,0.3,1,3,10")
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    train, test = _file("train"), _file("test")
    seeds = [int(s) for s in given.seeds.split(",")]
    weights = [float(w) for w in given.weights.split(",")]
    rows: list[dict[str, Any]] = []
    command = f"python -m benchmarks.table_weight_regret --weights {given.weights}"
    command += f" --tolerance {given.tolerance:g} --seeds {given.seeds} --output {given.output}"
    for criterion in ("independence", "separation"):
        for seed in seeds:
            rows += table_regret(
                train, test, criterion=criterion, weights=weights, tolerance=given.tolerance, seed=seed
            )
            write_json(
                given.output,
                results_document(command, seeds, rows, table="table weight regret", tolerance=given.tolerance),
            )


if __name__ == "__main__":
    _main()
