"""Certificates: how often their bounds hold on resamples of known truth, how wide they are, and what Adult gets."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped,unused-ignore]  # not annotated
from scipy.stats import beta, chi2, ncx2  # type: ignore[import-untyped,unused-ignore]  # as above

from midebias.column_kinds import read_column
from midebias.datasets import fetch_adult
from midebias.leakage.certificate import CertifiedAttribute, certify_columns
from midebias.sklearn import MIDebiasClassifier

from .script import Script, format_table

__all__ = ["SETTINGS", "certify_adult", "compute_truth", "measure_coverage", "render_table"]

Joint = NDArray[np.float64]
_MEASURES: Mapping[str, tuple[str, int]] = {  # title, digits in tables
    "balanced_accuracy": ("balanced accuracy", 3), "decision_difference": ("difference of decisions", 3),
    "mi": ("information, nats", 4),
}  # fmt: skip
_Z = 1.6448536269514722


def _make_joint(shares: list[float], cells: list[list[float]]) -> Joint:
    """P(cell, group) of the groups' shares and of the cells' probabilities in each group, as one stratum."""
    p = np.array(cells, dtype=float)
    return (p / p.sum(axis=1, keepdims=True) * np.array(shares)[:, None]).T[None]


def _skew(n: int, power: float = 1.5) -> list[float]:
    return [1 / k**power for k in range(1, n + 1)]


_TILT = [1.2, 0.8, 1.1, 0.9, 1.3, 0.7, 1.0, 1.0]
SETTINGS: Mapping[str, tuple[int, Joint]] = {
    "equal groups, 2 cells": (2000, _make_joint([0.4, 0.6], [[1, 4]] * 2)),
    "equal groups, 8 cells": (2000, _make_joint([0.3, 0.7], [[1.0] * 8] * 2)),
    "different groups, 8 cells": (2000, _make_joint([0.5, 0.5], [[1.0] * 8, _TILT])),
    "rare group (2%), 8 cells": (3000, _make_joint([0.02, 0.98], [_TILT, [1.0] * 8])),
    "skewed cells, 16": (2000, _make_joint([0.4, 0.6], [_skew(16), _skew(16, 1.4)])),
    "nearly empty cells, 20": (1000, _make_joint([0.5, 0.5], [[1, 1] + [1e-4] * 18, [1, 1.1] + [1e-4] * 17 + [0]])),
    "one cell": (200, _make_joint([0.5, 0.5], [[1.0]] * 2)),
    "groups nearly apart, 4 cells": (1000, _make_joint([0.5, 0.5], [[30, 15, 4, 1], [1, 4, 15, 30]])),
    "few rows, 3 cells": (60, _make_joint([0.4, 0.6], [[2, 1, 1], [1, 1, 2]])),
    "three groups, one rare (3%), 6 cells": (
        3000, _make_joint([0.6, 0.37, 0.03], [[1.0] * 6, [1.1, 0.9, 1, 1, 1.2, 0.8], [0.9, 1.1, 1, 1, 0.8, 1.2]]),
    ),
    "within two classes, 6 cells": (
        3000,
        np.concatenate([
            0.7 * _make_joint([0.6, 0.4], [[3, 2, 1, 1, 1, 1], [3, 2.2, 1, 1, 0.8, 1]]),
            0.3 * _make_joint([0.2, 0.8], [[1, 1, 1, 2, 3, 3], [1, 1, 1, 2, 3, 3]]),
        ]),
    ),
    "equal groups, 64 cells": (8000, _make_joint([0.3, 0.7], [[1.0] * 64] * 2)),
}  # fmt: skip
"""Of each the number of rows, and P(class, cell, group)."""


def compute_nats(joint: Joint) -> Joint:
    """log p(c|z,y)/p(c|y) of P(class, cell, group); 0 where that is 0."""
    across, along = joint.sum(axis=2, keepdims=True), joint.sum(axis=1, keepdims=True)
    expected = across * along / along.sum(axis=2, keepdims=True)
    return np.log(np.where(joint > 0, joint, 1.0) / np.where(joint > 0, expected, 1.0))


def compute_truth(joint: Joint) -> dict[str, float]:
    """What the bounds are to bound, of P(class, cell, group); the first two within the worst class."""
    within = [stratum / stratum.sum(axis=0) for stratum in joint]
    n_groups = joint.shape[2]
    apart = [np.abs(p[:, :, None] - p[:, None, :]).sum(axis=0).max() / 2 for p in within]
    nats = compute_nats(joint)
    return {
        "balanced_accuracy": float(max(p.max(axis=1).sum() for p in within) / n_groups),
        "decision_difference": float(max(apart)),
        "mi": float((joint * nats).sum()),
    }  # fmt: skip


def compute_least_widths(joint: Joint, n: int) -> dict[str, float]:
    """How far above the truth a bound of 95% lies at least, on average and to first order in n.

    Somebody who knew the best decision of each pair of groups in each class, and log p(c|z)/p(c), would add 1.64
    standard errors of their means, and take the largest.
    """
    truth, n_groups = compute_truth(joint), joint.shape[2]
    accuracies, differences = [], []
    for stratum in joint:
        sizes, p = n * stratum.sum(axis=0), stratum / stratum.sum(axis=0)
        named = np.array([p[p.argmax(axis=1) == g, g].sum() for g in range(n_groups)])
        accuracies.append(named.mean() + _Z / n_groups * math.sqrt((named * (1 - named) / sizes).sum()))
        for g, h in combinations(range(n_groups), 2):
            differences.append(_limit_with_hindsight(p[:, g], p[:, h], sizes[g], sizes[h]))
    nats = compute_nats(joint)
    variance = float((joint * nats**2).sum()) - truth["mi"] ** 2
    least = {
        "balanced_accuracy": (0.5 + max(differences) / 2) if n_groups == 2 else max(accuracies),
        "decision_difference": max(differences), "mi": truth["mi"] + _Z * math.sqrt(max(variance, 0.0) / n),
    }  # fmt: skip
    if truth["mi"] < 1e-12:
        least["mi"] = _find_noncentrality(joint.shape[1]) / (2 * n)
    return {measure: max(0.0, float(least[measure] - truth[measure])) for measure in _MEASURES}


def _limit_with_hindsight(p: Joint, q: Joint, n: float, m: float) -> float:
    """The difference of two groups and 1.64 standard errors of the best decision; of equal ones the least to exclude.

    Equal groups cannot be told, half of the time, from groups that lie apart in directions drawn at random by what a
    chi-square test of 5% misses half of the time.
    """
    if np.abs(p - q).max() < 1e-12:
        return 0.5 * math.sqrt(_find_noncentrality(len(p)) * (1 / n + 1 / m))
    a, b = p[p > q].sum(), q[p > q].sum()
    return float(a - b + _Z * math.sqrt(a * (1 - a) / n + b * (1 - b) / m))


def _find_noncentrality(k: int) -> float:
    if k < 2:
        return 0.0
    return float(brentq(lambda v: ncx2.cdf(chi2.median(k - 1), k - 1, v) - 0.05, 1e-6, 1e4))


def limit_by_union(counts: NDArray[np.int64], delta: float = 0.05) -> float:
    """The difference of decisions bounded by Clopper-Pearson intervals of each cell in each of two groups."""
    k, sizes = len(counts), counts.sum(axis=0)
    tail = delta / (4 * k)
    low = np.nan_to_num(beta.ppf(tail, counts, sizes - counts + 1), nan=0.0)
    high = np.nan_to_num(beta.ppf(1 - tail, counts + 1, sizes - counts), nan=1.0)
    one, other = (float(np.maximum(0, high[:, i] - low[:, 1 - i]).sum()) for i in (0, 1))
    return min(1.0, one, other)


def measure_coverage(name: str, *, resamples: int, seed: int) -> dict[str, Any]:
    """How often each bound holds, what the bounds are on average, and how long one takes."""
    n, joint = SETTINGS[name]
    rng, truth = np.random.default_rng([seed, list(SETTINGS).index(name)]), compute_truth(joint)
    found, union, started = list[CertifiedAttribute](), list[float](), time.process_time()
    for _ in range(resamples):
        y, cell, group = np.unravel_index(rng.choice(joint.size, n, p=joint.ravel() / joint.sum()), joint.shape)
        labels = y.astype(np.int64) if len(joint) > 1 else None
        found.append(certify_columns(cell.astype(np.int64), [read_column(group, "group")], labels).bounds[-1])
        if joint.shape[2] == 2 and len(joint) == 1:
            counts = np.bincount(2 * cell + group, minlength=2 * joint.shape[1]).reshape(-1, 2)
            union.append(limit_by_union(counts))
    seconds = time.process_time() - started
    row: dict[str, Any] = {"setting": name, "rows": n, "resamples": resamples, "seed": seed}
    for measure in _MEASURES:
        bounds = [getattr(bound, measure) for bound in found]
        row |= {
            f"{measure}_truth": truth[measure], f"{measure}_bound": statistics.fmean(bounds),
            f"{measure}_coverage": statistics.fmean(b >= truth[measure] - 1e-12 for b in bounds),
        }  # fmt: skip
    return row | {"union_bound": statistics.fmean(union) if union else None, "milliseconds": 1e3 * seconds / resamples}


_FITS: Mapping[str, dict[str, Any]] = {
    "n_cells=64": {"n_cells": 64},
    "n_cells=64, max_parity_difference=0.05": {"n_cells": 64, "max_parity_difference": 0.05},
    "n_cells=64, max_parity_difference=0.10": {"n_cells": 64, "max_parity_difference": 0.10},
}


def certify_adult(setting: str, seed: int) -> dict[str, Any]:
    """Accuracy and parity on Adult's test rows, and what is certified from a quarter of the training rows."""
    train, test = fetch_adult(split="train"), fetch_adult(split="test")
    model = MIDebiasClassifier(criterion="independence", random_state=seed, **_FITS[setting])
    started = time.process_time()
    model.fit(train.data, train.target, sensitive_features=train.sensitive_features["sex"])
    seconds = time.process_time() - started
    decided, sex = np.asarray(model.predict(test.data)), test.sensitive_features["sex"].to_numpy()
    rates = [float(decided[sex == group].mean()) for group in np.unique(sex)]
    certificate = model.certificate_
    return {
        "adult": setting, "seed": seed, "rows": certificate.rows,
        "cells": len(np.unique(model.transform(test.data), axis=0)),
        "accuracy": float((decided == test.target.to_numpy()).mean()), "parity_difference": max(rates) - min(rates),
        "certified_parity_difference": certificate.parity_difference,
        "certified_balanced_accuracy": certificate.balanced_accuracy, "certified_mi": certificate.mi,
        "seconds": seconds,
    }  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """Coverage and widths of each setting, and what Adult gets."""
    return f"{_render_coverage(document)}\n{_render_adult(document)}"


