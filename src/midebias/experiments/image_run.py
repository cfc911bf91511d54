"""One method on one image data set, from data to a row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from ..devices import bfloat16_is_fast
from ..errors import DataError, InputError
from ..estimation.estimate import estimate_mi
from ..leakage.network_probe import ProbeResult, probe
from ..methods import METHODS
from ..networks.classifier import Classifier
from ..networks.digits import NETWORKS
from ..randomness import seeded
from ..training.checkpoints import read_checkpoint, write_checkpoint
from ..training.data import Problem
from ..training.evaluation import evaluate
from ..training.logit_adjustment import LogitAdjustment
from ..training.loop import TrainingRun
from ..training.method import Method, Precision
from .exchanged_attribute import ExchangedAccuracy, exchanged_accuracy
from .image_data import ImageData
from .process import Interruptions, peak_memory_mb

__all__ = [
    "Network",
    "Outcome",
    "build_method",
    "evaluated",
    "method_for",
    "outcome_of",
    "parse_method",
    "run_method",
]


class Network(StrEnum):
    """The paper's digit network, and that of Learning Not to Learn, which takes images of any size."""

    paper = "paper"
    lnl = "lnl"


_NOT_OPTIONS = ("model", "problem", "precision", "seed", "return")


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method's name and its options, from "mib" or "mib:gradient_ratio=1:rebalance=0".

    Raises
    ------
    InputError
        When there is no such method, or it has no such option, or not of that kind.
    """
    name, *assignments = text.split(":")
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    hints = get_type_hints(METHODS[name].__init__).items()
    kinds = {k: v for k, v in hints if k not in _NOT_OPTIONS and get_origin(v) is not Sequence}
    options: dict[str, Any] = {}
    for assignment in assignments:
        option, _, value = assignment.partition("=")
        if option not in kinds:
            raise InputError(f"{name} has no option {option!r}; it has {', '.join(kinds)}")
        accepted = get_args(kinds[option]) or (kinds[option],)
        try:
            options[option] = float(value) if float in accepted else int(value) if int in accepted else value
        except ValueError as error:
            raise InputError(f"option {option} of {name} must be a number, got {value!r}") from error
    return name, options


def build_method(
    name: str,
    problem: Problem | None = None,
    *,
    seed: int = 0,
    network: str = "paper",
    channels: int = 3,
    precision: Precision | None = None,
    **options: Any,
) -> Method:
    """A method with a digit network, weights drawn from ``seed``.

    Where no ``precision`` is given, bfloat16 is used where the hardware multiplies it natively, for every method but
    the reference recipe.
    """
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    if network not in NETWORKS:
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, got {network!r}")
    n_classes = 10 if problem is None else problem.n_classes
    with seeded(seed):
        model: Classifier = NETWORKS[network](channels=channels, n_classes=n_classes)
    model = cast(Any, model).to(memory_format=torch.channels_last)
    precision = precision or ("bfloat16" if bfloat16_is_fast() else "float32")
    return METHODS[name](model, problem, precision=precision, seed=seed, **options)


@dataclass
class Outcome:
    """What came out: the table's row, accuracy and training over time, and the network's answers to the test images.

    ``exchanged`` is accuracy with the attribute exchanged, of held-out biased images; ``alarms`` are those of
    `MIMeter`, where there was one.
    """

    row: dict[str, Any]
    history: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    answers: Tensor
    probe: ProbeResult
    method: Method = field(repr=False)
    exchanged: ExchangedAccuracy | None = None
    alarms: tuple[str, ...] | None = None


def run_method(
    name: str,
    data: ImageData,
    *,
    epochs: int,
    seed: int = 0,
    network: str = "paper",
    batch_size: int | None = None,
    max_steps: int | None = None,
    evaluate_every: int | None = None,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[], None] | None = None,
    on_evaluation: Callable[[Mapping[str, Any]], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
) -> Outcome:
    """Train, test without the bias, and probe what is left of the attribute.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    data : ImageData
    epochs, max_steps : int
        Length of the run; ``max_steps`` ends it early.
    batch_size : int, optional
        Default is the method's own.
    network : {"paper", "lnl"}
    evaluate_every : int, optional
        Steps between test evaluations; default once an epoch. Nothing is chosen by them: the last network counts.
    options : mapping
        Passed to the method.
    checkpoint : path, optional
        Where the run's state is kept; if it is there, the run goes on from it, and ends with the same weights as one
        that was never stopped. On Ctrl-C the state is saved between two steps, then KeyboardInterrupt raised.
    checkpoint_every : float, default 30
        Seconds between checkpoints; 0 for one after every step.

    Returns
    -------
    Outcome
        ``row["mi"]`` is the probe's held-out lower bound of I(Z;C) in nats on test images, where attribute and label
        are independent; ``row["conflicting_accuracy"]`` is over test images whose attribute is another class's, where
        attribute and label have the same names; seconds are those of training.
    """
    method = method_for(name, data, seed=seed, network=network, options=options)
    run = TrainingRun(method, data.train, epochs=epochs, batch_size=batch_size, seed=seed, max_steps=max_steps)
    history: list[dict[str, Any]] = []
    kept = None if checkpoint is None else _Checkpoint(checkpoint, run, history, every=checkpoint_every)
    every = evaluate_every or run.steps_per_epoch
    answers: tuple[Tensor, Tensor] | None = None
    while not run.finished or not history or history[-1]["step"] < run.done_steps:
        due = (history[-1]["step"] if history else 0) + every
        if kept is None:
            run.advance(due - run.done_steps, on_step=on_step)
        else:
            kept.advance(due - run.done_steps, on_step=on_step)
        entry, answers = evaluated(run, data)
        history.append(entry)
        if on_evaluation is not None:
            on_evaluation(history[-1])
    return outcome_of(run, data, history, answers, network=network, seed=seed)


def method_for(
    name: str,
    data: ImageData,
    *,
    seed: int,
    network: str,
    options: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> Method:
    """`build_method` for the images of a data set. Raises `InputError` when they do not fit the network."""
    channels, *pixels = data.train.image_shape
    method = build_method(
        name, data.problem, seed=seed, network=network, channels=channels, precision=precision, **dict(options or {})
    )
    if network == "paper" and pixels != [28, 28]:
        raise InputError(f"network 'paper' takes 28x28 images, got {tuple(pixels)}; use 'lnl'")
    return method


def evaluated(run: TrainingRun, data: ImageData) -> tuple[dict[str, Any], tuple[Tensor, Tensor]]:
    """An entry of the history: how the network of a run stands on the test images; and its z and logits of them."""
    answers = evaluate(run.method, data.test)
    entry: dict[str, Any] = {
        "method": run.method.name,
        "step": run.done_steps,
        "epoch": run.done_steps / run.steps_per_epoch,
        "seconds": run.seconds,
        "test_accuracy": _accuracy(answers[1], data.test.y),
    }
    if run.records:
        last = run.records[-1]
        entry |= {"loss": last.loss, "mi_estimates": list(last.mi)}
    return entry, answers


def outcome_of(
    run: TrainingRun,
    data: ImageData,
    history: list[dict[str, Any]],
    answers: tuple[Tensor, Tensor] | None,
    *,
    network: str,
    seed: int,
    device: str = "cpu",
) -> Outcome:
    """What came out of a run that has ended: tested, and probed for the attribute.

    ``answers`` are z and logits of the test images, where they are known; ``device`` is where it trained.
    """
    method, test = run.method, data.test
    z, logits = answers or evaluate(method, test)
    _, train_logits = evaluate(method, data.train, first=10_000)
    result = probe(z, data.attribute_classes, random_state=seed)
    done = run.done_steps / run.steps_per_epoch
    row = {
        "dataset": data.dataset,
        "method": method.name,
        "setting": data.setting,
        "network": network,
        "seed": seed,
        "epochs": round(done, 3),
        "steps": run.done_steps,
        "train_images": len(data.train),
        "train_accuracy": _accuracy(train_logits, data.train.y[:10_000]),
        "test_accuracy": _accuracy(logits, test.y),
        "conflicting_accuracy": _conflicting(logits, test.y, data.attribute_classes),
        "mi": result.mi.value,
        "mi_stderr": result.mi.stderr,
        "probe_accuracy": result.accuracy,
        "chance": result.chance,
        "seconds": run.seconds,
        "seconds_per_epoch": run.seconds / done,
        "peak_memory_mb": peak_memory_mb(device),
        "threads": torch.get_num_threads(),
    }
    exchanged = None
    if data.held_out:
        exchanged = exchanged_accuracy(logits, test.y, test.c, data.problem.attribute, random_state=seed)
        row |= {"exchanged_accuracy": exchanged.value, "exchanged_accuracy_stderr": exchanged.stderr}
        row |= _on_biased_images(z, logits, data, seed)
    trace = [asdict(point) for point in run.trace]
    return Outcome(row, history, trace, logits.argmax(1), result, method, exchanged)


class _Checkpoint:
    """A run's state in a file: read where it is there, written now and then, and on Ctrl-C."""

    def __init__(self, path: Path, run: TrainingRun, history: list[dict[str, Any]], *, every: float) -> None:
        self._path, self._run, self._history, self._every = path, run, history, every
        if path.exists():
            state = read_checkpoint(path)
            try:
                run.load_state_dict(state["run"])
                history += state["history"]
            except (KeyError, TypeError) as error:
                raise DataError(f"{path} is no checkpoint of a training run") from error
            except InputError as error:
                raise DataError(f"{path} does not fit this run: {error}") from error
        self._saved = time.monotonic()

    def advance(self, steps: int, *, on_step: Callable[[], None] | None) -> None:
        """As `TrainingRun.advance`; a signal is obeyed between two steps."""
        with Interruptions() as interruptions:
            for _ in range(steps):
                if self._run.finished:
                    break
                self._run.advance(1)
                if on_step is not None:
                    on_step()
                if interruptions.noted or time.monotonic() - self._saved >= self._every:
                    self._save()
                if interruptions.noted:
                    raise KeyboardInterrupt

    def _save(self) -> None:
        write_checkpoint(self._path, {"run": self._run.state_dict(), "history": self._history})
        self._saved = time.monotonic()


