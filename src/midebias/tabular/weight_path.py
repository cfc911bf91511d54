"""The penalty's weight, chosen on rows held aside: it rises along a path, and the least that keeps all limits is taken."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute, Categorical, split_attribute
from .leakage import measure_leakage
from .targets import Task, compute_task_loss

POINTS = 18
_LOWEST, _HIGHEST = 0.01, 10.0  # of the weight that is used where none is looked for
_DEFAULT_HIGHEST = {"independence": 1.0, "separation": 0.5}  # the decision's counts twice as much there
_LEAST_ROWS = 20  # of a group, for its rate to be compared
_LEAKAGE_OF_EVEN_GROUPS = 0.008  # nats, of which a probe makes a balanced accuracy of about 0.55
_LEAKAGE_OF_A_QUANTITY = 0.005  # nats, of a correlation of 0.1
_GAIN_KEPT = 0.5
_DISPARITIES = {"independence": ("parity_difference", 0.02), "separation": ("odds_difference", 0.04)}


@dataclass(frozen=True)
class FrontPoint:
    """What a model of one weight does on rows held aside.

    Attributes
    ----------
    mi_weight : float
    loss : float
        Of the task.
    accuracy, auc : float
        In [0, 1]; NaN where y holds no labels, and of more than two classes AUC is NaN.
    parity_difference, odds_difference : float
        Largest difference between groups of a categorical attribute, in [0, 1], of how often a class is predicted, and
        of how often it is predicted among rows of one class; groups of fewer than 20 rows are left out. NaN without
        labels or such an attribute.
    leakage : float
        I(Z;C), or I(Z;C|Y) under separation, in nats; of several attributes the largest.
    state : dict
        Parameters of the network.
    """

    mi_weight: float
    loss: float
    accuracy: float
    auc: float
    parity_difference: float
    odds_difference: float
    leakage: float
    state: Mapping[str, Tensor] = field(repr=False, compare=False)


class WeightPath:
    """Weights from small to large, what rows held aside say of each, and which one is taken.

    Parameters
    ----------
    mi_weight : float
        What is used where none is looked for. The path goes from a hundredth of it to ten times as much.
    limits : mapping
        Names of measures of `FrontPoint` with what each may be at most. Empty for limits that follow from the data; the
        path then ends at ``mi_weight``, or half of it under separation, and where half of what the task gains over a
        constant answer would be lost.
    attribute, groups_of, task, criterion, seed
        As of `TabularTrainer` and `TabularPenalty`.
    """

    def __init__(
        self, mi_weight: float, limits: Mapping[str, float], attribute: Attribute, *, criterion: str, task: Task,
        groups_of: Callable[[Tensor], Tensor] | None, seed: int,
    ) -> None:  # fmt: skip
        self.limits, self.is_default = dict(limits), not limits
        self.attribute, self.criterion, self.task, self.groups_of = attribute, criterion, task, groups_of
        self.seed, self.usual = seed, mi_weight
        self.points: list[FrontPoint] = []
        self.chosen: int | None = None

    def list_weights(self, n: int) -> list[float]:
        """Return n weights, geometrically from the least to the largest."""
        highest = _DEFAULT_HIGHEST[self.criterion] if self.is_default else _HIGHEST
        return (self.usual * np.geomspace(_LOWEST, highest, n)).tolist()

    def find_rate(self, mi_weight: float) -> float:
        """Find the share of the learning rate that suits a weight: the objective is the steeper the larger it is."""
        return 0.4 / (1 + 4 * mi_weight / self.usual)

    @torch.no_grad()
    def observe(
        self, network: Any, mi_weight: float, x: Tensor, y: Tensor, c: Tensor, weights: Tensor | None
    ) -> None:
        """Measure the network of this weight on rows held aside."""
        network.eval()
        outputs, z = network(x)
        network.train()
        state = {k: v.clone() for k, v in network.state_dict().items()}
        groups = None if self.groups_of is None else self.groups_of(y)
        parts, columns = self._split(c)
        self._leakage_allowed = min(map(_allow_leakage, parts, columns))
        leakage = max(
            measure_leakage(z, k, part, groups, seed=self.seed) for part, k in zip(parts, columns, strict=True)
        )
        found = (math.nan,) * 4
        self._noise = dict.fromkeys(("parity_difference", "odds_difference"), 0.0) if not self.points else self._noise
        if self.task == "classification":
            found = self._measure_decisions(outputs, y, parts, columns)
        loss = float(compute_task_loss(outputs, y, weights, self.task))
        if not self.points:
            self._loss_of_a_constant = _measure_constant(y, weights, self.task)
        self.points.append(FrontPoint(mi_weight, loss, *found, leakage, state))

    def choose(self) -> FrontPoint:
        """Take the point of the least weight that keeps all limits, or that of the largest weight."""
        from sklearn.isotonic import isotonic_regression

        if self.is_default:
            name, limit = _DISPARITIES[self.criterion]
            self.limits = {"leakage": self._leakage_allowed, name: max(limit, self._noise[name])}
        kept = np.ones(len(self.points), dtype=bool)
        affordable = len(kept) - 1
        if self.is_default:
            affordable = self._find_affordable()
        for name, limit in self.limits.items():
            values = np.nan_to_num([getattr(point, name) for point in self.points])
            # A larger weight leaves less; what else it shows is the noise of few rows.
            kept &= isotonic_regression(values, increasing=False) <= limit
        self.chosen = min(int(kept.argmax()) if kept.any() else len(kept) - 1, affordable)
        return self.points[self.chosen]

    def _find_affordable(self) -> int:
        """Find the last point that keeps so much of what the task gains over a constant answer."""
        from sklearn.isotonic import isotonic_regression

        losses = isotonic_regression([point.loss for point in self.points])
        highest = self._loss_of_a_constant - _GAIN_KEPT * (self._loss_of_a_constant - losses[0])
        return max(int((losses <= highest).sum()) - 1, 0)

    def describe_misses(self) -> str:
        """Name the limits that the chosen point does not keep; empty if there are none."""
        point = self.points[self.chosen or 0]
        missed = [
            f"max_{'mi' if name == 'leakage' else name}={limit:g} ({getattr(point, name):.3g} on the rows held aside)"
            for name, limit in self.limits.items()
            if not self.is_default and getattr(point, name) > limit
        ]
        return " and ".join(missed)

    def _split(self, c: Tensor) -> tuple[tuple[Attribute, ...], tuple[Tensor, ...]]:
        parts = split_attribute(self.attribute)
        return parts, c.reshape(len(c), -1).split([part.width for part in parts], dim=1)

    def _measure_decisions(
        self, outputs: Tensor, y: Tensor, parts: tuple[Attribute, ...], columns: tuple[Tensor, ...]
    ) -> tuple[float, float, float, float]:
        from sklearn.metrics import roc_auc_score

        decided, truth = outputs.argmax(1).numpy(), y.numpy()
        auc = math.nan
        if outputs.shape[1] == 2 and 0 < truth.mean() < 1:
            auc = float(roc_auc_score(truth, (outputs[:, 1] - outputs[:, 0]).numpy()))
        labels = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
        parity, odds = [(math.nan, math.nan)], [(math.nan, math.nan)]
        for part, column in zip(parts, columns, strict=True):
            if isinstance(part, Categorical):
                group = np.nan_to_num(column[:, 0].double().numpy(), nan=-1.0)
                for label in labels:
                    parity.append(compare_rates(decided == label, group))
                    odds += [compare_rates(decided[truth == t] == label, group[truth == t]) for t in np.unique(truth)]
        known = [[pair for pair in pairs if not math.isnan(pair[0])] for pairs in (parity, odds)]
        (parity_difference, parity_noise), (odds_difference, odds_noise) = (
            max(pairs, default=(math.nan, 0.0)) for pairs in known
        )
        if not self.points:
            self._noise = {"parity_difference": parity_noise, "odds_difference": odds_noise}
        return float((decided == truth).mean()), auc, parity_difference, odds_difference


def compare_rates(decided: NDArray[np.bool_], group: NDArray[Any]) -> tuple[float, float]:
    """Return the largest difference between groups of how often something is decided, and its standard error.

    Both are NaN where fewer than two groups hold 20 rows; rows of negative ``group`` are left out.
    """
    sizes = {g: int((group == g).sum()) for g in np.unique(group[group >= 0])}
    rates = {g: float(decided[group == g].mean()) for g, size in sizes.items() if size >= _LEAST_ROWS}
    if len(rates) < 2:
        return math.nan, math.nan
    ends = max(rates, key=lambda g: rates[g]), min(rates, key=lambda g: rates[g])
    variance = sum(rates[g] * (1 - rates[g]) / sizes[g] for g in ends)
    return rates[ends[0]] - rates[ends[1]], math.sqrt(variance)


def _measure_constant(y: Tensor, weights: Tensor | None, task: Task) -> float:
    """Compute the task loss of the best answer that is the same for all rows."""
    w = (torch.ones(len(y)) if weights is None else weights).to(torch.float64)
    if task == "classification":
        shares = torch.zeros(int(y.max()) + 1, dtype=torch.float64).index_add(0, y, w) / w.sum()
        return float(-torch.special.xlogy(shares, shares).sum())
    means = (y * w[:, None]).sum(0) / w.sum()
    return float(((y - means).square().mean(dim=1) * w).sum() / w.sum())


def _allow_leakage(attribute: Attribute, c: Tensor) -> float:
    """Nats that may be left where no limit is given: the fewer, the less even the groups are."""
    if not isinstance(attribute, Categorical):
        return _LEAKAGE_OF_A_QUANTITY
    n, counts = max(attribute.sizes), torch.unique(c[~c.isnan()], return_counts=True)[1].double()
    evenness = (1 - (counts / counts.sum()).square().sum()) / (1 - 1 / n)
    return _LEAKAGE_OF_EVEN_GROUPS * (n - 1) * float(evenness)


def compare_rates(decided: NDArray[np.bool_], group: NDArray[Any]) -> float:
    """Largest difference between groups of how often something is decided; NaN of fewer than two groups."""
    rates = [decided[group == g].mean() for g in np.unique(group[group >= 0]) if (group == g).sum() >= _LEAST_ROWS]
    return float(max(rates) - min(rates)) if len(rates) > 1 else math.nan

