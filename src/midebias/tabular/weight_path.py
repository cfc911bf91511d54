"""The penalty's weight, chosen on rows held aside: of those along a path, the least that keeps all limits."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute, Categorical, split_attribute
from ..errors import InputError
from .disparities import find_largest, list_differences
from .leakage import measure_leakage
from .targets import Task, compute_task_loss

POINTS = 16
_LOWEST, _HIGHEST, _HIGHEST_UNDER_LIMITS = 0.015, 4.0, 10.0  # of the weight that is used where none is looked for
_DISPARITIES = {"independence": ("parity_difference", 0.01), "separation": ("odds_difference", 0.02)}  # by default
_LEAKAGE_OF_A_CATEGORY, _LEAKAGE_OF_A_QUANTITY = 0.0075, 0.004  # times Gini's index of the category
_KEPT = 0.4  # of the task at least, where no limit is given
_ERRORS_HELD, _ERRORS = 1.0, 0.25  # standard errors by which a measure may pass its limit, by default and else
_ROWS_SEEN = 4096  # of those trained on, which are asked besides where few are held aside
_MOST_CROSSED = 64
_FEW, _FEWEST = 0.1, 0.005  # of the answers of the rarer class that a plain model gives, and of all rows


class Reading(NamedTuple):
    """What z and decisions show of one attribute, see `FrontPoint`."""

    leakage: float
    parity_difference: float
    odds_difference: float


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
    readings : dict
        The last three of each attribute, by its name, and of the groups of all categorical ones crossed, "race x sex".
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
    readings: Mapping[str, Reading] = field(compare=False)
    state: Mapping[str, Tensor] = field(repr=False, compare=False)


class WeightPath:
    """Weights from small to large, what rows held aside say of each, and which one is taken.

    Rows held aside are few, and their largest difference between groups is chance as often as not. So a default limit
    counts as kept where they pass it by no more than a standard error, and the rows trained on by no more than a
    quarter of one; a given limit where neither passes it by more than that quarter.

    Parameters
    ----------
    mi_weight : float
        What is used where none is looked for. The path goes from a little of it to four times as much, or ten times
        under limits.
    limits : mapping
        Names of measures of `FrontPoint` with what each may be at most, for all attributes or in a mapping of their
        names: the least weight that keeps them is taken. If empty, limits on leakage and on the criterion's disparity
        stand in, and no more than six tenths of what the task can do are given up for them.
    attribute, groups_of, task, criterion, seed
        As of `TabularTrainer` and `TabularPenalty`.
    names : sequence of str
        Of the attributes.
    """

    def __init__(
        self, mi_weight: float, limits: Mapping[str, float | Mapping[str, float]], attribute: Attribute, *,
        names: Sequence[str], criterion: str, task: Task, groups_of: Callable[[Tensor], Tensor] | None, seed: int,
    ) -> None:  # fmt: skip
        self.is_default = not limits
        self.criterion, self.task, self.groups_of = criterion, task, groups_of
        self.seed, self.usual = seed, mi_weight
        self.points: list[FrontPoint] = []
        self.chosen: int | None = None
        self._shares: NDArray[np.float64] | None = None  # of the classes among the answers of a plain model
        self._bounds: list[dict[str, Reading]] = []  # what limits are compared with, at each point
        self._loss_of_a_constant = math.nan
        self._parts = dict(zip(names, split_attribute(attribute), strict=True))
        self._crossing = [name for name, part in self._parts.items() if isinstance(part, Categorical)]
        n_crossed = math.prod(self._parts[name].dim for name in self._crossing)
        if len(self._crossing) > 1 and n_crossed <= _MOST_CROSSED:
            self._parts[" x ".join(self._crossing)] = Categorical(n_crossed)
        self._names = tuple(names)
        self.limits = self._spread_limits(limits)

    def _spread_limits(self, limits: Mapping[str, float | Mapping[str, float]]) -> list[tuple[str, str, float]]:
        """List measure, attribute and limit of each."""
        spread = []
        for measure, limit in limits.items():
            of = limit if isinstance(limit, Mapping) else dict.fromkeys(self._names, limit)
            budget = _name_budget(measure)
            unknown = next((name for name in of if name not in self._parts), None)
            if unknown is not None:
                raise InputError(f"{budget} names {unknown!r}, which is none of: {', '.join(self._parts)}")
            fit = [n for n in of if measure == "leakage" or isinstance(self._parts[n], Categorical)]
            if not fit or (isinstance(limit, Mapping) and len(fit) < len(of)):
                raise InputError(f"{budget} compares groups, and sensitive_features are quantities: use max_mi")
            spread += [(measure, name, of[name]) for name in fit]
        return spread

    def list_weights(self, n: int) -> list[float]:
        """Return n weights, geometrically from the least to the largest."""
        highest = _HIGHEST if self.is_default else _HIGHEST_UNDER_LIMITS
        return (self.usual * np.geomspace(_LOWEST, highest, n)).tolist()

    def find_rate(self, mi_weight: float) -> float:
        """Find the share of the learning rate that suits a weight: the objective is the steeper the larger it is."""
        return max(0.05, 0.4 / (1 + 4 * mi_weight / self.usual))

    @torch.no_grad()
    def observe(self, network: Any, mi_weight: float, held: Any, seen: Any) -> None:
        """Measure the network of this weight on rows held aside and on rows trained on, both as of `TabularTrainer`."""
        network.eval()
        outputs, z = network(held.x)
        if not self.points:
            self._loss_of_a_constant = _measure_constant(held.y, held.weights, self.task)
            self.limits = self.limits or self._list_default_limits(held.c)
        readings, bounds = self._read(outputs, z, held, _ERRORS_HELD if self.is_default else _ERRORS)
        if len(held) < _ROWS_SEEN:
            seen = seen[torch.arange(min(_ROWS_SEEN, len(seen)))]
            of_seen = network(seen.x)
            _, others = self._read(of_seen[0], of_seen[1], seen, _ERRORS)
            bounds = {name: Reading(*map(_find_max, zip(bounds[name], others[name], strict=True))) for name in bounds}
        accuracy, auc = math.nan, math.nan
        if self.task == "classification":
            decided, truth = outputs.argmax(1).numpy(), held.y.numpy()
            accuracy, auc = float((decided == truth).mean()), _measure_auc(outputs, truth)
            if self._shares is None:
                answers = torch.cat([outputs, network(seen.x)[0]]).argmax(1)
                self._shares = torch.bincount(answers, minlength=outputs.shape[1]).numpy() / len(answers)
        network.train()
        largest = Reading(*map(_find_max, zip(*(readings[name] for name in self._names), strict=True)))
        loss = float(compute_task_loss(outputs, held.y, held.weights, self.task))
        state = {k: v.clone() for k, v in network.state_dict().items()}
        self._bounds.append(bounds)
        point = FrontPoint(mi_weight, loss, accuracy, auc, **largest._asdict(), readings=readings, state=state)
        self.points.append(point)

    def choose(self) -> FrontPoint:
        """Take the point of the least weight that keeps all limits, or that of the largest weight that may be taken."""
        kept = np.ones(len(self.points), dtype=bool)
        for measure, name, limit in self.limits:
            # A larger weight leaves less; what else it shows is the noise of few rows.
            kept &= fit_monotone([getattr(bound[name], measure) for bound in self._bounds], increasing=False) <= limit
        if self.is_default:
            self.chosen = min(int(kept.argmax()) if kept.any() else len(kept) - 1, self._find_last_that_tells())
        else:
            # What has learned nothing yet leaks nothing either.
            learned = kept & (np.array([point.loss for point in self.points]) < self._loss_of_a_constant)
            kept = learned if learned.any() else kept
            self.chosen = int(kept.argmax()) if kept.any() else len(kept) - 1
        return self.points[self.chosen]

    def _find_last_that_tells(self) -> int:
        """Find the largest weight that leaves enough of the task: of how it ranks or, of other tasks, of its loss."""
        gains, share = [point.auc - 0.5 for point in self.points], _KEPT
        if math.isnan(gains[0]):  # a loss falls with the square of what is told
            gains, share = [self._loss_of_a_constant - point.loss for point in self.points], _KEPT**2
        smooth = fit_monotone(gains, increasing=False)
        return max(0, int((smooth >= share * smooth[0]).sum()) - 1)

    def _list_default_limits(self, c: Tensor) -> list[tuple[str, str, float]]:
        limits = []
        for name, (part, column) in self._list_columns(c, self._names).items():
            if isinstance(part, Categorical):
                values, present = part.encode(column)
                gini = 1 - float(values[present].double().mean(0).square().sum())
                measure, limit = _DISPARITIES[self.criterion]
                limits += [("leakage", name, _LEAKAGE_OF_A_CATEGORY * gini), (measure, name, limit)]
            else:
                limits.append(("leakage", name, _LEAKAGE_OF_A_QUANTITY))
        return limits

    def move_decision(self, outputs: Tensor) -> Tensor:
        """Find what to add to outputs (n, n_outputs) before deciding, so that two classes are both answered.

        Where the rarer class is answered for less than a tenth of the rows that a plain model answers it for, or for
        fewer than one in 200, the rows it is likeliest for are; else, or where ranks tell nothing, nothing is moved.
        """
        offset = outputs.new_zeros(outputs.shape[1])
        if self._shares is None or len(offset) != 2 or not self.is_default or self.points[self.chosen or 0].auc <= 0.5:
            return offset
        rare = int(self._shares.argmin())
        share = max(_FEW * float(self._shares[rare]), _FEWEST)
        margins = outputs[:, rare] - outputs[:, 1 - rare]
        if float((margins > 0).double().mean()) < share:
            offset[rare] = -margins.quantile(1 - share)
        return offset

    def describe_misses(self) -> str:
        """Name the limits that the chosen point does not keep; empty if there are none."""
        at = self.chosen or 0
        missed = [
            f"{_name_budget(measure)}={limit:g}{f' of {name!r}' if len(self._names) > 1 else ''} "
            f"({getattr(self.points[at].readings[name], measure):.3g} on the rows held aside)"
            for measure, name, limit in self.limits
            # NaN: too few rows to measure it
            if not self.is_default and not getattr(self._bounds[at][name], measure) <= limit
        ]
        return " and ".join(missed)

    def _read(
        self, outputs: Tensor, z: Tensor, rows: Any, errors: float
    ) -> tuple[dict[str, Reading], dict[str, Reading]]:
        """What rows show of each attribute, and the same less so many standard errors."""
        groups = None if self.groups_of is None else self.groups_of(rows.y)
        decided, truth = outputs.argmax(1).numpy(), rows.y.numpy()
        labels = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
        found, bounds = {}, {}
        for name, (part, column) in self._list_columns(rows.c, tuple(self._parts)).items():
            leakage = measure_leakage(z, column, part, groups, seed=self.seed)
            error = estimate_error(leakage, part, int((~column.isnan()).sum()))
            differences: list[list[NDArray[np.float64]]] = [[np.empty((0, 2))], [np.empty((0, 2))]]
            if self.task == "classification" and isinstance(part, Categorical):
                group = np.nan_to_num(column.double().numpy(), nan=-1.0)
                differences[0] += [list_differences(decided == k, group, part.dim) for k in labels]
                differences[1] += [
                    list_differences(decided[truth == t] == k, group[truth == t], part.dim)
                    for k in labels
                    for t in np.unique(truth)
                ]
            parity, odds = map(np.concatenate, differences)
            found[name] = Reading(leakage, find_largest(parity), find_largest(odds))
            bounds[name] = Reading(leakage - errors * error, find_largest(parity, errors), find_largest(odds, errors))
        return found, bounds

    def _list_columns(self, c: Tensor, names: Sequence[str]) -> dict[str, tuple[Attribute, Tensor]]:
        """The column (n,) of each attribute, NaN where it is missing."""
        columns = dict(zip(self._names, c.reshape(len(c), -1).float().T, strict=True))
        for name in set(names) - set(columns):
            crossed = torch.zeros(len(c))
            for part in self._crossing:
                crossed = crossed * self._parts[part].dim + columns[part]
            columns[name] = crossed
        return {name: (self._parts[name], columns[name]) for name in names}


def estimate_error(leakage: float, attribute: Attribute, n: int) -> float:
    """Estimate the standard error of `measure_leakage` on n rows, in nats: near zero that of eight free features."""
    q = attribute.dim - 1 if isinstance(attribute, Categorical) else attribute.dim
    return math.sqrt(2 * max(leakage, 0.0) / n + 4 * q / n**2) if n else math.inf


def fit_monotone(values: Sequence[float], *, increasing: bool) -> NDArray[np.float64]:
    """Fit the monotone sequence nearest to values (n,); what is not known counts as zero."""
    from sklearn.isotonic import isotonic_regression

    return np.asarray(isotonic_regression(np.nan_to_num(values), increasing=increasing))


def _name_budget(measure: str) -> str:
    return "max_mi" if measure == "leakage" else f"max_{measure}"


def _find_max(values: Sequence[float]) -> float:
    """The largest of values that are known; NaN where none is."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _measure_auc(outputs: Tensor, truth: NDArray[Any]) -> float:
    from sklearn.metrics import roc_auc_score

    if outputs.shape[1] != 2 or not 0 < truth.mean() < 1:
        return math.nan
    return float(roc_auc_score(truth, (outputs[:, 1] - outputs[:, 0]).numpy()))


def _measure_constant(y: Tensor, weights: Tensor | None, task: Task) -> float:
    """Compute the task loss of the best answer that is the same for all rows."""
    w = (torch.ones(len(y)) if weights is None else weights).to(torch.float64)
    if task == "classification":
        shares = torch.zeros(int(y.max()) + 1, dtype=torch.float64).index_add(0, y, w) / w.sum()
        return float(-torch.special.xlogy(shares, shares).sum())
    means = (y * w[:, None]).sum(0) / w.sum()
    return float(((y - means).square().mean(dim=1) * w).sum() / w.sum())
