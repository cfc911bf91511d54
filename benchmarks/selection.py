"""What a rule of choice is worth: each method's curve, read by four rules, one of which sees the unbiased test.

A quarter of the biased training images is held out. Every method is trained once, and tested several times an epoch on
those images and on the unbiased test images. The network of the last step is one choice; others are the best by plain
accuracy on the held-out images, by the same weighted by 1/p(y|c), and by accuracy on the test images themselves, which
is what many published tables do and nobody can do without unbiased images.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch

from midebias.experiments.image_data import ImageData, hold_out
from midebias.experiments.image_methods import build_for_images, parse_method
from midebias.experiments.planted_images import load_planted_images
from midebias.experiments.summary import format_spread, summarize_runs
from midebias.lightning import MethodModule
from midebias.training.evaluation import evaluate
from midebias.training.logit_adjustment import LogitAdjustment

from .script import Script, format_table

__all__ = ["CHOICES", "choose", "measure_curve", "render_table", "weight_rows"]

CHOICES = {
    "last": "last step", "held_out": "held-out biased", "held_out_reweighted": "held-out biased, reweighted",
    "test": "unbiased test",
}  # fmt: skip


def choose(curve: Mapping[str, list[float]], rule: str) -> float:
    """Test accuracy at the point of the ``curve`` that a rule of `CHOICES` takes; of equal ones the earliest."""
    accuracy = curve["test"]
    if rule == "last":
        return accuracy[-1]
    values = curve[rule]
    return accuracy[values.index(max(values))]


def weight_rows(data: ImageData, seed: int) -> torch.Tensor:
    """Weights of held-out images by 1/p(y|c), truncated at the root of n times their mean, with mean 1."""
    unbiased = LogitAdjustment(data.problem.attribute, data.problem.n_classes, rebalance=1.0, seed=seed)
    weights = unbiased.fit(data.train.c, data.train.y).sampling_weights(data.test.c, data.test.y)
    weights = weights.clamp(max=float(weights.mean()) * len(weights) ** 0.5)
    return weights / weights.mean()


def measure_curve(
    data: ImageData, method: str, *, network: str, epochs: int, tests: int, test_images: int, seed: int
) -> dict[str, list[float]]:  # fmt: skip
    """Train on three quarters of the biased images; accuracies by rule, ``tests`` times an epoch and at the end."""
    held = hold_out(data, seed)
    name, options = parse_method(method)
    built = build_for_images(name, held, seed=seed, network=network, options=options)
    run = MethodModule(built, held.train, epochs=epochs, seed=seed)
    unbiased, weights = data.test.part(torch.arange(min(test_images, len(data.test)))), weight_rows(held, seed)
    curve: dict[str, list[float]] = {"step": [], "held_out": [], "held_out_reweighted": [], "test": []}
    while not run.finished:
        run.advance(max(1, run.steps_per_epoch // tests))
        on_held, on_test = (
            (evaluate(built, images)[1].argmax(1) == images.y).double() for images in (held.test, unbiased)
        )
        points = float(run.done_steps), *map(float, (on_held.mean(), (on_held * weights).mean(), on_test.mean()))
        for column, value in zip(curve, points, strict=True):
            curve[column].append(round(value, 5))
    return curve


def render_table(document: Mapping[str, Any]) -> str:
    """Markdown: test accuracy by rule of choice, and what the oracle adds to the last step."""
    by = ("dataset", "setting", "method")
    lines = format_table(
        ("data", "setting", "method", *CHOICES.values()),
        [
            (r["dataset"], r["setting"], r["method"], *(format_spread(r, rule) for rule in CHOICES))
            for r in summarize_runs(document["rows"], by=by, columns=tuple(CHOICES))
        ],
        left=3,
    )  # fmt: skip
    note = (
        "Accuracy on the unbiased test images of the network that each rule takes. A quarter of the biased training "
        f"images was held out. `{document['command']}`"
    )
    return "\n".join([*lines, "", note])


def main() -> None:
    """Measure what is asked for, and write the rows with their curves."""
    script = Script(
        "selection", __doc__, data=["biased-mnist", "biased-fashion:texture"], settings=[0.995], root=None,
        methods=["plain", "balanced", "group_dro", "domain_independent", "bias_contrastive", "fair_kl", "mib"],
        network="paper", limit=12000, epochs=5, tests=1, test_images=5000, seeds=[0],
    )  # fmt: skip
    given, rows = script.given, list[dict[str, Any]]()
    for dataset, setting, seed in product(given["data"], given["settings"], given["seeds"]):
        root = given["root"] if "fashion" in dataset else None
        data = load_planted_images(dataset, setting, seed, limit=given["limit"], root=root)
        for method in given["methods"]:
            settings = {name: given[name] for name in ("network", "epochs", "tests", "test_images")}
            curve = measure_curve(data, method, **settings, seed=seed)
            row = {"dataset": data.dataset, "setting": data.setting, "method": method, "seed": seed}
            rows.append(row | {rule: choose(curve, rule) for rule in CHOICES} | {"curve": curve})
            script.write(rows, given["seeds"])


if __name__ == "__main__":
    main()
