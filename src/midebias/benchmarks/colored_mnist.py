"""One method on Colored MNIST, from data to a row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..datasets import ColoredMNIST
from ..leakage import ProbeResult, probe
from ..methods import METHODS, Method
from ..networks import DigitClassifier, seeded
from ..protocols import InputError
from ..training import TensorData, TrainingRun, bfloat16_is_fast, evaluate
from .results import peak_memory_mb

__all__ = ["Outcome", "build_method", "load", "run_method"]


@dataclass
class Outcome:
    """What came out: the table's row, accuracy over time, and the network's answers to the test images."""

    row: dict[str, Any]
    history: list[dict[str, Any]]
    answers: Tensor
    probe: ProbeResult
    method: Method = field(repr=False)


def load(
    variance: float, seed: int, *, limit: int | None = None, root: str | None = None
) -> tuple[ColoredMNIST, ColoredMNIST]:
    """Training set (its first ``limit`` images) and the whole test set."""
    return (
        ColoredMNIST(root, "train", variance, seed=seed, limit=limit),
        ColoredMNIST(root, "test", variance, seed=seed),
    )


def build_method(name: str, *, seed: int = 0, **options: Any) -> Method:
    """A method with the paper's digit network, weights drawn from ``seed``.

    bfloat16 is used where the hardware multiplies it natively, for every method but the reference recipe.
    """
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    with seeded(seed):
        model = DigitClassifier().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return METHODS[name](model, precision="bfloat16" if bfloat16_is_fast() else "float32", seed=seed, **options)


def run_method(
    name: str,
    train: ColoredMNIST,
    test: ColoredMNIST,
    *,
    epochs: int,
    seed: int = 0,
    max_steps: int | None = None,
    evaluate_every: int | None = None,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[], None] | None = None,
    on_evaluation: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome:
    """Train, test on unbiased colours, and probe what is left of colour.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    epochs, max_steps : int
        Length of the run; ``max_steps`` ends it early.
    evaluate_every : int, optional
        Steps between test evaluations; default once an epoch. Nothing is chosen by them: the last network counts.
    options : mapping
        Passed to the method.

    Returns
    -------
    Outcome
        ``row["mi"]`` is the probe's held-out lower bound of I(Z; colour) in nats on test images, where colour and digit
        are independent; seconds are those of training.
    """
    method = build_method(name, seed=seed, **dict(options or {}))
    run = TrainingRun(
        method,
        TensorData(train.images, train.targets, train.levels, train.colours),
        epochs=epochs,
        seed=seed,
        max_steps=max_steps,
    )
    history: list[dict[str, Any]] = []
    while not run.finished:
        run.advance(evaluate_every or run.steps_per_epoch, on_step=on_step)
        z, logits = evaluate(method, test.images)
        entry: dict[str, Any] = {
            "method": name,
            "step": run.done_steps,
            "epoch": run.done_steps / run.steps_per_epoch,
            "seconds": run.seconds,
            "test_accuracy": _accuracy(logits, test.targets),
        }
        if run.records:
            last = run.records[-1]
            entry |= {"loss": last.loss, "mi_estimates": list(last.mi)}
        history.append(entry)
        if on_evaluation is not None:
            on_evaluation(entry)
    _, train_logits = evaluate(method, train.images[:10_000])
    if test.colour_classes is None:
        raise InputError("test must be made by ColoredMNIST(...), whose colour classes are known")
    result = probe(z, test.colour_classes, random_state=seed)
    done = run.done_steps / run.steps_per_epoch
    row = {
        "dataset": "colored-mnist",
        "method": name,
        "setting": f"variance={train.variance:.3f}",
        "seed": seed,
        "epochs": round(done, 3),
        "steps": run.done_steps,
        "train_images": len(train),
        "train_accuracy": _accuracy(train_logits, train.targets[:10_000]),
        "test_accuracy": _accuracy(logits, test.targets),
        "mi": result.mi.value,
        "mi_stderr": result.mi.stderr,
        "probe_accuracy": result.accuracy,
        "chance": result.chance,
        "seconds": run.seconds,
        "seconds_per_epoch": run.seconds / done,
        "peak_memory_mb": peak_memory_mb(),
    }
    return Outcome(row, history, logits.argmax(1), result, method)


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).float().mean())
