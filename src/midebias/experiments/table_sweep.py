"""Weights tried on a table: judged on rows that were held out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attributes import Attribute, encode_columns
from ..columns import read_columns
from .weight_choice import WeightTrial, choose_within
from .weight_search import Sweep, average

_Right = np.ndarray[Any, np.dtype[np.float64]]
_BLOCKS = 10  # left out one at a time, for the standard error of a leakage
_RESAMPLES = 200


class TableSweep(Sweep):
    """A table: a third of its rows is held out, from each seed another.

    Parameters
    ----------
    frame : pandas.DataFrame
    label : str
    attributes : sequence of str
    criterion : {"separation", "independence"}
    epochs : int or None
    tolerance : float
        Accuracy that less leakage may cost.
    seeds : sequence of int
        Each weight is trained from each of them.
    """

    dial, accuracy = "mi_weight", "held-out accuracy"

    def __init__(
        self,
        frame: Any,
        *,
        label: str,
        attributes: Sequence[str],
        criterion: Any,
        epochs: int | None,
        tolerance: float,
        seeds: Sequence[int],
    ) -> None:
        self._frame, self._label, self._attributes = frame, label, list(attributes)
        self._criterion, self._epochs, self._tolerance = criterion, epochs, tolerance
        self._seeds, self._without = tuple(seeds), dict[int, float]()
        self.leakage = f"leakage {'I(Z;C)' if criterion == 'independence' else 'I(Z;C|Y)'}, nats"
        self.rule = (
            f"Chosen: the largest weight whose accuracy on held-out rows lies within {tolerance:g} of that of the "
            "same network without a penalty."
        )

    def try_weight(self, weight: float) -> WeightTrial:
        """Train with a weight and judge on held-out rows; the leakage is that of the attribute that leaks most."""
        accuracies, leaks, resamples = [], [], []
        for seed in self._seeds:
            right, leakage = self._split_and_judge(weight, seed)
            accuracies.append(float(right.mean()))
            leaks.append(leakage)
            draws = np.random.default_rng(seed).integers(len(right), size=(_RESAMPLES, len(right)))
            resamples.append(right[draws].mean(axis=1))
        found = average("accuracy", accuracies, float(np.std(resamples[0])))
        found |= average("leakage", [value for value, _ in leaks], leaks[0][1])
        return WeightTrial(weight, **found, resamples=np.mean(resamples, axis=0).tolist())

    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Take the largest weight that costs no more accuracy than it may, see `choose_within`."""
        return choose_within(trials, plain=self.plain, tolerance=self._tolerance)

    @property
    def plain(self) -> float:
        """Held-out accuracy without a penalty, mean over seeds."""
        for seed in self._seeds:
            if seed not in self._without:
                self._without[seed] = float(self._split_and_judge(0.0, seed)[0].mean())
        return float(np.mean(list(self._without.values())))

    def _split_and_judge(self, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        order = np.random.default_rng(seed).permutation(len(self._frame))
        cut = len(order) // 3
        return self.judge(self._frame.iloc[order[cut:]], self._frame.iloc[order[:cut]], weight, seed)

    def judge(self, train: Any, held: Any, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        """Train; which of the ``held`` rows are answered right, (n,), and their leakage with its standard error."""
        from ..sklearn import MIDebiasClassifier

        model = MIDebiasClassifier(
            criterion=self._criterion, mi_weight=weight, sensitive_columns=self._attributes, epochs=self._epochs,
            random_state=seed,
        )  # fmt: skip
        model.fit(train.drop(columns=self._label), train[self._label].to_numpy())
        inputs, truth = held.drop(columns=self._label), held[self._label].to_numpy()
        right = (model.predict(inputs) == truth).astype(np.float64)
        z = torch.from_numpy(model.transform(inputs))
        groups = None
        if self._criterion == "separation":
            groups = torch.from_numpy(np.unique(truth.astype(str), return_inverse=True)[1])
        return right, max(self._measure_leakage(z, held[a], groups) for a in self._attributes)

    def _measure_leakage(self, z: Tensor, column: Any, groups: Tensor | None) -> tuple[float, float]:
        from ..tabular.leakage import measure_leakage

        c, kind = encode_columns(read_columns(column, "sensitive_features"))
        return measure_leakage(z, c, kind, groups), _jackknife(measure_leakage, z, c, kind, groups)


def _jackknife(measure: Callable[..., float], z: Tensor, c: Tensor, kind: Attribute, groups: Tensor | None) -> float:
    block = torch.arange(len(z)) % _BLOCKS
    values = np.array(
        [measure(z[keep], c[keep], kind, None if groups is None else groups[keep])
         for keep in (block != k for k in range(_BLOCKS))]
    )  # fmt: skip
    return float(np.sqrt((1 - 1 / _BLOCKS) * ((values - values.mean()) ** 2).sum()))
