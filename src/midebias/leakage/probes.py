"""The audit's probes: fresh classifiers of c from frozen z, fitted on some rows and tuned on others.

They are scikit-learn's, of kinds that fail on different data; a row of an image run takes `network_probe` instead.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .many_categories import compare_with_means, join_alike
from .screening import find_spatial_patterns, screen_pairs, screen_parities
from .split import NEIGHBOURS, Floats, Labels, Predictions, Rows, Split

_MOST_ROWS = 20_000  # that trees and perceptrons are fitted on
_QUADRATIC_DIM = 512  # beyond, leading principal components: products are quadratic in the dimension


def probe_linearly(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Logistic regression."""
    return _fit_logistic(split.parts, split, labels)


def probe_quadratically(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Logistic regression on the columns, squares, products and directions that tell most about c."""
    indicator = np.eye(labels.k, dtype=np.float32)[labels.codes[split.fit]]
    indicator = (indicator - indicator.mean(0)) / (indicator.std(0) + 1e-6)
    white = split.components
    z = split.z if split.z.shape[1] <= _QUADRATIC_DIM else white
    x = z[split.fit]
    first, second = screen_pairs(x, indicator)
    higher = screen_parities(x, indicator)
    directions = find_spatial_patterns(white[split.fit], indicator)
    columns = np.argsort(np.abs(indicator.T @ x).max(axis=0))[::-1][:40]

    def compute_features(rows: Rows) -> Floats:
        a, b = z[rows], white[rows]
        product = np.concatenate([a[:, first] * a[:, second], *(a[:, g].prod(axis=2) for g in higher)], axis=1)
        norm = np.stack([np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)], axis=1)
        # Signed roots beside the products: closer to a dependence on signs alone, and less moved by outliers.
        root = np.sign(product) * np.sqrt(np.abs(product))
        return np.concatenate([a[:, columns], product, root, np.abs(b @ directions), norm, norm**2], axis=1)

    parts = [compute_features(rows) for rows in (split.fit, split.aside, split.held)]
    mean, std = parts[0].mean(0), parts[0].std(0) + 1e-6
    parts = [np.clip((part - mean) / std, -6, 6) for part in parts]
    order = np.argsort(np.abs(indicator.T @ parts[0]).max(axis=0))[::-1]
    # Few for one product among thousands, all for what is spread over many.
    for chosen in (order[:8], order):
        yield from _fit_logistic([part[:, chosen] for part in parts], split, labels)


def probe_by_neighbours(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Shares of the categories among the nearest rows, shrunk to the prior."""
    prior = labels.count(split.fit) / len(split.fit)
    votes = [labels.codes[near] + labels.k * np.arange(len(near))[:, None] for near in split.neighbours]
    for k in NEIGHBOURS:
        if k <= votes[0].shape[1]:
            counts = [np.bincount(v[:, :k].ravel(), minlength=labels.k * len(v)).reshape(len(v), -1) for v in votes]
            aside, held = ((c + 2 * prior) / (k + 2) for c in counts)
            yield aside, held


def probe_by_trees(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Boosted trees, as many of them as do best aside."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = split.fit[:_MOST_ROWS]
    if len(np.unique(labels.codes[rows])) < 2:
        return
    model = HistGradientBoostingClassifier(
        learning_rate=0.1 if labels.k == 2 else 0.2, max_iter=50 if labels.k == 2 else max(10, 60 // labels.k),
        max_leaf_nodes=15, min_samples_leaf=max(5, min(40, len(rows) // 50)), l2_regularization=5.0, max_bins=63,
        early_stopping=False, random_state=split.seed,
    )  # fmt: skip
    model.fit(split.z[rows], labels.codes[rows])
    for stage in zip(*(model.staged_predict_proba(part) for part in split.parts[1:]), strict=True):
        aside, held = (_expand(q, model.classes_, labels.k) for q in stage)
        yield aside, held


def probe_by_perceptron(split: Split, labels: Labels) -> Iterator[Predictions]:
    """A perceptron of two hidden layers, stopped early by the rows aside."""
    from sklearn.neural_network import MLPClassifier

    rows = split.fit[:_MOST_ROWS]
    if len(np.unique(labels.codes[rows])) < 2:
        return
    _, aside, held = split.parts
    model = MLPClassifier(
        (64, 32), batch_size=min(256, len(rows)), learning_rate_init=2e-3, alpha=1e-2, random_state=split.seed
    )

    def train() -> Iterator[Predictions]:
        for _ in range(24):
            model.partial_fit(split.z[rows], labels.codes[rows], classes=np.arange(labels.k))
            yield model.predict_proba(aside), model.predict_proba(held)

    yield choose(train(), split, labels, patience=4)


PROBES: Mapping[str, Callable[[Split, Labels], Iterator[Predictions]]] = {
    "linear": probe_linearly,
    "quadratic": probe_quadratically,
    "nearest neighbours": probe_by_neighbours,
    "boosted trees": probe_by_trees,
    "mlp": probe_by_perceptron,
}
"""Name -> generator of the candidates among which `choose` chooses; none where the rows hold one category."""

_COSTLY = ("linear", "quadratic", "boosted trees")
"""Cost grows with the categories: of very many, those alike are joined for them."""


def predict_categories(name: str, split: Split, labels: Labels) -> Predictions:
    """Fit a probe: the candidate that makes the rows aside likeliest; the prior where there is nothing to fit."""
    prior = labels.count(split.fit) + 1e-9
    prior /= prior.sum()
    if min(map(len, (split.fit, split.aside, split.held))) == 0 or (labels.count(split.fit) > 0).sum() < 2:
        return np.tile(prior, (len(split.aside), 1)), np.tile(prior, (len(split.held), 1))
    place = join_alike(split, labels) if name in _COSTLY else np.arange(labels.k)
    joined = Labels(np.where(labels.codes < 0, -1, place[labels.codes]), int(place.max()) + 1)
    share = prior / np.bincount(place, weights=prior)[place]  # of a category in what it was joined to

    def list_candidates() -> Iterator[Predictions]:
        for aside, held in PROBES[name](split, joined):
            yield aside[:, place] * share, held[:, place] * share
        if name == "linear" and joined.k < labels.k:
            yield from compare_with_means(split, labels)

    with np.errstate(invalid="ignore"):  # OpenBLAS may raise this flag on finite numbers (numpy issue 24067)
        chosen = choose(list_candidates(), split, labels)
    if not all(np.isfinite(q).all() for q in chosen):
        raise FloatingPointError(f"the {name} probe gave probabilities that are not finite")
    return chosen


def choose(
    candidates: Iterable[Predictions], split: Split, labels: Labels, *, patience: int | None = None
) -> Predictions:
    """Choose what makes the rows aside likeliest, the prior if nothing; stop after ``patience`` worse ones in a row."""
    truth = labels.codes[split.aside]
    rows, best, waited = np.arange(len(truth)), -np.inf, 0
    prior = labels.count(split.fit) / max(1, len(split.fit))
    chosen: Predictions = np.tile(prior, (len(split.aside), 1)), np.tile(prior, (len(split.held), 1))
    for aside, held in candidates:
        gain = float(np.log(aside[rows, truth] + 1e-6).mean())
        if gain > best:
            best, chosen, waited = gain, (aside, held), 0
        else:
            waited += 1
            if waited == patience:
                break
    return chosen


def _fit_logistic(x: Sequence[Floats], split: Split, labels: Labels) -> Iterator[Predictions]:
    """Logistic regressions on features of the three kinds of rows, from much shrinkage to little."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    y = labels.codes[split.fit]
    if len(np.unique(y)) < 2:
        return
    model = LogisticRegression(max_iter=60, tol=1e-3, warm_start=True)
    for strength in (3e-4, 3e-3, 3e-2, 1.0):
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the rows aside say whether it was enough
            model.fit(x[0], y)
        aside, held = (_expand(model.predict_proba(part), model.classes_, labels.k) for part in x[1:])
        yield aside, held


def _expand(found: Floats, classes: NDArray[Any], k: int) -> Floats:
    """Probabilities with a column for every category, also for those the model has not seen."""
    if len(classes) == k:
        return found
    out = np.zeros((len(found), k), dtype=found.dtype)
    out[:, classes] = found
    return out
