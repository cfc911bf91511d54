"""Weights tried on images: judged on held-out ones with the attribute exchanged."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .image_data import hold_out
from .image_loading import load_images
from .own_images import FOLDER_OPTIONS
from .weight_choice import RULE, WeightTrial, choose_weight
from .weight_search import Sweep

RUN_OPTIONS = ("network_weights", "batch_size", "learning_rate", "accelerator", "precision")


class ImageSweep(Sweep):
    """Images, a quarter of them held out and judged with the attribute exchanged; ``options`` are the command's."""

    dial, rule = "gradient_ratio", RULE
    accuracy, leakage = "held-out accuracy, attribute exchanged", "leakage I(Z;C|Y), nats"
    _columns: Mapping[str, str] = {
        "accuracy": "exchanged_accuracy", "leakage": "conditional_mi", "loss": "reweighted_loss",
    }  # fmt: skip

    def __init__(self, options: Mapping[str, Any], seeds: Sequence[int]) -> None:
        self._options, self.seeds = options, tuple(seeds)

    def prepare(self, weight: float, seed: int) -> Any:
        """Prepare the `ImageRun`. Raises `InputError` where network, data and device do not fit."""
        from ..lightning import make_trainer
        from .image_run import ImageRun

        given: dict[str, Any] = {k: self._options.get(k) for k in ("limit", *FOLDER_OPTIONS)}
        data = hold_out(load_images(self._options["dataset"], self._options["setting"], seed, **given), seed)
        return ImageRun(
            "mib", data, epochs=self._options["epochs"], seed=seed, network=self._options["network"],
            trainer=make_trainer(accelerator=self._options.get("accelerator") or "auto", devices=1),
            weights=self._options.get("network_weights"), evaluate_every=sys.maxsize, options={self.dial: weight},
            **{k: self._options.get(k) for k in ("batch_size", "learning_rate", "precision")},
        )  # fmt: skip

    def judge_seed(self, weight: float, seed: int) -> tuple[dict[str, tuple[float, float]], Sequence[float]]:
        """Train "mib" with a gradient ratio and judge it on held-out images."""
        outcome = self.prepare(weight, seed).train()
        assert outcome.exchanged is not None
        figures = {k: (outcome.row[c], float(outcome.row[f"{c}_stderr"])) for k, c in self._columns.items()}
        return figures, outcome.exchanged.resamples

    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Take the largest weight that is as accurate as the best, see `choose_weight`."""
        return choose_weight(trials)
