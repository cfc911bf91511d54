"""What debiasing costs, on the whole of Colored MNIST: writes ``results/cost.json``.

python -m benchmarks.cost --output results/cost.json
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from midebias.errors import InputError
from midebias.experiments.image_data import ImageData
from midebias.experiments.image_methods import build_method
from midebias.experiments.planted_images import load_planted_images
from midebias.experiments.process import keep_freed_memory
from midebias.experiments.published import PUBLISHED
from midebias.lightning import MethodModule
from midebias.training.data import TrainingData
from midebias.training.evaluation import evaluate

from .markdown.comparison import name_method
from .script import Script

_LOG = logging.getLogger("benchmarks")
_TURN = 13  # steps before the next method's turn: long enough to leave caches behind, short enough to share the weather
_CRITIC_STEPS = 40  # of the reference recipe


def time_over_plain(data: TrainingData, names: list[str], *, epochs: int) -> list[dict[str, Any]]:
    """Seconds per epoch of each method, all of them taking turns of a few steps."""
    runs = {name: MethodModule(build_method(name), data, epochs=epochs) for name in ["plain", *names]}
    while not all(run.finished for run in runs.values()):
        for run in runs.values():
            run.advance(_TURN)
    plain = runs["plain"].seconds
    return [
        {"method": name, "seconds_per_epoch": run.seconds / epochs, "over_plain": run.seconds / plain}
        for name, run in runs.items()
    ]


def time_recipe(data: ImageData, *, epochs: int, steps: int, target: float) -> dict[str, Any]:
    """Seconds until ours passes ``target`` on the test, and what the reference recipe needs for as many epochs.

    Ours takes quarters of an epoch in turn with steps of the recipe. Its epoch is reckoned from the median of those,
    and from the critic's own steps, of which the recipe takes an epoch before each epoch.
    """
    reference = MethodModule(build_method("reference"), data.train, epochs=1, max_steps=max(2, steps))
    critic = _critic_steps(reference)
    ours = MethodModule(build_method("mib"), data.train, epochs=epochs)
    theirs: list[float] = []
    accuracy = 0.0
    while not ours.finished and accuracy < target:
        ours.advance(max(1, ours.steps_per_epoch // 4))
        accuracy = float((evaluate(ours.method, data.test)[1].argmax(1) == data.test.y).float().mean())
        _LOG.info("%d steps, %.0f s: %.3f", ours.done_steps, ours.seconds, accuracy)
        for _ in range(max(1, steps // 4) if not reference.finished else 0):
            before = reference.seconds
            reference.advance(1)
            theirs.append(reference.seconds - before)
    if accuracy < target:
        raise InputError(f"epochs: {target} was not reached in {epochs}, but {accuracy}")
    step = statistics.median(theirs)
    epoch = reference.steps_per_epoch * (step + critic)
    share = ours.done_steps / ours.steps_per_epoch
    return {
        "target_test_accuracy": target,
        "reached": accuracy,
        "our_epochs": share,
        "our_seconds": ours.seconds,
        "our_seconds_per_epoch": ours.seconds / share,
        "reference_seconds_per_step": step,
        "reference_seconds_per_epoch": epoch,
        "reference_critic_steps": _CRITIC_STEPS,
        "reference_over_ours_per_epoch": epoch / (ours.seconds / share),
        "reference_over_ours_same_epochs": epoch * share / ours.seconds,
    }


def _critic_steps(run: MethodModule) -> float:
    """Seconds a step of the epoch that the recipe's critic has to itself; a dozen of them are made."""
    batches = [
        run.data.batch(rows) for rows in torch.arange(min(12 * run.batch_size, len(run.data))).split(run.batch_size)
    ]
    started = time.perf_counter()
    run.method.begin_epoch(batches)
    run.method.begin_epoch = lambda batches: None  # type: ignore[method-assign]  # from here on, steps alone are timed
    return (time.perf_counter() - started) / len(batches)


def render_table(document: Mapping[str, Any]) -> str:
    """Lines of the README: seconds of an epoch over plain training, and the reference recipe."""
    recipe = document["recipe"]
    lines = [
        f"- {name_method(row['method'])}: {row['seconds_per_epoch']:.0f} seconds for an epoch, "
        f"**{row['over_plain']:.2f}** times as long as plain training."
        for row in document["rows"]
        if row["method"] != "plain"
    ]
    lines.append(
        f"- It passes {recipe['target_test_accuracy']:.4f} on the unbiased test images, LNL's published figure at "
        f"σ² = 0.020, after {recipe['our_epochs']:.2f} epochs, in {recipe['our_seconds']:.0f} seconds. "
        f"The reference recipe (K = {recipe['reference_critic_steps']}) takes "
        f"{recipe['reference_over_ours_per_epoch']:.0f} times as long for an epoch."
    )
    seeds = ", ".join(str(s) for s in document["seed"])
    threads = document["versions"]["threads"]
    lines += [
        "",
        f"Measured alternately, a few steps of each at a time, in one run; {threads} threads, seed {seeds}: "
        f"`{document['command']}`",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    script = Script("cost", __doc__, variance=0.020, epochs=1, methods=["mib"], reference_steps=12)
    keep_freed_memory()
    given = script.given
    data = load_planted_images("colored-mnist", given["variance"], 0)
    rows = time_over_plain(data.train, given["methods"], epochs=given["epochs"])
    target = PUBLISHED["colored-mnist"]["LNL"]["variance=0.020"]
    recipe = time_recipe(data, epochs=5, steps=given["reference_steps"], target=target)
    script.write(rows, [0], recipe=recipe)
