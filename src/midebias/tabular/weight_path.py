"""The penalty's weight, chosen on rows held aside: of those along a path, the least that keeps all limits."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute, Categorical, split_attribute
from .leakage import measure_leakage
from .targets import Task, compute_task_loss

POINTS = 14
_LOWEST, _HIGHEST = 0.01, 10.0  # of the weight that is used where none is looked for
_DEFAULT_HIGHEST = {"independence": 1.25, "separation": 0.75}  # where no limit is given; decisions count twice there
_KEPT = (0.75, 0.4)  # of the task, where the decisions differ little between groups, and where they do
_DISPARITIES = {"independence": ("parity_difference", 0.02), "separation": ("odds_difference", 0.04)}
_LEAST_ROWS = 20  # of a group, for its rate to be compared
_FEW = 0.2  # of the answers of the rarer class that a plain model gives: then decisions are as good as constant


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
        Names of measures of `FrontPoint` with what each may be at most: the least weight that keeps them is taken. If
        empty, the path ends near ``mi_weight``, and the largest weight is taken that leaves three quarters of what the
        task can do, or four tenths while decisions differ between groups.
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
        self._shares: list[NDArray[np.float64]] = []  # of the classes among the answers, at each point
        self.chosen: int | None = None

    def list_weights(self, n: int) -> list[float]:
        """Return n weights, geometrically from the least to the largest."""
        highest = _DEFAULT_HIGHEST[self.criterion] if self.is_default else _HIGHEST
        return (self.usual * np.geomspace(_LOWEST, highest, n)).tolist()

    def find_rate(self, mi_weight: float) -> float:
        """Find the share of the learning rate that suits a weight: the objective is the steeper the larger it is."""
        return max(0.05, 0.4 / (1 + 4 * mi_weight / self.usual))

    @torch.no_grad()
    def observe(self, network: Any, mi_weight: float, x: Tensor, y: Tensor, c: Tensor, weights: Tensor | None) -> None:
        """Measure the network of this weight on rows held aside."""
        network.eval()
        outputs, z = network(x)
        network.train()
        state = {k: v.clone() for k, v in network.state_dict().items()}
        groups = None if self.groups_of is None else self.groups_of(y)
        parts, columns = self._split(c)
        leakage = max(
            measure_leakage(z, k, part, groups, seed=self.seed) for part, k in zip(parts, columns, strict=True)
        )
        found = (math.nan,) * 4
        if self.task == "classification":
            found = self._measure_decisions(outputs, y, parts, columns)
        loss = float(compute_task_loss(outputs, y, weights, self.task))
        if not self.points:
            self._loss_of_a_constant = _measure_constant(y, weights, self.task)
        self.points.append(FrontPoint(mi_weight, loss, *found, leakage, state))

    def choose(self) -> FrontPoint:
        """Take the point of the least weight that keeps all limits, or that of the largest weight."""
        if self.is_default:
            self.chosen = self._choose_by_default()
        else:
            kept = np.ones(len(self.points), dtype=bool)
            for name, limit in self.limits.items():
                # A larger weight leaves less; what else it shows is the noise of few rows.
                kept &= fit_monotone([getattr(point, name) for point in self.points], increasing=False) <= limit
            # What has learned nothing yet leaks nothing either.
            learned = kept & (np.array([point.loss for point in self.points]) < self._loss_of_a_constant)
            kept = learned if learned.any() else kept
            self.chosen = int(kept.argmax()) if kept.any() else len(kept) - 1
        return self.points[self.chosen]

    def _choose_by_default(self) -> int:
        """Find the largest weight that leaves enough of the task; a larger one where decisions still differ too much.

        What the task keeps is told by how it ranks or, where there are not two classes, by its loss.
        """
        gains = [point.auc - 0.5 for point in self.points]
        if math.isnan(gains[0]):
            gains = [self._loss_of_a_constant - point.loss for point in self.points]
        smooth = fit_monotone(gains, increasing=False)
        enough, least = (int((smooth >= share * smooth[0]).sum()) - 1 for share in _KEPT)
        name, limit = _DISPARITIES[self.criterion]
        uneven = fit_monotone([getattr(point, name) for point in self.points], increasing=False) > limit
        return max(enough, min(int(uneven.sum()), least), 0)

    @property
    def is_constant(self) -> bool:
        """Whether the chosen point answers nearly alike for all rows held aside, where a plain model does not."""
        if not self._shares:
            return False
        plain, chosen = self._shares[0], self._shares[self.chosen or 0]
        return 1 - float(chosen.max()) < _FEW * (1 - float(plain.max()))

    def move_decision(self, outputs: Tensor) -> Tensor:
        """Find what to add to outputs (n, n_outputs) before deciding, so that two classes are both answered.

        Where the rarer class is answered for less than a fifth of the rows that a plain model answers it for, the rows
        it is likeliest for are; else nothing is moved.
        """
        offset = outputs.new_zeros(outputs.shape[1])
        if len(offset) != 2 or not self.is_default or not self._shares:
            return offset
        rare = int(self._shares[0].argmin())
        share = _FEW * float(self._shares[0][rare])
        margins = outputs[:, rare] - outputs[:, 1 - rare]
        if share > 0 and float((margins > 0).double().mean()) < share:
            offset[rare] = -margins.quantile(1 - share)
        return offset

    def describe_misses(self) -> str:
        """Name the limits that the chosen point does not keep; empty if there are none."""
        point = self.points[self.chosen or 0]
        missed = [
            f"max_{'mi' if name == 'leakage' else name}={limit:g} ({getattr(point, name):.3g} on the rows held aside)"
            for name, limit in self.limits.items()
            if not self.is_default and not getattr(point, name) <= limit  # NaN: too few rows to measure it
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
        parity, odds = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
        for part, column in zip(parts, columns, strict=True):
            if isinstance(part, Categorical):
                group = np.nan_to_num(column[:, 0].double().numpy(), nan=-1.0)
                n = max(part.sizes)
                parity += [measure_rates(decided == label, group, n) for label in labels]
                odds += [
                    measure_rates(decided[truth == t] == label, group[truth == t], n)
                    for label in labels
                    for t in np.unique(truth)
                ]
        self._shares.append(np.bincount(decided, minlength=outputs.shape[1]) / len(decided))
        return float((decided == truth).mean()), auc, compare_rates(parity), compare_rates(odds)


def fit_monotone(values: Sequence[float], *, increasing: bool) -> NDArray[np.float64]:
    """Fit the monotone sequence nearest to values (n,); what is not known counts as zero."""
    from sklearn.isotonic import isotonic_regression

    return np.asarray(isotonic_regression(np.nan_to_num(values), increasing=increasing))


def measure_rates(decided: NDArray[np.bool_], group: NDArray[Any], n_groups: int) -> NDArray[np.float64]:
    """Compute how often something is decided in each group 0 .. n_groups - 1; NaN of fewer than 20 rows."""
    sizes = [(group == g).sum() for g in range(n_groups)]
    return np.array([decided[group == g].mean() if n >= _LEAST_ROWS else math.nan for g, n in enumerate(sizes)])


def compare_rates(rates: Sequence[NDArray[np.float64]]) -> float:
    """Find the largest difference between groups, of several rates; NaN where fewer than two groups are known."""
    known = [of_groups[~np.isnan(of_groups)] for of_groups in rates]
    return max((float(np.ptp(of_groups)) for of_groups in known if len(of_groups) > 1), default=math.nan)


def _measure_constant(y: Tensor, weights: Tensor | None, task: Task) -> float:
    """Compute the task loss of the best answer that is the same for all rows."""
    w = (torch.ones(len(y)) if weights is None else weights).to(torch.float64)
    if task == "classification":
        shares = torch.zeros(int(y.max()) + 1, dtype=torch.float64).index_add(0, y, w) / w.sum()
        return float(-torch.special.xlogy(shares, shares).sum())
    means = (y * w[:, None]).sum(0) / w.sum()
    return float(((y - means).square().mean(dim=1) * w).sum() / w.sum())