def _on_biased_images(z: Tensor, logits: Tensor, data: ImageData, seed: int) -> dict[str, float]:
    """What can be said from biased images of the accuracy without the bias, and of what leaks beside the label.

    Images are weighted by 1 / p(y|c), which makes the label independent of the attribute, as far as the bias leaves
    such images at all; beside it stands `exchanged_accuracy`, which extrapolates. Weights are truncated at the root of
    n times their mean (Ionides, "Truncated importance sampling", 2008).
    """
    test, problem = data.test, data.problem
    unbiased = LogitAdjustment(problem.attribute, problem.n_classes, rebalance=1.0, seed=seed)
    weights = unbiased.fit(data.train.c, data.train.y).sampling_weights(test.c, test.y)
    weights = weights.clamp(max=float(weights.mean()) * len(weights) ** 0.5)
    weights /= weights.sum()
    right = (logits.argmax(1) == test.y).double()
    accuracy = float((weights * right).sum())
    losses = torch.nn.functional.cross_entropy(logits.double(), test.y, reduction="none")
    loss = float((weights * losses).sum())
    mi = estimate_mi(
        z,
        test.c,
        attribute=problem.attribute,
        condition_on=test.y,
        estimator="donsker_varadhan",
        n_permutations=0,
        random_state=seed,
    )
    return {
        "reweighted_accuracy": accuracy,
        "reweighted_accuracy_stderr": float((weights * (right - accuracy)).square().sum().sqrt()),
        "reweighted_loss": loss,
        "reweighted_loss_stderr": float((weights * (losses - loss)).square().sum().sqrt()),
        "conditional_mi": mi.value,
        "conditional_mi_stderr": mi.stderr,
    }


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).float().mean())


def _conflicting(logits: Tensor, y: Tensor, c: Tensor) -> float | None:
    """Accuracy where the attribute is another class's; None where it never is."""
    other = c != y
    return _accuracy(logits[other], y[other]) if bool(other.any()) else None
