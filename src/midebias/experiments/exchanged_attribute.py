"""Accuracy after the attribute was exchanged between rows: an estimate, from biased data, of accuracy without bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute

Floats = NDArray[np.floating[Any]]

_ROUNDS = 8  # exchanges that a value is the mean of
_RIDGE = 1.0  # rows' worth of shrinkage, for categories that are all but absent within a class


@dataclass(frozen=True)
class ExchangedAccuracy:
    """An accuracy in [0, 1], its standard error by the bootstrap, and the accuracy in each resample.

    The same rows and ``random_state`` give the same resamples, so two networks are compared pair by pair.
    """

    value: float
    stderr: float
    resamples: tuple[float, ...]


def measure_exchanged_accuracy(
    logits: Tensor, y: Tensor, c: Tensor, attribute: Attribute, *, n_resamples: int = 100, random_state: int = 0
) -> ExchangedAccuracy:
    """Measure accuracy after c's share in the logits was exchanged for that of another row, drawn without regard to y.

    The share is linear in c and fitted within classes, all of them together: what the logits owe to c beyond y.
    Weighting rows by 1 / p(y|c) answers the same question from the few rows that go against the bias. Where the bias
    leaves no such rows, as with colours that never overlap, weights cannot answer it, and this extrapolates.

    Parameters
    ----------
    logits : float Tensor of shape (n, n_classes)
        Of held-out rows, as biased as the training data.
    y : integer Tensor of shape (n,)
    c : Tensor of shape (n,) or (n, attribute.width)
    attribute : Attribute
    n_resamples : int, default 100
        Of the bootstrap.
    random_state : int, default 0

    References
    ----------
    Robins, "A new approach to causal inference in mortality studies", Mathematical Modelling 1986: standardisation by
    a model of the outcome, beside weighting. Efron, "Bootstrap methods", Annals of Statistics 1979.
    """
    encoded, present = attribute.encode(c)
    scores = logits[present].double().cpu().numpy()
    features = encoded[present].double().cpu().numpy()
    labels = y[present].cpu().numpy()
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-12)
    generator = np.random.default_rng(random_state)
    n = len(labels)
    value = _exchange(scores, features, labels, _ROUNDS, generator)
    resampled = []
    for _ in range(n_resamples):
        rows = generator.integers(n, size=n)
        resampled.append(_exchange(scores[rows], features[rows], labels[rows], 1, generator))
    return ExchangedAccuracy(value, float(np.std(resampled, ddof=1)), tuple(resampled))


def _exchange(
    scores: Floats, features: Floats, labels: NDArray[np.integer[Any]], rounds: int, generator: np.random.Generator
) -> float:
    inside = _center_within(features, labels)
    gram = inside.T @ inside + _RIDGE * np.eye(inside.shape[1])
    share = features @ np.linalg.solve(gram, inside.T @ _center_within(scores, labels))
    own = scores - share
    right = [((own + share[generator.permutation(len(labels))]).argmax(axis=1) == labels).mean() for _ in range(rounds)]
    return float(np.mean(right))


def _center_within(values: Floats, labels: NDArray[np.integer[Any]]) -> Floats:
    """Subtract the mean of each class."""
    counts = np.bincount(labels).clip(min=1)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, labels, values)
    return values - (sums / counts[:, None])[labels]
