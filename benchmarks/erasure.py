"""Erasure from embeddings: leakage, utility, movement and seconds of linear, kernel, adversarial and our maps.

``python -m benchmarks.erasure --folder FOLDER`` reads ``embeddings/words.npz``, ``tables/*.csv.gz`` and ``fashion/``
from a folder; without one, embeddings that need it are left out. Maps are fitted on half of the rows. Probes, none of
which any map was fitted by, are trained on three tenths and read the last fifth, both erased by a map that saw neither.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midebias import MIEraser

from .erasure_embeddings import EMBEDDINGS, load_embedding
from .erasure_made import Embedding
from .erasure_peers import PEERS, Map
from .script import Script, format_table

__all__ = ["measure_map", "render_table", "run_embedding"]

_FROM_FOLDER = ("words", "projections", "lengths", "law", "compas", "clothes")
_OURS: dict[str, dict[str, Any]] = {
    "LEACE": {"method": "linear"}, "midebias": {}, "midebias, min_neighbours=0.9": {"min_neighbours": 0.9},
    "midebias, min_neighbours=0.5": {"min_neighbours": 0.5}, "midebias, separation": {"criterion": "separation"},
}  # fmt: skip
_ALWAYS = ("none", "LEACE", "midebias")
_PROBES = ("linear", "RBF-SVM", "perceptron", "trees")


def run_embedding(name: str, seed: int, rows: int, folder: Path | None, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of every method on one embedding."""
    embedding = load_embedding(name, seed, rows, folder)
    n = len(embedding.z)
    fit = np.arange(n // 2)
    groups = embedding.c
    if embedding.is_quantity:
        groups = np.searchsorted(np.quantile(groups[fit], [0.2, 0.4, 0.6, 0.8]), groups)
    linear = 0.0
    found = []
    for method in methods:
        if method == "midebias, separation" and embedding.y is None:
            continue
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of probes and compared methods that have not converged
            erase = _fit(method, embedding, fit, groups, seed)
            seconds = time.process_time() - started
            measured = measure_map(embedding, np.asarray(erase(embedding.z), dtype=np.float32), seed)
        linear = measured["movement"] if method == "LEACE" else linear
        least = linear if embedding.least == "linear" else embedding.least
        found.append(
            {"embedding": name, "seed": seed, "method": method, **measured, "least_movement": least, "seconds": seconds}
        )
    return found


def _fit(method: str, embedding: Embedding, fit: NDArray[np.intp], groups: NDArray[Any], seed: int) -> Map:
    if method == "none":
        return lambda z: z
    if method in PEERS:
        return PEERS[method](embedding.z[fit], groups[fit].astype(np.int64), seed)
    y = embedding.y[fit] if embedding.y is not None and "separation" in method else None
    eraser = MIEraser(**_OURS[method], random_state=seed)
    return eraser.fit(embedding.z[fit], y, sensitive_features=embedding.c[fit]).transform


def measure_map(embedding: Embedding, erased: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """What probes read of erased rows, and what is kept: the label, neighbours, the place.

    Probes' figures are balanced accuracy for categories and the explained share of variance for a quantity.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    n = len(embedding.z)
    train, test = np.arange(n // 2, n // 2 + 3 * n // 10), np.arange(n // 2 + 3 * n // 10, n)
    scaler = StandardScaler().fit(erased[train])
    x, x_test = scaler.transform(erased[train]), scaler.transform(erased[test])
    options: dict[str, Any] = {"hidden_layer_sizes": (128,), "max_iter": 40, "early_stopping": True}
    if embedding.is_quantity:
        probes: list[Any] = [
            Ridge(),
            SVR(),
            MLPRegressor(**options, random_state=seed),
            HistGradientBoostingRegressor(max_iter=60, random_state=seed),
        ]
        judge = r2_score
    else:
        probes = [
            LogisticRegression(max_iter=500),
            SVC(),
            MLPClassifier(**options, random_state=seed),
            HistGradientBoostingClassifier(max_iter=60, random_state=seed),
        ]
        judge = balanced_accuracy_score
    c = embedding.c
    if embedding.is_quantity:  # probes of quantities take them to be of unit variance
        c = (c - c[train].mean()) / c[train].std()
    found: dict[str, Any] = {
        name: float(judge(c[test], probe.fit(x, c[train]).predict(x_test)))
        for name, probe in zip(_PROBES, probes, strict=True)
    }
    found["best"] = max(found[name] for name in _PROBES)
    found["chance"] = 0.0 if embedding.is_quantity else 1 / len(np.unique(embedding.c))
    y = embedding.y
    found["label"] = (
        None if y is None else float(LogisticRegression(max_iter=300).fit(x, y[train]).score(x_test, y[test]))
    )
    found["neighbours"] = _count_neighbours(embedding.z[test], erased[test])
    moved, spread = erased[test] - embedding.z[test], embedding.z[test] - embedding.z[test].mean(axis=0)
    found["movement"] = float(np.square(moved).sum() / np.square(spread).sum())
    return found


def _count_neighbours(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    from sklearn.neighbors import NearestNeighbors

    near, now = (
        NearestNeighbors(n_neighbors=10, algorithm="brute").fit(z).kneighbors(return_distance=False)
        for z in (before, after)
    )
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(near, now, strict=True)]) / 10)


def render_table(document: Mapping[str, Any]) -> str:
    """The table of a record: means over seeds."""
    header = ("embedding", "method", *_PROBES, "label", "neighbours", "movement", "least", "seconds")
    lines = []
    for name, method in dict.fromkeys((row["embedding"], row["method"]) for row in document["rows"]):
        mine = [r for r in document["rows"] if (r["embedding"], r["method"]) == (name, method)]
        cells = []
        for key in (*_PROBES, "label", "neighbours", "movement", "least_movement"):
            values = [row[key] for row in mine]
            cells.append("" if values[0] is None else f"{np.mean(values):.3f}")
        lines.append((name, method, *cells, f"{np.mean([row['seconds'] for row in mine]):.1f}"))
    seeds = sorted({row["seed"] for row in document["rows"]})
    note = (
        f"Means over seeds {', '.join(map(str, seeds))}; balanced accuracy of probes for categories, "
        "explained variance for a quantity, below zero where a probe is worse than the mean, on rows that neither the "
        "map nor the probe has seen; movement is the mean squared one over the "
        f"variance, seconds are of the processor. `{document['command']}`"
    )
    return "\n".join(format_table(header, lines, left=2)) + f"\n\n{note}\n"


if __name__ == "__main__":
    script = Script(
        "erasure", __doc__, folder=None, embeddings=list(EMBEDDINGS), curves=["words", "colours"],
        methods=[*_ALWAYS, *PEERS], rows=4000, seeds=[0, 1],
    )  # fmt: skip
    folder = Path(script.given["folder"]) if script.given["folder"] else None
    rows: list[dict[str, Any]] = []
    for seed in script.given["seeds"]:
        for name in script.given["embeddings"]:
            if folder is None and name in _FROM_FOLDER:
                continue
            methods = [
                *script.given["methods"],
                *([m for m in _OURS if m not in _ALWAYS] if name in script.given["curves"] else []),
            ]
            for row in run_embedding(name, seed, script.given["rows"], folder, methods):
                rows.append(row)
                script.write(rows, script.given["seeds"])
