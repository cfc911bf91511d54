"""How much accuracy on unbiased images a rule for the weight gives away, against the best weight in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from midebias.attributes import Attribute, Categorical, Continuous
from midebias.estimation import estimate_mi
from midebias.experiments.biased_accuracy import measure_exchanged_accuracy
from midebias.experiments.image_data import hold_out
from midebias.experiments.image_loading import load_images
from midebias.experiments.image_methods import build_method
from midebias.experiments.weight_choice import WeightTrial, choose_weight
from midebias.lightning import MethodModule
from midebias.training import LogitAdjustment
from midebias.training.evaluation import evaluate

from .script import Script, format_table

__all__ = ["RULES", "measure_regret", "render_table"]

Rows = Sequence[Mapping[str, Any]]

_DEFAULT = 3.0  # of the method; a weight is a gradient ratio here
_TESTED = 4_000  # unbiased images


def _sweep(rows: Rows) -> int:
    trials = [
        WeightTrial(
            r["weight"], r["exchanged_accuracy"], r["exchanged_accuracy_stderr"], r["conditional_mi"],
            r["conditional_mi_stderr"], r["resamples"],
        )
        for r in rows
    ]  # fmt: skip
    return choose_weight(trials)


def _highest(column: str) -> Callable[[Rows], int]:
    return lambda rows: max(range(len(rows)), key=lambda i: rows[i][column])


def _largest_within_one_error(column: str) -> Callable[[Rows], int]:
    """The one-standard-error rule, see `choose_weight`."""

    def rule(rows: Rows) -> int:
        best = rows[_highest(column)(rows)]
        close = [i for i, r in enumerate(rows) if r[column] >= best[column] - best[f"{column}_stderr"]]
        return max(close, key=lambda i: rows[i]["weight"])

    return rule


def _no_leakage_then_accuracy(rows: Rows) -> int:
    """Highest reweighted accuracy among weights whose I(Z;C|Y) lies within two standard errors of the least."""
    least = min(rows, key=lambda r: r["conditional_mi"])
    bar = least["conditional_mi"] + 2 * least["conditional_mi_stderr"]
    clean = [i for i, r in enumerate(rows) if r["conditional_mi"] <= bar]
    return max(clean, key=lambda i: rows[i]["reweighted_accuracy"])


RULES: Mapping[str, Callable[[Rows], int]] = {
    "midebias sweep": _sweep,
    "highest exchanged accuracy": _highest("exchanged_accuracy"),
    "largest weight within one standard error of that alone": _largest_within_one_error("exchanged_accuracy"),
    "highest reweighted accuracy": _highest("reweighted_accuracy"),
    "largest weight within one standard error of it": _largest_within_one_error("reweighted_accuracy"),
    "least leakage, then reweighted accuracy": _no_leakage_then_accuracy,
    "always 3, the default": lambda rows: min(range(len(rows)), key=lambda i: abs(rows[i]["weight"] - _DEFAULT)),
}


def measure_regret(rows: Rows, *, development: Sequence[float] = ()) -> list[dict[str, Any]]:
    """For each rule, data set, setting and seed: accuracy of the chosen weight, and of the best in hindsight.

    Settings in ``development`` are marked: rules were made on them.
    """
    summary = []
    for key in dict.fromkeys((r["dataset"], r["setting"], r["seed"]) for r in rows):
        mine = [r for r in rows if (r["dataset"], r["setting"], r["seed"]) == key]
        best = max(mine, key=lambda r: r["unbiased_accuracy"])
        for name, rule in RULES.items():
            chosen = mine[rule(mine)]
            summary.append(
                {
                    "rule": name, "dataset": key[0], "setting": key[1], "seed": key[2],
                    "development": key[1] in development,
                    "weights": [r["weight"] for r in mine], "chosen": chosen["weight"], "best": best["weight"],
                    "accuracy": chosen["unbiased_accuracy"], "best_accuracy": best["unbiased_accuracy"],
                    "regret": best["unbiased_accuracy"] - chosen["unbiased_accuracy"],
                }
            )  # fmt: skip
    return summary


def _train(dataset: str, setting: float, weight: float, seed: int, limit: int, epochs: int, path: Path) -> None:
    """Train once, and keep what was answered: rules can then be compared without training anew."""
    data = load_images(dataset, setting, seed, limit=limit)
    held = hold_out(data, seed)
    method = build_method("mib", held.problem, seed=seed, gradient_ratio=weight)
    MethodModule(method, held.train, epochs=epochs, seed=seed).advance(2**62)
    z, logits = evaluate(method, held.test)
    _, tested = evaluate(method, data.test, first=_TESTED)
    unbiased = LogitAdjustment(held.problem.attribute, held.problem.n_classes, rebalance=1.0, seed=seed)
    weights = unbiased.fit(held.train.c, held.train.y).sampling_weights(held.test.c, held.test.y)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, z=z.half().numpy(), logits=logits.float().numpy(), y=held.test.y.numpy(), c=held.test.c.numpy(),
        weights=weights.numpy(), right_test=(tested.argmax(1) == data.test.y[:_TESTED]).numpy(),
    )  # fmt: skip


def _measure(path: Path) -> dict[str, Any]:
    """What held-out biased images say; and accuracy on unbiased ones, which judges the rules and is seen by none."""
    with np.load(path, allow_pickle=False) as kept:
        z, logits, y, c, weights, tested = (
            torch.as_tensor(kept[k]) for k in ("z", "logits", "y", "c", "weights", "right_test")
        )
    attribute: Attribute = Categorical(10) if c.ndim == 1 else Continuous(3)
    weights = weights.double().clamp(max=float(weights.mean()) * len(y) ** 0.5)
    weights /= weights.sum()
    right = (logits.argmax(1) == y).double()
    accuracy = float((weights * right).sum())
    exchanged = measure_exchanged_accuracy(logits, y, c, attribute)
    mi = estimate_mi(
        z.float(), c, attribute=attribute, condition_on=y, estimator="gaussian_linear", n_permutations=0, random_state=0
    )
    return {
        "exchanged_accuracy": exchanged.value, "exchanged_accuracy_stderr": exchanged.stderr,
        "resamples": [round(v, 5) for v in exchanged.resamples], "reweighted_accuracy": accuracy,
        "reweighted_accuracy_stderr": float((weights * (right - accuracy)).square().sum().sqrt()),
        "held_out_accuracy": float(right.mean()), "conditional_mi": mi.value, "conditional_mi_stderr": mi.stderr,
        "unbiased_accuracy": float(tested.double().mean()),
    }  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """Accuracy of each weight, what was chosen, and what each rule gave away."""
    rows, summary = document["rows"], document["summary"]
    cells = list(dict.fromkeys((r["dataset"], r["setting"], r["seed"]) for r in rows))
    weights = sorted({r["weight"] for r in rows})
    measured = {(r["dataset"], r["setting"], r["seed"], r["weight"]): r for r in rows}
    chosen = {(e["dataset"], e["setting"], e["seed"]): e for e in summary if e["rule"] == "midebias sweep"}
    table = []
    for cell in cells:
        found = [measured.get((*cell, w)) for w in weights]
        texts = ["–" if r is None else f"{r['unbiased_accuracy']:.3f} ({r['exchanged_accuracy']:.3f})" for r in found]
        e = chosen[cell]
        mark = "*" if e["development"] else ""
        table.append((cell[0], f"{cell[1]:g}{mark}", cell[2], *texts, f"{e['chosen']:g}", f"{e['regret']:.3f}"))
    header = ("data set", "setting", "seed", *(f"ratio {w:g}" for w in weights), "chosen", "regret")
    lines, table = format_table(header, table), []
    for rule in dict.fromkeys(e["rule"] for e in summary):
        mine = [e for e in summary if e["rule"] == rule]
        every, unseen = [e["regret"] for e in mine], [e["regret"] for e in mine if not e["development"]]
        spread, fresh = f"{stdev(every):.3f}" if len(every) > 1 else "–", f"{mean(unseen):.3f}" if unseen else "–"
        table.append((rule, len(every), f"{mean(every):.3f}", spread, f"{max(every):.3f}", len(unseen), fresh))
    header = (
        "rule", "settings", "mean regret", "standard deviation", "largest", "of those, unseen", "their mean regret",
    )  # fmt: skip
    return "\n".join([*lines, "", *format_table(header, table)]) + f"\n\n`{document['command']}`\n"


if __name__ == "__main__":
    script = Script(
        "weight_regret", __doc__, dataset="colored-mnist", settings=[0.02, 0.05], weights=[0.3, 1.0, 3.0, 10.0],
        limit=8192, epochs=3, seeds=[0], development=[0.02, 0.05],
    )  # fmt: skip
    given, rows = script.given, list[dict[str, Any]]()
    for seed, setting, weight in product(given["seeds"], given["settings"], given["weights"]):
        dataset, limit, epochs = given["dataset"], given["limit"], given["epochs"]
        path = Path("runs/weight-regret") / f"{dataset}-{setting:g}-w{weight:g}-s{seed}-n{limit}-e{epochs}.npz"
        if not path.exists():
            _train(dataset, setting, weight, seed, limit, epochs, path)
        cell = {"dataset": dataset, "setting": setting, "seed": seed, "weight": weight}
        rows.append(cell | {"limit": limit, "epochs": epochs} | _measure(path))
        if weight == given["weights"][-1]:
            kept = [{k: v for k, v in row.items() if k != "resamples"} for row in rows]
            script.write(kept, given["seeds"], summary=measure_regret(rows, development=given["development"]))
