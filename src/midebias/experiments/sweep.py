"""What a sweep tries weights on, images or a table: trained with a weight, judged on held-out rows, one chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..attributes import Attribute, encode_columns
from ..columns import read_columns
from .image_data import hold_out
from .image_loading import load_images
from .image_run import run_method
from .weight_choice import RULE, WeightTrial, choose, choose_within

__all__ = ["Swept", "SweptImages", "SweptTable"]

_Right = np.ndarray[Any, np.dtype[np.float64]]
_BLOCKS = 10  # left out one at a time, for the standard error of a leakage
_RESAMPLES = 200


class Swept(Protocol):
    """Something whose weight is to be found.

    Attributes
    ----------
    dial : str
        What a weight is called: the option of the method that it is given to.
    rule : str
        How one is chosen, in a sentence.
    accuracy, leakage : str
        What the two figures of a trial are.
    """

    dial: str
    rule: str
    accuracy: str
    leakage: str

    def tried(self, weight: float) -> WeightTrial:
        """Train with a weight, from each seed, and judge it on held-out rows."""
        ...

    def chosen(self, trials: Sequence[WeightTrial]) -> int:
        """Index of the trial that the rule takes."""
        ...


class SweptImages:
    """Images, judged with the attribute exchanged; see `measure_exchanged_accuracy`. ``options`` are the command's.

    A quarter of the images is held out, from each of the ``seeds`` another.
    """

    dial, rule = "gradient_ratio", RULE
    accuracy, leakage = "held-out accuracy, attribute exchanged", "leakage I(Z;C|Y), nats"
    _columns: Mapping[str, str] = {
        "accuracy": "exchanged_accuracy",
        "leakage": "conditional_mi",
        "loss": "reweighted_loss",
    }

    def __init__(self, options: Mapping[str, Any], seeds: Sequence[int]) -> None:
        self._options, self._seeds = options, tuple(seeds)

    def tried(self, weight: float) -> WeightTrial:
        """See `Swept.tried`."""
        rows, resamples = list[dict[str, Any]](), []
        given: dict[str, Any] = {k: self._options.get(k) for k in ("limit", "image_size", "label", "attribute")}
        for seed in self._seeds:
            held = hold_out(load_images(self._options["dataset"], self._options["setting"], seed, **given), seed)
            outcome = run_method(
                "mib", held, epochs=self._options["epochs"], seed=seed, network=self._options["network"],
                evaluate_every=2**62, options={self.dial: weight},
            )  # fmt: skip
            rows.append(outcome.row)
            assert outcome.exchanged is not None
            resamples.append(outcome.exchanged.resamples)
        found: dict[str, float] = {}
        for name, column in self._columns.items():
            found |= _mean(name, [r[column] for r in rows], float(rows[0][f"{column}_stderr"]))
        return WeightTrial(weight, **found, resamples=np.mean(resamples, axis=0).tolist())

    def chosen(self, trials: Sequence[WeightTrial]) -> int:
        """See `choose`."""
        return choose(trials)


class SweptTable:
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

    def tried(self, weight: float) -> WeightTrial:
        """See `Swept.tried`. The leakage is that of the attribute of which most is told."""
        accuracies, leaks, resamples = [], [], []
        for seed in self._seeds:
            right, leakage = self._fitted(weight, seed)
            accuracies.append(float(right.mean()))
            leaks.append(leakage)
            draws = np.random.default_rng(seed).integers(len(right), size=(_RESAMPLES, len(right)))
            resamples.append(right[draws].mean(axis=1))
        found = _mean("accuracy", accuracies, float(np.std(resamples[0])))
        found |= _mean("leakage", [value for value, _ in leaks], leaks[0][1])
        return WeightTrial(weight, **found, resamples=np.mean(resamples, axis=0).tolist())

    def chosen(self, trials: Sequence[WeightTrial]) -> int:
        """See `choose_within`."""
        return choose_within(trials, plain=self.plain, tolerance=self._tolerance)

    @property
    def plain(self) -> float:
        """Held-out accuracy without a penalty, mean over seeds."""
        for seed in self._seeds:
            if seed not in self._without:
                self._without[seed] = float(self._fitted(0.0, seed)[0].mean())
        return float(np.mean(list(self._without.values())))

    def _fitted(self, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        order = np.random.default_rng(seed).permutation(len(self._frame))
        cut = len(order) // 3
        return self.judged(self._frame.iloc[order[cut:]], self._frame.iloc[order[:cut]], weight, seed)

    def judged(self, train: Any, held: Any, weight: float, seed: int) -> tuple[_Right, tuple[float, float]]:
        """Which of the ``held`` rows are answered right, (n,), and their leakage with its standard error."""
        from ..sklearn.base import MIDebiasClassifier

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
        return right, max(self._leakage(z, held[a], groups) for a in self._attributes)

    def _leakage(self, z: Tensor, column: Any, groups: Tensor | None) -> tuple[float, float]:
        from ..tabular.fit import measured_leakage

        c, kind = encode_columns(read_columns(column, "sensitive_features"))
        return measured_leakage(z, c, kind, groups), _jackknife(measured_leakage, z, c, kind, groups)


def _jackknife(measure: Callable[..., float], z: Tensor, c: Tensor, kind: Attribute, groups: Tensor | None) -> float:
    block = torch.arange(len(z)) % _BLOCKS
    values = np.array(
        [measure(z[keep], c[keep], kind, None if groups is None else groups[keep])
         for keep in (block != k for k in range(_BLOCKS))]
    )  # fmt: skip
    return float(np.sqrt((1 - 1 / _BLOCKS) * ((values - values.mean()) ** 2).sum()))


def _mean(name: str, values: Sequence[float], own: float) -> dict[str, float]:
    """Mean and standard error: between seeds where there are several, else within the held-out rows (``own``)."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else own
    return {name: float(np.mean(values)), f"{name}_stderr": error}
