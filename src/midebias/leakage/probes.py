"""The audit's probes: fresh classifiers of c from frozen z, each fitted, tuned and judged on rows of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .screening import screened_pairs, screened_parities, spatial_patterns

__all__ = ["PROBES", "Labels", "Split", "calibrated_scores"]

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

_PRIOR_SHARE = 0.005  # of the prior mixed into every prediction: bounds what one row can cost
_NEIGHBOURS = (10, 30, 100)
_REFERENCE_ROWS = 6_000  # that neighbours are searched among
_TREE_ROWS, _MLP_ROWS = 20_000, 20_000
_QUADRATIC_DIM = 512  # beyond, leading principal components: products are quadratic in the dimension


@dataclass(frozen=True)
class Labels:
    """The attribute as codes from 0 to ``k`` - 1, every one of them present; -1 is missing."""

    codes: NDArray[np.integer[Any]]
    k: int


class Split:
    """Rows to fit on, rows aside to tune on, held-out rows to judge on; z standardised by the first.

    Parameters
    ----------
    z : array of shape (n, dim)
    fit, aside, held : integer arrays of rows
    seed : int
    """

    def __init__(self, z: Floats, fit: Rows, aside: Rows, held: Rows, *, seed: int) -> None:
        self.fit, self.aside, self.held, self.seed = fit, aside, held, seed
        self._parts: dict[bytes, Split] = {}
        known = z[fit]
        mean, std = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
        # Columns that hardly vary are kept small; beyond eight deviations a value says only that it is far out.
        scale = std + 1e-6 * std.max(initial=0.0) + 1e-12
        self.z: Floats = np.clip((z - mean) / scale, -8, 8).astype(np.float32)

    def within(self, chosen: NDArray[np.bool_]) -> Split:
        """The same split, of some rows only."""
        if bool(chosen.all()):
            return self
        key = chosen.tobytes()
        if key not in self._parts:  # several attributes ask for the same classes: what a part has found, it keeps
            part = object.__new__(Split)
            part.z, part.seed, part._parts = self.z, self.seed, {}
            part.fit, part.aside, part.held = (rows[chosen[rows]] for rows in (self.fit, self.aside, self.held))
            self._parts[key] = part
        return self._parts[key]

    @cached_property
    def components(self) -> Floats:
        """Leading principal components of the standardised z, unit variance, for products and neighbours."""
        x = self.z[self.fit].astype(np.float64)
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        keep = np.argsort(values)[::-1][:_QUADRATIC_DIM]
        keep = keep[values[keep] > 1e-6 * values.max()]
        turn = (vectors[:, keep] / np.sqrt(values[keep])).astype(np.float32)
        return self.z @ turn

    @cached_property
    def neighbours(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Nearest rows of ``fit`` to those of ``aside`` and of ``held``, nearest first."""
        from sklearn.neighbors import NearestNeighbors

        among = self.fit[:_REFERENCE_ROWS]
        k = min(max(_NEIGHBOURS), len(among))
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self.z[among])
        aside, held = (
            among[search.kneighbors(self.z[rows], return_distance=False)] for rows in (self.aside, self.held)
        )
        return aside, held


def calibrated_scores(name: str, split: Split, labels: Labels) -> tuple[Floats, Floats, float]:
    """Fit a probe and score the held-out rows.

    Returns
    -------
    raw : array of shape (held rows, k)
        log q(c|z) - log p(c) as the probe gives it, for the permutation test.
    log_ratio : array of the same shape
        The same after one factor, found on the rows aside, has tempered it: never much below zero where a probe learned
        only noise. Its mean at the true c estimates a lower bound of I(Z;C), in nats.
    factor : float
    """
    prior = np.bincount(labels.codes[split.fit], minlength=labels.k) + 0.5
    prior = prior / prior.sum()
    with np.errstate(invalid="ignore"):  # OpenBLAS may raise this flag on finite numbers (numpy issue 24067)
        aside, held = PROBES[name](split, labels)
    if not (np.isfinite(aside).all() and np.isfinite(held).all()):
        raise FloatingPointError(f"the {name} probe gave probabilities that are not finite")
    log_prior = np.log(prior)
    ratios = [np.log((1 - _PRIOR_SHARE) * q + _PRIOR_SHARE * prior) - log_prior for q in (aside, held)]
    truth = labels.codes[split.aside]
    factors = np.array([0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2])
    gains = [_tempered(ratios[0], a, log_prior)[np.arange(len(truth)), truth].mean() for a in factors]
    factor = float(factors[int(np.argmax(gains))])
    return ratios[1], _tempered(ratios[1], factor, log_prior), factor