def _render_coverage(document: Mapping[str, Any]) -> str:
    """Coverage and widths: of each setting a line for each bound."""
    rows = [row for row in document["rows"] if "setting" in row]
    lines = []
    for row in rows:
        least = compute_least_widths(SETTINGS[row["setting"]][1], row["rows"])
        for measure, (title, digits) in _MEASURES.items():
            truth, bound = max(0.0, row[f"{measure}_truth"]), row[f"{measure}_bound"]
            union = row["union_bound"] if measure == "decision_difference" else None
            lines.append([
                row["setting"], title, f"{row['rows']:,}", f"{truth:.{digits}f}", f"{bound:.{digits}f}",
                f"{100 * row[f'{measure}_coverage']:.1f}%",
                f"{(bound - row[f'{measure}_truth']) / least[measure]:.2f}" if least[measure] else "–",
                "–" if union is None else f"{union:.3f}",
            ])  # fmt: skip
    header = (
        "data", "what is bounded", "rows", "truth", "mean bound", "the bound holds", "width over the least width",
        "bound by a union over cells",
    )  # fmt: skip
    return "\n".join(format_table(header, lines, left=2)) + (
        f"\n\nMeans over {rows[0]['resamples']:,} resamples, seed {rows[0]['seed']}. `{document['command']}`\n"
    )


