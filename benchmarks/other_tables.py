"""Tables on which no default was chosen by hand: law school, COMPAS, stop-and-frisk, Adult and German credit.

``python -m benchmarks.other_tables --folder FOLDER`` reads the three ``.csv.gz`` files from a folder; without one there
are Adult's training file and German credit alone. Splits of 70 to 30 per cent.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from midebias.datasets import fetch_adult, fetch_german
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.disparities import find_largest, list_differences

from .script import Script, format_table

__all__ = ["load_table", "render_table", "run_split", "summarize_splits"]

_LABELS = {"law": "passed_bar", "compas": "two_year_recidivism", "sqf": "weapon_found"}
_MEASURES = (
    "accuracy", "balanced_accuracy", "auc", "brier", "demographic_parity_difference", "equalized_odds_difference",
    "probe_balanced_accuracy", "seconds",
)  # fmt: skip


def load_table(name: str, folder: Path | None) -> tuple[Any, Any, Any]:
    """Frame, labels 0 and 1, and the attribute: race of the tables in the folder, sex of Adult, age of German."""
    if name in ("adult", "german"):
        bunch = fetch_adult() if name == "adult" else fetch_german()
        return bunch.data, bunch.target.to_numpy(), bunch.sensitive_features.iloc[:, 0].astype(str).to_numpy()
    assert folder is not None
    frame = pd.read_csv(folder / f"{name}.csv.gz")
    if name == "compas":
        frame = frame[frame["race"].isin(["African-American", "Caucasian"])].reset_index(drop=True)
    race = frame["race"].astype(str)
    c = np.where(race == "White", "White", "other") if name == "law" else race.to_numpy()
    return frame.drop(columns=[_LABELS[name], "race"]), frame[_LABELS[name]].to_numpy(), c


def run_split(name: str, seed: int, folder: Path | None, peers: bool = True) -> list[dict[str, Any]]:
    """Rows of one split: peers of scikit-learn and fairlearn, and ours plainly and under both criteria."""
    X, y, c = load_table(name, folder)
    order = np.random.default_rng(seed).permutation(len(y))
    a, b = np.split(order, [int(0.7 * len(y))])
    train, test = X.iloc[a].reset_index(drop=True), X.iloc[b].reset_index(drop=True)
    ours: dict[str, dict[str, Any]] = {
        "plain": {"mi_weight": 0.0}, "independence": {"criterion": "independence"},
        "separation": {"criterion": "separation"},
    }  # fmt: skip
    fits: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
        f"midebias, {key}": partial(_fit_ours, train, y[a], c[a], test, random_state=seed, **options)
        for key, options in ours.items()
    }
    if peers:
        fits |= _list_peers(train, y[a], c[a], test, seed)
    rows = []
    for method, fit in fits.items():
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compared methods, and of an answer alike for all
            decided, scores, z = fit()
        seconds = time.process_time() - started
        row = {"table": name, "seed": seed, "method": method, **_measure(y[b], decided, scores, c[b])}
        rows.append({**row, "probe_balanced_accuracy": None if z is None else _probe(z, c[b]), "seconds": seconds})
    return rows


def _fit_ours(train: Any, y: Any, c: Any, test: Any, **options: Any) -> tuple[Any, Any, Any]:
    model = MIDebiasClassifier(**options).fit(train, y, sensitive_features=c)
    return model.predict(test), model.predict_proba(test)[:, 1], model.transform(test)


def _list_peers(train: Any, y: Any, c: Any, test: Any, seed: int) -> dict[str, Callable[[], tuple[Any, Any, Any]]]:
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers = make_column_selector(dtype_include=["number", "bool"])
    others = make_column_selector(dtype_exclude=["number", "bool"])
    one_hot = ColumnTransformer(
        [("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers), ("o", OneHotEncoder(handle_unknown="ignore"),
         others)], sparse_threshold=0,
    )  # fmt: skip
    ordinal = ColumnTransformer(
        [
            ("n", "passthrough", numbers),
            ("o", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), others),
        ]
    )
    x, x_test = one_hot.fit_transform(train), one_hot.transform(test)
    t, t_test = ordinal.fit_transform(train), ordinal.transform(test)

    def fit_plain(model: Any, x: Any, x_test: Any) -> tuple[Any, Any, Any]:
        model.fit(x, y)
        return model.predict(x_test), model.predict_proba(x_test)[:, 1], None

    def fit_reduction(constraint: Any) -> tuple[Any, Any, Any]:
        model = ExponentiatedGradient(LogisticRegression(max_iter=300), constraint, eps=0.01)
        model.fit(x, y, sensitive_features=c)
        return model.predict(x_test, random_state=seed), model._pmf_predict(x_test)[:, 1], None

    return {
        "logistic regression": lambda: fit_plain(LogisticRegression(max_iter=300), x, x_test),
        "boosted trees": lambda: fit_plain(HistGradientBoostingClassifier(random_state=0), t, t_test),
        "ExponentiatedGradient, independence": lambda: fit_reduction(DemographicParity()),
        "ExponentiatedGradient, separation": lambda: fit_reduction(EqualizedOdds()),
    }


def _measure(y: Any, decided: Any, scores: Any, c: Any) -> dict[str, float]:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    codes, decided = np.unique(c, return_inverse=True)[1], np.asarray(decided) == 1
    n = int(codes.max()) + 1
    return {
        "accuracy": float((decided == (y == 1)).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(y, decided)),
        "auc": float(roc_auc_score(y, scores)),
        "brier": float(np.mean((scores - y) ** 2)),
        "demographic_parity_difference": find_largest(list_differences(decided, codes, n)),
        "equalized_odds_difference": find_largest(
            np.concatenate([list_differences(decided[y == t], codes[y == t], n) for t in (0, 1)])
        ),
        "positive": float(decided.mean()),
    }


def _probe(z: Any, c: Any) -> float:
    """Balanced accuracy on the second half of the better of two probes, trained on the first."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score

    half = len(z) // 2
    probes = (
        LogisticRegression(class_weight="balanced"),
        HistGradientBoostingClassifier(class_weight="balanced", max_iter=50, random_state=0),
    )
    return max(float(balanced_accuracy_score(c[half:], p.fit(z[:half], c[:half]).predict(z[half:]))) for p in probes)


