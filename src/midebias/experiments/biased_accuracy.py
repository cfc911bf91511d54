"""What held-out images that are as biased as the training images say of accuracy without the bias, and of leakage."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute
from ..estimation.estimate import estimate_mi
from ..training.logit_adjustment import LogitAdjustment
from .image_data import ImageData

Floats = NDArray[np.floating[Any]]

_ROUNDS = 8  # exchanges that a value is the mean of
_RIDGE = 1.0  # rows' worth of shrinkage, for categories that are all but absent within a class


@dataclass(frozen=True)
class ExchangedAccuracy:
    """An accuracy in [0, 1], its standard error, and its values in resamples that all networks share."""

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
    draws = (generator.integers(n, size=n) for _ in range(n_resamples))
    resampled = [_exchange(scores[rows], features[rows], labels[rows], 1, generator) for rows in draws]
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


def measure_biased(z: Tensor, logits: Tensor, data: ImageData, seed: int) -> tuple[ExchangedAccuracy, dict[str, float]]:
    """Measure accuracy with the attribute exchanged and with images reweighted, and I(Z;C|Y) in nats, on ``data.test``.

    Weights 1 / p(y|c), truncated at the root of n times their mean (Ionides, "Truncated importance sampling", 2008),
    make the label independent of the attribute, as far as the bias leaves such images at all.
    """
    test, problem = data.test, data.problem
    exchanged = measure_exchanged_accuracy(logits, test.y, test.c, problem.attribute, random_state=seed)
    unbiased = LogitAdjustment(problem.attribute, problem.n_classes, rebalance=1.0, seed=seed)
    weights = unbiased.fit(data.train.c, data.train.y).sampling_weights(test.c, test.y)
    weights = weights.clamp(max=float(weights.mean()) * len(weights) ** 0.5)
    weights /= weights.sum()
    right = (logits.argmax(1) == test.y).double()
    losses = torch.nn.functional.cross_entropy(logits.double(), test.y, reduction="none")
    mi = estimate_mi(
        z, test.c, attribute=problem.attribute, condition_on=test.y, estimator="donsker_varadhan", n_permutations=0,
        random_state=seed,
    )  # fmt: skip
    measures = {"exchanged_accuracy": exchanged.value, "exchanged_accuracy_stderr": exchanged.stderr}
    for name, values in (("accuracy", right), ("loss", losses)):
        mean = float((weights * values).sum())
        spread = float((weights * (values - mean)).square().sum().sqrt())
        measures |= {f"reweighted_{name}": mean, f"reweighted_{name}_stderr": spread}
    return exchanged, measures | {"conditional_mi": mi.value, "conditional_mi_stderr": mi.stderr}
