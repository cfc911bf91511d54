"""How much accuracy on unbiased images the rule for the weight gives away, against the best weight in hindsight."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..training import evaluate
from .image_data import hold_out, load
from .images import run_method
from .results import results_document, write_json
from .weight_choice import WeightTrial, choose

__all__ = ["regret"]


def regret(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each data set, setting and seed: accuracy of the chosen weight, and of the best in hindsight."""
    summary = []
    for key in dict.fromkeys((r["dataset"], r["setting"], r["seed"]) for r in rows):
        mine = [r for r in rows if (r["dataset"], r["setting"], r["seed"]) == key]
        trials = [WeightTrial(r["weight"], r["loss"], r["loss_stderr"], r["leakage"], 0.0) for r in mine]
        chosen, best = mine[choose(trials)], max(mine, key=lambda r: r["unbiased_accuracy"])
        summary.append(
            {
                "dataset": key[0], "setting": key[1], "seed": key[2], "weights": len(mine), "chosen": chosen["weight"],
                "best": best["weight"], "accuracy": chosen["unbiased_accuracy"],
                "best_accuracy": best["unbiased_accuracy"],
                "regret": best["unbiased_accuracy"] - chosen["unbiased_accuracy"],
            }
        )  # fmt: skip
    return summary


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=("colored-mnist", "biased-mnist"), required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--weights", default="0.3,1,3,10")
    parser.add_argument("--limit", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    command = f"python -m midebias.benchmarks.weight_regret --dataset {given.dataset} --settings {given.settings}"
    command += f" --weights {given.weights} --limit {given.limit} --epochs {given.epochs} --seed {given.seed}"
    command += f" --output {given.output.name}"
    rows: list[dict[str, Any]] = []
    for setting in map(float, given.settings.split(",")):
        data = load(given.dataset, setting, given.seed, limit=given.limit)
        for weight in map(float, given.weights.split(",")):
            held = hold_out(data, given.seed)
            out = run_method(
                "mib", held, epochs=given.epochs, seed=given.seed, evaluate_every=2**62, options={"mi_weight": weight}
            )
            # Looked at here, to judge the rule, and never by the rule.
            _, logits = evaluate(out.method, data.test)
            rows.append(
                {
                    "dataset": given.dataset, "setting": setting, "seed": given.seed, "weight": weight,
                    "loss": out.row["reweighted_loss"], "loss_stderr": out.row["reweighted_loss_stderr"],
                    "reweighted_accuracy": out.row["reweighted_accuracy"],
                    "held_out_accuracy": out.row["test_accuracy"],
                    "leakage": out.row["conditional_mi"], "seconds": out.row["seconds"],
                    "unbiased_accuracy": float((logits.argmax(1) == data.test.y).double().mean()),
                }
            )  # fmt: skip
            document = results_document(command, given.seed, rows, summary=regret(rows))
            write_json(given.output, document)


if __name__ == "__main__":
    _main()
