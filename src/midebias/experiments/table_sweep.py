"""Weights tried on a table: judged on rows that were held out."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attributes import Attribute, encode_columns
from ..column_kinds import read_columns
from ..tabular.leakage import measure_leakage
from .weight_choice import WeightTrial, choose_within
from .weight_search import Sweep

_Right = np.ndarray[Any, np.dtype[np.float64]]
_BLOCKS = 10  # left out one at a time, for the standard error of a leakage
_RESAMPLES = 200


@dataclass
class TableSweep(Sweep):
    """A table (pandas.DataFrame): a third of its rows is held out, from each seed another."""

    frame: Any
    _: KW_ONLY
    label: str
    attributes: Sequence[str]
    criterion: Any
    epochs: int | None
    tolerance: float  # accuracy that less leakage may cost
    seeds: Sequence[int]

    dial, accuracy = "mi_weight", "held-out accuracy"

    def __post_init__(self) -> None:
        self.leakage = f"leakage {'I(Z;C)' if self.criterion == 'independence' else 'I(Z;C|Y)'}, nats"
        self.rule = (
            f"Chosen: the largest weight whose accuracy on held-out rows lies within {self.tolerance:g} of that of the "
            "same network without a penalty."
        )

    def judge_seed(self, weight: float, seed: int) -> tuple[dict[str, tuple[float, float]], Sequence[float]]:
        """Train with a weight and judge on held-out rows; the leakage is that of the attribute that leaks most."""
        right, leakage = self._split_and_judge(weight, seed)
        draws = np.random.default_rng(seed).integers(len(right), size=(_RESAMPLES, len(right)))
        resamples = right[draws].mean(axis=1)
        return {"accuracy": (float(right.mean()), float(np.std(resamples))), "leakage": leakage}, resamples.tolist()

    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Take the largest weight that costs no more accuracy than it may, see `choose_within`."""
        return choose_within(trials, plain=self.plain, tolerance=self.tolerance)

    @cached_property
    def plain(self) -> float:
        """Held-out accuracy without a penalty, mean over seeds."""
        return float(np.mean([self._split_and_judge(0.0, seed)[0].mean() for seed in dict.fromkeys(self.seeds)]))

    def _split_and_judge(self, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        order = np.random.default_rng(seed).permutation(len(self.frame))
        cut = len(order) // 3
        return self.judge(self.frame.iloc[order[cut:]], self.frame.iloc[order[:cut]], weight, seed)

    def judge(self, train: Any, held: Any, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        """Train; which of the ``held`` rows are answered right, (n,), and their leakage with its standard error."""
        from ..sklearn import MIDebiasClassifier

        model = MIDebiasClassifier(
            criterion=self.criterion, mi_weight=weight, sensitive_columns=self.attributes, epochs=self.epochs,
            random_state=seed,
        )  # fmt: skip
        model.fit(train.drop(columns=self.label), train[self.label].to_numpy())
        inputs, truth = held.drop(columns=self.label), held[self.label].to_numpy()
        right = (model.predict(inputs) == truth).astype(np.float64)
        z = torch.from_numpy(model.transform(inputs))
        groups = None
        if self.criterion == "separation":
            groups = torch.from_numpy(np.unique(truth.astype(str), return_inverse=True)[1])
        leaks = []
        for name in self.attributes:
            given = (z, *encode_columns(read_columns(held[name], "sensitive_features")), groups)
            leaks.append((measure_leakage(*given), _jackknife(*given)))
        return right, max(leaks)


def _jackknife(z: Tensor, c: Tensor, kind: Attribute, groups: Tensor | None) -> float:
    """Standard error of `measure_leakage`."""
    block = torch.arange(len(z)) % _BLOCKS
    values = np.array(
        [measure_leakage(z[keep], c[keep], kind, None if groups is None else groups[keep])
         for keep in (block != k for k in range(_BLOCKS))]
    )  # fmt: skip
    return float(np.sqrt((1 - 1 / _BLOCKS) * ((values - values.mean()) ** 2).sum()))
