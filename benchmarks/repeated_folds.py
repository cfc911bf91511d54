"""Many test parts instead of one: what of a disparity is systematic, and what is the chance of the rows.

German credit in several shuffles of five folds, or random thirds of Adult's training file. A fold's disparity is the
size of a difference that rests on 38 young people, or on 390 women with a high income, and is never zero on average
even where nobody is treated differently. Signs tell the two apart: what is systematic stays in the mean of signed
differences.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midebias.experiments.run_folder import results_document, write_json
from midebias.experiments.tabular_methods import METHODS
from midebias.experiments.tabular_splits import load_split

__all__ = ["SETTINGS", "document", "render_table", "run", "signed_differences"]

_PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic regression": ("logistic_regression", {}),
    "plain network": ("mlp", {"mi_weight": 0.0}),
    "mib, independence": ("mib", {"criterion": "independence"}),
    "mib, separation": ("mib", {"criterion": "separation"}),
}
SETTINGS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "german": _PLAIN,
    "adult-thirds": _PLAIN
    | {
        f"mib, {criterion}, " + ", ".join(f"{k}={v:g}" for k, v in options.items()): (
            "mib",
            {"criterion": criterion, **options},
        )
        for criterion, options in (
            ("independence", {"mi_weight": 1.0, "decision_weight": 4.0}),
            ("independence", {"mi_weight": 1.0, "decision_weight": 6.0}),
            ("independence", {"mi_weight": 0.1, "decision_weight": 40.0}),
            ("separation", {"mi_weight": 1.0, "decision_weight": 5.0, "weight_decay": 10.0}),
            ("separation", {"mi_weight": 1.0, "decision_weight": 8.0, "weight_decay": 10.0}),
        )
    }
    | {
        f"ExponentiatedGradient, {criterion}": ("exponentiated_gradient", {"criterion": criterion, "eps": 0.01})
        for criterion in ("independence", "separation")
    },
}
"""Of each data set: method and options, defaults where none are named."""

_MEASURES = ("accuracy", "parity_difference", "odds_difference", "signed_parity_difference")


def signed_differences(decided: Any, truth: Any, first: Any) -> tuple[float, list[float]]:
    """Rate of decision 1 where ``first`` holds, less the rate elsewhere: of all rows, and within each label."""

    def difference(rows: Any) -> float:
        return float(decided[rows & first].mean() - decided[rows & ~first].mean())

    return difference(np.ones(len(truth), bool)), [difference(truth == label) for label in (0, 1)]


def run(name: str, attribute: str, fold: int, dataset: str = "german") -> dict[str, Any]:
    """Train on one part and measure on the other, see `load_split`: one row of the record."""
    method, options = SETTINGS[dataset][name]
    split = load_split(dataset, attribute, fold)
    decided = METHODS[method](split, fold, **options).decisions
    first = split.c_test == np.unique(split.c)[0]
    parity, odds = signed_differences(decided, split.y_test, first)
    return {
        "dataset": dataset, "attribute": attribute, "method": name, "fold": fold,
        "accuracy": float((decided == split.y_test).mean()),
        "parity_difference": abs(parity),
        "odds_difference": max(abs(v) for v in odds),
        "signed_parity_difference": parity,
    }  # fmt: skip


def document(rows: Sequence[dict[str, Any]], command: str) -> dict[str, Any]:
    """Rows, and their means and standard deviations over folds."""
    summary = []
    for attribute, name in dict.fromkeys((r["attribute"], r["method"]) for r in rows):
        mine = [r for r in rows if (r["attribute"], r["method"]) == (attribute, name)]
        entry: dict[str, Any] = {"dataset": mine[0]["dataset"], "attribute": attribute, "method": name}
        entry["folds"] = len(mine)
        for measure in _MEASURES:
            values = [r[measure] for r in mine]
            entry[measure] = float(np.mean(values))
            entry[f"{measure}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        summary.append(entry)
    folds = sorted({r["fold"] for r in rows})
    return results_document(command, folds, rows, table="repeated folds", summary=summary)


def render_table(record: Mapping[str, Any]) -> str:
    """The table of a record."""
    lines = [
        "| attribute | method | accuracy | parity difference | odds difference | parity difference, signed |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for e in record["summary"]:
        cells = [f"{e[m]:{'+' if m.startswith('signed') else ''}.3f} ± {e[m + '_std']:.3f}" for m in _MEASURES]
        name = e["method"].replace("mib", "**MI backpropagation**")
        lines.append(f"| {e['attribute']} | {name} | {' | '.join(cells)} |")
    folds = record["seed"]
    of = "folds" if record["summary"][0]["dataset"] == "german" else "random thirds of the training file, seeds"
    return (
        "\n".join(lines) + f"\n\nMean ± standard deviation over {of} {folds[0]} to {folds[-1]}. `{record['command']}`\n"
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=list(SETTINGS), default="german")
    parser.add_argument("--shuffles", type=int, default=4, help="of five folds each; of Adult five thirds each")
    parser.add_argument("--attributes", help="default age,sex of german, sex of adult-thirds")
    parser.add_argument("--output", type=Path, help="default results/german-folds.json or results/adult-thirds.json")
    arguments = parser.parse_args()
    dataset, german = arguments.dataset, arguments.dataset == "german"
    attributes = (arguments.attributes or ("age,sex" if german else "sex")).split(",")
    output = arguments.output or Path("results") / ("german-folds.json" if german else "adult-thirds.json")
    command = "python -m benchmarks.repeated_folds"
    command += f"{'' if german else f' --dataset {dataset}'} --shuffles {arguments.shuffles}"
    kept = json.loads(output.read_text(encoding="utf-8"))["rows"] if output.is_file() else []
    found = {(r["attribute"], r["method"], r["fold"]): r for r in kept}
    for attribute in attributes:
        for fold in range(5 * arguments.shuffles):
            for name in SETTINGS[dataset]:
                key = (attribute, name, fold)
                if key not in found:
                    found[key] = run(name, attribute, fold, dataset)
                    write_json(output, document(list(found.values()), command))
    write_json(output, document(list(found.values()), command))


if __name__ == "__main__":
    _main()