def _tempered(ratio: Floats, factor: float, log_prior: Floats) -> Floats:
    """log q' - log p for q' proportional to p (q / p)^factor."""
    scaled = factor * ratio
    top = scaled.max(axis=1, keepdims=True)
    return scaled - top - np.log(np.exp(scaled - top) @ np.exp(log_prior))[:, None]


def _best(candidates: Mapping[Any, tuple[Floats, Floats]], truth: NDArray[Any]) -> tuple[Floats, Floats]:
    """The candidate under which the rows aside are likeliest."""
    rows = np.arange(len(truth))
    return max(candidates.values(), key=lambda pair: float(np.log(pair[0][rows, truth] + 1e-6).mean()))


def _spread(model: Any, x: Floats, k: int) -> Floats:
    """Probabilities with a column for every category, also for those the model has not seen."""
    return _columns(model.predict_proba(x), model.classes_, k)


def _columns(found: Floats, classes: NDArray[Any], k: int) -> Floats:
    if len(classes) == k:
        return found
    out = np.zeros((len(found), k), dtype=found.dtype)
    out[:, classes] = found
    return out


def _logistic(x: Sequence[Floats], split: Split, labels: Labels) -> tuple[Floats, Floats]:
    """Logistic regression; of several strengths of shrinkage the one that does best aside."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    y, found = labels.codes[split.fit], {}
    if len(np.unique(y)) < 2:
        return _constant(split, labels)
    model = LogisticRegression(max_iter=60, tol=1e-3, warm_start=True)
    for strength in (3e-4, 3e-3, 3e-2, 1.0):  # from much shrinkage to little
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the rows aside decide whether it was enough
            model.fit(x[0], y)
        found[strength] = _spread(model, x[1], labels.k), _spread(model, x[2], labels.k)
    return _best(found, labels.codes[split.aside])


def _constant(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    prior = np.bincount(labels.codes[split.fit], minlength=labels.k) / max(1, len(split.fit))
    return np.tile(prior, (len(split.aside), 1)), np.tile(prior, (len(split.held), 1))


def _linear(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    return _logistic((split.z[split.fit], split.z[split.aside], split.z[split.held]), split, labels)


def _quadratic(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    """Logistic regression on the few columns, squares, products and directions that tell most about c.

    They are screened by their correlation with c on the rows to fit; the directions are those along which the variance
    given c differs most (common spatial patterns: Koles 1991), for leaks that a rotation has hidden. Products of three
    and four columns are searched where the columns are few: see `screened_parities`.
    """
    codes = labels.codes[split.fit]
    indicator = np.eye(labels.k, dtype=np.float32)[codes]
    indicator = (indicator - indicator.mean(0)) / (indicator.std(0) + 1e-6)
    z = split.z if split.z.shape[1] <= _QUADRATIC_DIM else split.components
    white = split.components
    x = z[split.fit]
    first, second = screened_pairs(x, indicator)
    higher = screened_parities(x, indicator)
    directions = spatial_patterns(white[split.fit], indicator)
    strength = np.abs(indicator.T @ x).max(axis=0)
    columns = np.argsort(strength)[::-1][:40]

    def features(rows: Rows) -> Floats:
        a, b = z[rows], white[rows]
        product = np.concatenate([a[:, first] * a[:, second], *(a[:, g].prod(axis=2) for g in higher)], axis=1)
        norm = np.stack([np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)], axis=1)
        # Signed roots beside the products: closer to what is decided by signs, and less moved by outliers.
        root = np.sign(product) * np.sqrt(np.abs(product))
        return np.concatenate([a[:, columns], product, root, np.abs(b @ directions), norm, norm**2], axis=1)

    fit, aside, held = (features(rows) for rows in (split.fit, split.aside, split.held))
    mean, std = fit.mean(0), fit.std(0) + 1e-6
    fit, aside, held = (np.clip((part - mean) / std, -6, 6) for part in (fit, aside, held))
    order = np.argsort(np.abs(indicator.T @ fit).max(axis=0))[::-1]
    found = {}
    for kept in (8, len(order)):  # few for one product among thousands, all for what is spread over many
        found[kept] = _logistic([part[:, order[:kept]] for part in (fit, aside, held)], split, labels)
    return _best(found, labels.codes[split.aside])


def _nearest(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    votes = [np.eye(labels.k, dtype=np.float32)[labels.codes[near]] for near in split.neighbours]
    prior = np.bincount(labels.codes[split.fit], minlength=labels.k) / max(1, len(split.fit))
    counts = [np.cumsum(v, axis=1) for v in votes]
    found = {}
    for k in _NEIGHBOURS:
        if k <= counts[0].shape[1]:
            aside, held = ((c[:, k - 1] + 2 * prior) / (k + 2) for c in counts)
            found[k] = aside, held
    if not found:
        return _constant(split, labels)
    return _best(found, labels.codes[split.aside])


def _trees(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fit = split.fit[:_TREE_ROWS]
    y, truth = labels.codes[fit], labels.codes[split.aside]
    if len(np.unique(y)) < 2:
        return _constant(split, labels)
    rounds = 50 if labels.k == 2 else max(10, 60 // labels.k)
    model = HistGradientBoostingClassifier(
        learning_rate=0.1 if labels.k == 2 else 0.2,
        max_iter=rounds,
        max_leaf_nodes=15,
        min_samples_leaf=max(5, min(40, len(fit) // 50)),
        l2_regularization=5.0,
        max_bins=63,
        early_stopping=False,
        random_state=split.seed,
    )
    model.fit(split.z[fit], y)
    rows, best, kept = np.arange(len(truth)), -np.inf, _constant(split, labels)
    stages = (model.staged_predict_proba(split.z[part]) for part in (split.aside, split.held))
    for stage in zip(*stages, strict=True):
        aside, held = (_columns(q, model.classes_, labels.k) for q in stage)
        gain = float(np.log(aside[rows, truth] + 1e-6).mean())
        if gain > best:
            best, kept = gain, (aside, held)
    return kept


def _mlp(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    from sklearn.neural_network import MLPClassifier

    fit = split.fit[:_MLP_ROWS]
    y, truth = labels.codes[fit], labels.codes[split.aside]
    if len(np.unique(y)) < 2:
        return _constant(split, labels)
    x = [split.z[rows] for rows in (fit, split.aside, split.held)]
    model = MLPClassifier(
        (64, 32), batch_size=min(256, len(fit)), learning_rate_init=2e-3, alpha=1e-2, random_state=split.seed
    )
    rows, best, patience = np.arange(len(truth)), -np.inf, 0
    kept = _constant(split, labels)
    for _ in range(24):
        model.partial_fit(x[0], y, classes=np.arange(labels.k))
        q = _spread(model, x[1], labels.k)
        gain = float(np.log(q[rows, truth] + 1e-6).mean())
        if gain > best:
            best, patience = gain, 0
            kept = q, _spread(model, x[2], labels.k)
        else:
            patience += 1
            if patience >= 4:
                break
    return kept


PROBES: Mapping[str, Callable[[Split, Labels], tuple[Floats, Floats]]] = {
    "linear": _linear,
    "quadratic": _quadratic,
    "nearest neighbours": _nearest,
    "boosted trees": _trees,
    "mlp": _mlp,
}
