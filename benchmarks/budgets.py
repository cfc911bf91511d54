"""Adult with a budget in nats: what leaks on the rows held aside, and on the test file.

``python -m benchmarks.budgets`` writes ``results/budgets.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from midebias.datasets import fetch_adult
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.leakage import measure_leakage

from .script import Script, format_table

__all__ = ["fit_with_budget", "render_table", "summarize_budgets"]


def fit_with_budget(
    train: Any, test: Any, *, criterion: str, max_mi: float, seed: int, **options: Any
) -> dict[str, Any]:
    """One fit under a budget, or plainly under an infinite one: a row of the record."""
    plain = max_mi == float("inf")
    model = MIDebiasClassifier(
        criterion=criterion,  # type: ignore[arg-type]  # one of two words
        max_mi=None if plain else max_mi,
        mi_weight=0.0 if plain else None,
        random_state=seed,
        **options,
    ).fit(train.data, train.target, sensitive_features=train.sensitive_features)
    c = torch.tensor(np.unique(test.sensitive_features.iloc[:, 0].astype(str), return_inverse=True)[1])
    y = torch.tensor(np.unique(test.target, return_inverse=True)[1])
    attribute = model.attribute_
    assert attribute is not None
    z = torch.tensor(model.transform(test.data))
    return {
        "criterion": criterion, "max_mi": None if plain else max_mi, "seed": seed,
        "held_out_mi": model.held_out_mi_,
        "test_mi": measure_leakage(z, c, attribute, y if criterion == "separation" else None),
        "mi_weight": model.mi_weight_,
        "test_accuracy": float(model.score(test.data, test.target)),
    }  # fmt: skip


_MEASURES = ("held_out_mi", "test_mi", "mi_weight", "test_accuracy")


def summarize_budgets(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, least and most over seeds of each criterion and budget."""
    summary = []
    for key in dict.fromkeys((r["criterion"], r["max_mi"]) for r in rows):
        mine = [r for r in rows if (r["criterion"], r["max_mi"]) == key]
        entry: dict[str, Any] = {"criterion": key[0], "max_mi": key[1], "runs": len(mine)}
        for name in _MEASURES:
            values = [r[name] for r in mine if r[name] is not None]
            entry |= {name: float(np.mean(values)), f"{name}_range": [min(values), max(values)]} if values else {}
        summary.append(entry)
    return summary


def render_table(document: Mapping[str, Any]) -> str:
    """The table of a record."""
    header = (
        "criterion", "budget, nats", "on rows held aside", "on the test file", "weight found", "accuracy, test file",
    )  # fmt: skip
    rows = []
    for e in document["summary"]:
        budget = "none" if e["max_mi"] is None else f"{e['max_mi']:g}"
        cells = [_format_range(e, name, digits) for name, digits in zip(_MEASURES, (4, 4, 2, 3), strict=True)]
        rows.append([e["criterion"], budget, *cells])
    lines = format_table(header, rows)
    seeds = ", ".join(map(str, document["seed"]))
    return "\n".join(lines) + f"\n\nMean (least to most) over seeds {seeds}. `{document['command']}`\n"


def _format_range(entry: Mapping[str, Any], name: str, digits: int) -> str:
    if name not in entry:
        return ""
    low, high = entry[f"{name}_range"]
    return f"{entry[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    script = Script("budgets", __doc__, budgets=[math.inf, 0.02, 0.01, 0.005], seeds=[0, 1, 2])
    train, test = fetch_adult(), fetch_adult(split="test")
    rows: list[dict[str, Any]] = []
    for criterion, budget, seed in product(
        ("independence", "separation"), script.given["budgets"], script.given["seeds"]
    ):
        rows.append(fit_with_budget(train, test, criterion=criterion, max_mi=budget, seed=seed))
        script.write(rows, script.given["seeds"], summary=summarize_budgets(rows))
