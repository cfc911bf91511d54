"""The leakage of rows that were not trained on, and a budget for it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical, split_attribute
from ..estimators import GaussianMI
from ..penalty.budget import DualAscent
from .separate_penalties import has_gaps


@torch.no_grad()
def measure_leakage(z: Tensor, c: Tensor, attribute: Attribute, groups: Tensor | None, *, seed: int = 0) -> float:
    """I(Z;C), or I(Z;C|G), in nats, of n rows that were not trained on; unbiased near independence.

    `GaussianMI` on 96 random features, the mean over three bandwidths. Never more than H(C).
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
    return min(mean, attribute.entropy(c)) if isinstance(attribute, Categorical) else mean


class LeakageBudget:
    """A budget in nats for the leakage of rows held out, and the weight that dual ascent finds to keep it.

    ``groups_of`` maps y to the labels within which the leakage is measured.
    """

    def __init__(
        self, max_mi: float, attribute: Attribute, groups_of: Callable[[Tensor], Tensor] | None, *, seed: int
    ) -> None:
        self.max_mi, self.attribute, self.groups_of, self.seed = max_mi, attribute, groups_of, seed
        self.measurements: list[float] = []
        self._ascent = DualAscent(max_mi, rate=0.3, memory=0.0)
        self._ascent.multiplier.fill_(0.1)  # a weight too heavy at first may leave nothing to learn from

    @property
    def multiplier(self) -> float:
        """What the weight of the penalty is multiplied by."""
        return float(self._ascent.multiplier)

    def observe(self, z: Tensor, c: Tensor, y: Tensor) -> None:
        """Measure the leakage of rows held out, the largest where attributes are apart, and move the weight."""
        groups, seed = None if self.groups_of is None else self.groups_of(y), self.seed + len(self.measurements)
        parts = split_attribute(self.attribute) if has_gaps(c) else (self.attribute,)
        columns = c.reshape(len(c), -1).split([part.width for part in parts], dim=1)
        found = [measure_leakage(z, k, part, groups, seed=seed) for k, part in zip(columns, parts, strict=True)]
        self.measurements.append(max(found))
        self._ascent.observe(self.measurements[-1])

    @property
    def settled(self) -> bool:
        """Whether the budget is met, or was never needed."""
        latest = self.measurements[-6:]
        near = abs(latest[-1] - self.max_mi) <= min(0.005, 0.25 * self.max_mi)
        # Less leaks than may, and without a weight that does not change either: the budget binds nothing.
        steady = len(latest) == 6 and max(latest) - min(latest) < 0.1 * self.max_mi
        weightless = self.multiplier <= self._ascent.lowest * 1.01
        return near or (steady and weightless and latest[-1] < self.max_mi)