def summarize_splits(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over splits of each table and method."""
    summary = []
    for key in dict.fromkeys((r["table"], r["method"]) for r in rows):
        mine = [r for r in rows if (r["table"], r["method"]) == key]
        means = {m: float(np.mean([r[m] for r in mine])) if mine[0][m] is not None else None for m in _MEASURES}
        constant = sum(r["positive"] in (0.0, 1.0) for r in mine)
        summary.append({"table": key[0], "method": key[1], "splits": len(mine), **means, "constant": constant})
    return summary


def render_table(document: Mapping[str, Any]) -> str:
    """The table of a record."""
    header = ("table", "method", "accuracy", "AUC", "Brier", "parity", "odds", "probe of z", "seconds")
    shown = ("accuracy", "auc", "brier", "demographic_parity_difference", "equalized_odds_difference")
    rows = []
    for e in document["summary"]:
        probe = "" if e["probe_balanced_accuracy"] is None else f"{e['probe_balanced_accuracy']:.3f}"
        cells = [f"{e[k]:.3f}" for k in shown]
        rows.append((e["table"], e["method"], *cells, probe, f"{e['seconds']:.1f}"))
    splits = document["summary"][0]["splits"]
    note = (
        f"Means over {splits} random splits of 70 to 30 per cent, on the rows not trained on; seconds of the processor."
    )
    return "\n".join(format_table(header, rows, left=2)) + f"\n\n{note} `{document['command']}`\n"


if __name__ == "__main__":
    script = Script(
        "other_tables", __doc__, folder=None, tables=["law", "compas", "sqf", "adult"], seeds=[0, 1, 2, 3, 4]
    )
    folder = Path(script.given["folder"]) if script.given["folder"] else None
    rows: list[dict[str, Any]] = []
    for name in script.given["tables"]:
        for seed in script.given["seeds"]:
            rows += run_split(name, seed, folder)
            script.write(rows, script.given["seeds"], summary=summarize_splits(rows))