def _render_adult(document: Mapping[str, Any]) -> str:
    """Mean over seeds of accuracy and of what is certified."""
    rows = [row for row in document["rows"] if "adult" in row]
    lines = []
    for setting in dict.fromkeys(row["adult"] for row in rows):
        some = [row for row in rows if row["adult"] == setting]

        def show(key: str, digits: int = 3, some: list[dict[str, Any]] = some) -> str:
            values = [row[key] for row in some]
            return f"{statistics.fmean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

        cells = sorted(row["cells"] for row in some)
        lines.append([
            f"`{setting}`", f"{cells[0]} to {cells[-1]}", show("accuracy"), show("parity_difference"),
            show("certified_parity_difference"), show("certified_balanced_accuracy"), show("certified_mi", 4),
        ])  # fmt: skip
    header = (
        "Adult", "cells", "accuracy", "parity difference on test rows", "certified parity difference",
        "certified balanced accuracy", "certified nats",
    )  # fmt: skip
    seeds = sorted({row["seed"] for row in rows})
    return "\n".join(format_table(header, lines)) + (
        f"\n\nMeans, with the least and the largest, over {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}), of the "
        f"official split. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script(
        "certificates", __doc__, resamples=1000, seed=0, adult_seeds=[0, 1, 2, 3, 4], minutes=600.0,
    )  # fmt: skip
    given, rows, started = script.given, list[dict[str, Any]](), time.time()
    if script.output.exists():  # goes on from what it holds
        rows = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    tasks: list[tuple[Any, ...]] = [("adult", setting, seed) for setting in _FITS for seed in given["adult_seeds"]]
    tasks += [("setting", name) for name in SETTINGS]
    done = {("setting", r["setting"]) if "setting" in r else ("adult", r["adult"], r["seed"]) for r in rows}
    for kind, *which in tasks:
        if (kind, *which) not in done and time.time() - started < 60 * given["minutes"]:
            if kind == "setting":
                rows.append(measure_coverage(*which, resamples=given["resamples"], seed=given["seed"]))
            else:
                rows.append(certify_adult(*which))
            script.write(rows, given["seed"])
    script.write(rows, given["seed"])
