"""Weights tried on images: judged on held-out ones with the attribute exchanged."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .comparison import ImageCell
from .own_images import FOLDER_OPTIONS
from .weight_choice import RULE, WeightTrial, choose_weight
from .weight_search import Sweep

RUN_OPTIONS = ("epochs", "network", "batch_size", "learning_rate", "accelerator", "precision")


class ImageSweep(Sweep):
    """Images, a quarter of them held out and judged with the attribute exchanged; ``options`` are the command's."""

    dial, rule = "gradient_ratio", RULE
    accuracy, leakage = "held-out accuracy, attribute exchanged", "leakage I(Z;C|Y), nats"
    _columns: Mapping[str, str] = {
        "accuracy": "exchanged_accuracy", "leakage": "conditional_mi", "loss": "reweighted_loss",
    }  # fmt: skip

    def __init__(self, options: Mapping[str, Any], seeds: Sequence[int]) -> None:
        self._options, self.seeds = options, tuple(seeds)

    def prepare(self, weight: float, seed: int, **loading: Any) -> Any:
        """Prepare the `ImageRun`, on images so loaded. Raises `InputError` where network or device do not fit them."""
        given, method = self._options, f"mib:{self.dial}={weight}"
        options: dict[str, Any] = {k: given.get(k) for k in ("limit", *RUN_OPTIONS, *FOLDER_OPTIONS)}
        options |= {"held_out": True, "weights": given.get("network_weights")}
        cell = ImageCell(given["dataset"], given["setting"], method, seed, **options)
        return cell.prepare(cell.load(**loading), evaluate_every=sys.maxsize)

    def judge_seed(self, weight: float, seed: int) -> tuple[dict[str, tuple[float, float]], Sequence[float]]:
        """Train "mib" with a gradient ratio and judge it on held-out images."""
        outcome = self.prepare(weight, seed).train()
        assert outcome.exchanged is not None
        figures = {k: (outcome.row[c], float(outcome.row[f"{c}_stderr"])) for k, c in self._columns.items()}
        return figures, outcome.exchanged.resamples

    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Take the largest weight that is as accurate as the best, see `choose_weight`."""
        return choose_weight(trials)
