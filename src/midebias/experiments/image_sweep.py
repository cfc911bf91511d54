"""Weights tried on images: judged on held-out ones with the attribute exchanged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .image_data import hold_out
from .image_loading import load_images
from .image_run import run_method
from .weight_choice import RULE, WeightTrial, choose_weight
from .weight_search import Sweep, average


class ImageSweep(Sweep):
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

    def try_weight(self, weight: float) -> WeightTrial:
        """Train "mib" with a gradient ratio and judge it on held-out images."""
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
            found |= average(name, [r[column] for r in rows], float(rows[0][f"{column}_stderr"]))
        return WeightTrial(weight, **found, resamples=np.mean(resamples, axis=0).tolist())

    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Take the largest weight that is as accurate as the best, see `choose_weight`."""
        return choose_weight(trials)
