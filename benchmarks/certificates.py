"""Certificates: how often their bounds hold on resamples of known truth, how wide they are, and what Adult gets."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta  # type: ignore[import-untyped,unused-ignore]  # not annotated

from midebias.columns import read_column
from midebias.datasets import fetch_adult
from midebias.leakage.certificate import CertifiedAttribute, certify_columns
from midebias.sklearn import MIDebiasClassifier

from .least_widths import Joint, compute_least_width, measure_truth
from .script import Script, format_table

__all__ = ["SETTINGS", "certify_adult", "draw_joint", "measure_coverage", "render_table"]

_MEASURES: Mapping[str, tuple[str, int]] = {  # title, digits in tables
    "balanced_accuracy": ("balanced accuracy", 3), "decision_difference": ("difference of decisions", 3),
    "mi": ("information, nats", 4),
}  # fmt: skip


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
    rng = np.random.default_rng([seed, list(SETTINGS).index(name)])
    row: dict[str, Any] = {"setting": name, "rows": n, "resamples": resamples, "seed": seed}
    row |= _measure_bounds(joint, n, resamples, rng)
    for measure in _MEASURES:
        if measure != "balanced_accuracy" or joint.shape[2] > 2:
            several = joint.shape[1] > 1
            row[f"{measure}_least"] = compute_least_width(joint, n, measure, seed=seed) if several else None
    if joint.shape[2] == 2:
        difference = row["decision_difference_least"]
        row["balanced_accuracy_least"] = difference and difference / 2
    return row


def draw_joint(rng: np.random.Generator) -> tuple[int, Joint]:
    """Rows, and a distribution of 1 to 64 cells and 2 to 5 groups, with or without a rare group and a dependence."""
    k, n_groups, n = int(rng.integers(1, 65)), int(rng.integers(2, 6)), round(60 * (20000 / 60) ** rng.random())
    cells = rng.dirichlet(np.full(k, 10 ** rng.uniform(-1, 1)))
    shares = rng.dirichlet(np.full(n_groups, 10 ** rng.uniform(-0.3, 1)))
    if rng.random() < 0.4:
        rare = rng.uniform(0.01, 0.05)
        shares = np.r_[rare, shares[1:] / shares[1:].sum() * (1 - rare)]
    size, tilt = 10 ** rng.uniform(-1.5, 0.3), rng.normal(size=(k, n_groups))
    kinds = tilt * size, np.sign(tilt) * size, tilt * 3 * size * (rng.random((k, n_groups)) < 0.15), tilt * 0
    within = cells[:, None] * np.exp(kinds[rng.integers(4)])
    return n, (within / within.sum(axis=0) * shares)[None]


def measure_random(number: int, *, resamples: int, seed: int) -> dict[str, Any]:
    """How often each bound holds on a distribution that is drawn; draws in which a group has no row are drawn again."""
    rng = np.random.default_rng([seed, 1, number])
    n, joint = draw_joint(rng)
    row: dict[str, Any] = {
        "random": number, "rows": n, "cells": joint.shape[1], "groups": joint.shape[2],
        "rarest": float(joint.sum(axis=(0, 1)).min()), "resamples": resamples, "seed": seed,
    }  # fmt: skip
    return row | _measure_bounds(joint, n, resamples, rng)


def _measure_bounds(joint: Joint, n: int, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    truth = {measure: float(measure_truth(joint, measure)) for measure in _MEASURES}
    found, union, started = list[CertifiedAttribute](), list[float](), time.process_time()
    while len(found) < resamples:
        y, cell, group = np.unravel_index(rng.choice(joint.size, n, p=joint.ravel() / joint.sum()), joint.shape)
        if len(np.unique(group)) < joint.shape[2]:
            continue
        labels = y.astype(np.int64) if len(joint) > 1 else None
        cells = np.unique(cell, return_inverse=True)[1].astype(np.int64)  # those without a row are not known
        found.append(certify_columns(cells, [read_column(group, "group")], labels).bounds[-1])
        if joint.shape[2] == 2 and len(joint) == 1:
            union.append(limit_by_union(np.bincount(2 * cells + group).reshape(-1, 2)))
    seconds, row = time.process_time() - started, dict[str, Any]()
    for measure in _MEASURES:
        bounds = [getattr(bound, measure) for bound in found]
        row |= {
            f"{measure}_truth": truth[measure], f"{measure}_bound": statistics.fmean(bounds),
            f"{measure}_coverage": statistics.fmean(b >= truth[measure] - 1e-12 for b in bounds),
        }  # fmt: skip
    return row | {"union_bound": statistics.fmean(union) if union else None, "milliseconds": 1e3 * seconds / resamples}


_KINDS = {"setting": 1, "random": 1, "adult": 2}  # of rows, and by how many of their figures they are told apart
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
    """Coverage and widths of each setting, coverage where settings are drawn, and what Adult gets."""
    return f"{_render_coverage(document)}\n{_render_random(document)}\n{_render_adult(document)}"


def _render_coverage(document: Mapping[str, Any]) -> str:
    """Coverage and widths: of each setting a line for each bound."""
    rows = [row for row in document["rows"] if "setting" in row]
    lines = []
    for row in rows:
        for measure, (title, digits) in _MEASURES.items():
            truth, bound, least = (row.get(f"{measure}_{what}") for what in ("truth", "bound", "least"))
            union = row["union_bound"] if measure == "decision_difference" else None
            lines.append([
                row["setting"], title, f"{row['rows']:,}", f"{truth:.{digits}f}", f"{bound:.{digits}f}",
                f"{100 * row[f'{measure}_coverage']:.1f}%", f"{(bound - truth) / least:.2f}" if least else "–",
                "–" if union is None else f"{union:.3f}",
            ])  # fmt: skip
    header = (
        "data", "what is bounded", "rows", "truth", "mean bound", "the bound holds", "width over the least width",
        "bound by a union over cells",
    )  # fmt: skip
    return "\n".join(format_table(header, lines, left=2)) + (
        f"\n\nMeans over {rows[0]['resamples']:,} resamples, seed {rows[0]['seed']}. `{document['command']}`\n"
    )


def _render_random(document: Mapping[str, Any]) -> str:
    """Coverage of each bound over all distributions that were drawn, and over those of a kind."""
    rows = [row for row in document["rows"] if "random" in row]
    if not rows:  # in --minutes they were not reached
        return ""
    kinds = {
        "all": rows, "two groups": [r for r in rows if r["groups"] == 2],
        "three to five groups": [r for r in rows if r["groups"] > 2],
        "a group of less than 5%": [r for r in rows if r["rarest"] < 0.05],
        "fewer than 500 rows": [r for r in rows if r["rows"] < 500],
        "groups differ by 0.3 or more": [r for r in rows if r["decision_difference_truth"] >= 0.3],
    }  # fmt: skip
    lines = []
    for kind, some in kinds.items():
        shares = {measure: [100 * r[f"{measure}_coverage"] for r in some] for measure in _MEASURES}
        lines.append([
            kind, str(len(some)),
            *(f"{statistics.fmean(part):.1f}% ({min(part):.0f}%)" if part else "–" for part in shares.values()),
        ])  # fmt: skip
    header = ("distributions drawn at random", "how many", *(f"{title} holds" for title, _ in _MEASURES.values()))
    return "\n".join(format_table(header, lines)) + (
        f"\n\nMeans over distributions, and in brackets the lowest of one, which chance moves too: of "
        f"{rows[0]['resamples']} resamples each, seed {rows[0]['seed']}.\n"
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
        "certificates", __doc__, resamples=1000, seed=0, distributions=100, draws=100, adult_seeds=[0, 1, 2, 3, 4],
        minutes=600.0,
    )  # fmt: skip
    given, rows, started = script.given, list[dict[str, Any]](), time.time()
    if script.output.exists():  # goes on from what it holds
        rows = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    tasks: list[tuple[Any, ...]] = [("adult", setting, seed) for setting in _FITS for seed in given["adult_seeds"]]
    tasks += [("setting", name) for name in SETTINGS]
    tasks += [("random", number) for number in range(given["distributions"])]
    done = {next((kind, *(r[k] for k in (kind, "seed")[:n])) for kind, n in _KINDS.items() if kind in r) for r in rows}
    for kind, *which in tasks:
        if (kind, *which) not in done and time.time() - started < 60 * given["minutes"]:
            if kind == "setting":
                rows.append(measure_coverage(*which, resamples=given["resamples"], seed=given["seed"]))
            elif kind == "random":
                rows.append(measure_random(*which, resamples=given["draws"], seed=given["seed"]))
            else:
                rows.append(certify_adult(*which))
            script.write(rows, given["seed"])
    script.write(rows, given["seed"])
