"""Budgets of tables: what leaks, or how far decisions differ, on the rows held aside and on test rows.

``python -m benchmarks.budgets`` writes ``results/budgets.json``: Adult with a budget in nats. With ``--folder FOLDER``
budgets of all kinds on the tables of `benchmarks.other_tables`, in splits of 70 to 30 per cent.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midebias.datasets import fetch_adult
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.disparities import list_differences
from midebias.tabular.leakage import measure_leakage
from midebias.tabular.weight_path import estimate_error

from .other_tables import load_table
from .script import Script, format_table

__all__ = ["fit_split_with_budget", "fit_with_budget", "render_table", "summarize_budgets"]

_OF_SPLITS = (
    ("independence", "max_mi", 0.01), ("independence", "max_parity_difference", 0.03), ("separation", "max_mi", 0.01),
    ("separation", "max_odds_difference", 0.05),
)  # fmt: skip


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


def fit_split_with_budget(
    frame: Any, y: Any, c: Any, *, criterion: str, budget: str, limit: float, seed: int
) -> dict[str, Any]:
    """One fit on seven tenths of the rows: by how many standard errors of the measure the others pass the budget."""
    a, b = np.split(np.random.default_rng(seed).permutation(len(y)), [int(0.7 * len(y))])
    model = MIDebiasClassifier(criterion=criterion, random_state=seed, **{budget: limit})  # type: ignore[arg-type]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(frame.iloc[a].reset_index(drop=True), y[a], sensitive_features=c[a])
    test, truth, group = frame.iloc[b].reset_index(drop=True), y[b], np.unique(c, return_inverse=True)[1][b]
    decided, attribute = model.predict(test) == 1, model.attribute_
    assert attribute is not None
    if budget == "max_mi":
        codes, z = torch.tensor(group), torch.tensor(model.transform(test))
        found = measure_leakage(z, codes, attribute, torch.tensor(truth) if criterion == "separation" else None)
        error = estimate_error(found, attribute, len(b))
    else:
        rows = [truth == t for t in (0, 1)] if budget == "max_odds_difference" else [np.ones(len(b), dtype=bool)]
        pairs = np.concatenate([list_differences(decided[r], group[r], attribute.dim) for r in rows])
        found, error = pairs[pairs[:, 0].argmax()]
    return {
        "criterion": criterion, "budget": budget, "limit": limit, "seed": seed, "found": float(found),
        "errors_above": float((found - limit) / max(error, 1e-12)), "mi_weight": model.mi_weight_,
        "warned": any("does not keep" in str(w.message) for w in caught),
        "test_accuracy": float((decided == (truth == 1)).mean()),
    }  # fmt: skip


_MEASURES = ("held_out_mi", "test_mi", "mi_weight", "test_accuracy")


def summarize_budgets(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, least and most over seeds of each criterion and budget; of splits, the rows themselves."""
    if rows and "errors_above" in rows[0]:
        return [dict(row) for row in rows]
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
    if "errors_above" in document["summary"][0]:
        return _render_splits(document)
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


def _render_splits(document: Mapping[str, Any]) -> str:
    header = ("table", "criterion", "budget", "on test rows", "standard errors above", "warned", "accuracy")
    rows = [
        (e["table"], e["criterion"], f"{e['budget']}={e['limit']:g}", f"{e['found']:.4f}", f"{e['errors_above']:.1f}",
         "yes" if e["warned"] else "", f"{e['test_accuracy']:.3f}")
        for e in document["summary"]
    ]  # fmt: skip
    note = f"Splits of 70 to 30 per cent, seeds {', '.join(map(str, document['seed']))}."
    return "\n".join(format_table(header, rows, left=3)) + f"\n\n{note} `{document['command']}`\n"


def _format_range(entry: Mapping[str, Any], name: str, digits: int) -> str:
    if name not in entry:
        return ""
    low, high = entry[f"{name}_range"]
    return f"{entry[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    script = Script(
        "budgets", __doc__, budgets=[math.inf, 0.02, 0.01, 0.005], seeds=[0, 1, 2], folder=None,
        tables=["law", "compas", "sqf"],
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    if script.given["folder"]:
        for name, seed in product(script.given["tables"], script.given["seeds"]):
            data = load_table(name, Path(script.given["folder"]))
            for criterion, kind, limit in _OF_SPLITS:
                row = fit_split_with_budget(*data, criterion=criterion, budget=kind, limit=limit, seed=seed)
                rows.append({"table": name, **row})
                script.write(rows, script.given["seeds"], summary=summarize_budgets(rows))
        raise SystemExit
    train, test = fetch_adult(), fetch_adult(split="test")
    for criterion, budget, seed in product(
        ("independence", "separation"), script.given["budgets"], script.given["seeds"]
    ):
        rows.append(fit_with_budget(train, test, criterion=criterion, max_mi=budget, seed=seed))
        script.write(rows, script.given["seeds"], summary=summarize_budgets(rows))
