"""The leakage of rows that were not trained on."""

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical
from ..estimators import GaussianMI

MOST_NARROW = 8  # columns of which few random features see each


@torch.no_grad()
def measure_leakage(z: Tensor, c: Tensor, attribute: Attribute, groups: Tensor | None, *, seed: int = 0) -> float:
    """I(Z;C), or I(Z;C|G), in nats, of n rows that were not trained on; unbiased near independence.

    `GaussianMI` on 96 random features, the mean over three bandwidths; of more than eight columns, in which random
    features of all are blind to what one of them tells, at least that of z itself. Never more than H(C).
    """
    values, present = attribute.encode(c)
    z, values = z[present].double(), values[present].double()
    groups = None if groups is None else groups[present]
    width = max(4, min(96, len(z) // 8))
    estimators = [
        GaussianMI(features="random", n_features=width, bandwidth=bandwidth, ridge=1e-4, seed=seed + i)
        for i, bandwidth in enumerate((0.5, 1.0, 2.0))
    ]
    mean = sum(float(estimator(z, values, groups)) for estimator in estimators) / len(estimators)
    if z.shape[1] > MOST_NARROW and len(z) > 2 * (z.shape[1] + attribute.dim) + 2:
        mean = max(mean, float(GaussianMI(ridge=1e-4)(z, values, groups)))
    return min(mean, attribute.entropy(c)) if isinstance(attribute, Categorical) else mean
