"""One method on one image data set, from data to a row of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..attributes import Categorical, Continuous
from ..datasets import BiasedMNIST, ColoredMNIST, read_labelled_arrays
from ..leakage import ProbeResult, probe
from ..methods import METHODS, Method, Problem
from ..networks import Classifier, DigitClassifier, GlobalPoolClassifier, seeded
from ..protocols import DataError, InputError
from ..training import TensorData, TrainingRun, bfloat16_is_fast, evaluate
from .results import peak_memory_mb

__all__ = [
    "ImageData",
    "Network",
    "Outcome",
    "build_method",
    "check_setting",
    "load",
    "load_arrays",
    "load_biased_mnist",
    "load_colored_mnist",
    "run_method",
]


class Network(StrEnum):
    """The paper's digit network, and that of Learning Not to Learn, which takes images of any size."""

    paper = "paper"
    lnl = "lnl"


_NETWORKS: dict[str, type[DigitClassifier] | type[GlobalPoolClassifier]] = {
    Network.paper: DigitClassifier,
    Network.lnl: GlobalPoolClassifier,
}


@dataclass(frozen=True)
class ImageData:
    """A biased training set and a test set, in one setting of the data set.

    Attributes
    ----------
    dataset, setting : str
        As they stand in the row.
    problem : Problem
    train, test : TensorData
    attribute_classes : integer Tensor
        The attribute of the test images as the probe is asked for it.
    """

    dataset: str
    setting: str
    problem: Problem
    train: TensorData
    test: TensorData
    attribute_classes: Tensor


def load_colored_mnist(
    variance: float, seed: int, *, limit: int | None = None, root: str | Path | None = None
) -> ImageData:
    """Training set (its first ``limit`` images) and the whole test set; c is the colour."""
    train = ColoredMNIST(root, "train", variance, seed=seed, limit=limit)
    test = ColoredMNIST(root, "test", variance, seed=seed)
    assert test.colour_classes is not None
    return ImageData(
        "colored-mnist",
        f"variance={variance:.3f}",
        Problem(10, Continuous(3), (8, 8, 8)),
        TensorData(train.images, train.targets, train.levels, train.colours),
        TensorData(test.images, test.targets, test.levels, test.colours),
        test.colour_classes,
    )


def load_biased_mnist(rho: float, seed: int, *, limit: int | None = None, root: str | Path | None = None) -> ImageData:
    """Training set (its first ``limit`` images) and the whole unbiased test set; c is whose colour it is."""
    train, test = BiasedMNIST(root, "train", rho, seed=seed, limit=limit), BiasedMNIST(root, "test", seed=seed)
    parts = (TensorData(d.images, d.targets, d.colour_classes[:, None], d.colour_classes) for d in (train, test))
    biased, unbiased = parts
    return ImageData(
        "biased-mnist", f"rho={rho:.3f}", Problem(10, Categorical(10), (10,)), biased, unbiased, test.colour_classes
    )


def load_arrays(path: str | Path, seed: int, *, limit: int | None = None) -> ImageData:
    """The user's own ``.npz``: see `read_labelled_arrays`."""
    arrays = read_labelled_arrays(path, seed=seed)
    train, test = arrays["train"], arrays["test"]
    parts = []
    for part, kept in ((train, limit), (test, None)):
        x, y, c = (part[name][:kept] for name in ("x", "y", "c"))
        parts.append(TensorData(x.contiguous(memory_format=torch.channels_last), y, c[:, None], c))
    # Said before training, which takes long, and not by the probe after it.
    for name, values in (("y", parts[0].y), ("c", parts[0].c), ("the test images' c", parts[1].c)):
        if len(torch.unique(values)) < 2:
            raise DataError(f"{path}: {name} never varies")
    if len(parts[1]) < 100:
        raise DataError(f"{path}: {len(parts[1])} test images are too few for a probe, which needs 100")
    n_classes = 1 + max(int(p.y.max()) for p in parts)
    n_attribute = 1 + max(int(p.c.max()) for p in parts)
    problem = Problem(n_classes, Categorical(n_attribute), (n_attribute,))
    return ImageData(Path(path).stem, "as given", problem, parts[0], parts[1], parts[1].c)


def check_setting(dataset: str, setting: float | None) -> None:
    """Raise `InputError` for a data set or a setting that `load` would refuse, before anything is begun."""
    if dataset == "colored-mnist":
        if setting is not None and not 0 < setting < math.inf:
            raise InputError(f"variance of colored-mnist must be positive and finite, got {setting}")
    elif dataset == "biased-mnist":
        if setting is not None and not 0 <= setting <= 1:
            raise InputError(f"rho of biased-mnist must lie in [0, 1], got {setting}")
    elif not dataset.endswith(".npz"):
        raise InputError(f"dataset must be colored-mnist, biased-mnist or a file that ends in .npz, got {dataset!r}")
    elif not Path(dataset).is_file():
        raise InputError(f"{dataset} does not exist")


def load(dataset: str, setting: float | None, seed: int, *, limit: int | None = None) -> ImageData:
    """A data set by its name in the command line: "colored-mnist" (setting: variance), "biased-mnist" (rho), or a file.

    Raises
    ------
    InputError
        As `check_setting` does.
    """
    check_setting(dataset, setting)
    if dataset == "colored-mnist":
        return load_colored_mnist(0.020 if setting is None else setting, seed, limit=limit)
    if dataset == "biased-mnist":
        return load_biased_mnist(0.990 if setting is None else setting, seed, limit=limit)
    return load_arrays(dataset, seed, limit=limit)


def build_method(
    name: str,
    problem: Problem | None = None,
    *,
    seed: int = 0,
    network: str = "paper",
    channels: int = 3,
    **options: Any,
) -> Method:
    """A method with a digit network, weights drawn from ``seed``.

    bfloat16 is used where the hardware multiplies it natively, for every method but the reference recipe.
    """
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    if network not in _NETWORKS:
        raise InputError(f"network must be one of {', '.join(_NETWORKS)}, got {network!r}")
    n_classes = 10 if problem is None else problem.n_classes
    with seeded(seed):
        model: Classifier = _NETWORKS[network](channels=channels, n_classes=n_classes)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = "bfloat16" if bfloat16_is_fast() else "float32"
    return METHODS[name](model, problem, precision=precision, seed=seed, **options)  # type: ignore[arg-type]


@dataclass
class Outcome:
    """What came out: the table's row, accuracy over time, and the network's answers to the test images."""

    row: dict[str, Any]
    history: list[dict[str, Any]]
    answers: Tensor
    probe: ProbeResult
    method: Method = field(repr=False)


def run_method(
    name: str,
    data: ImageData,
    *,
    epochs: int,
    seed: int = 0,
    network: str = "paper",
    max_steps: int | None = None,
    evaluate_every: int | None = None,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[], None] | None = None,
    on_evaluation: Callable[[Mapping[str, Any]], None] | None = None,
) -> Outcome:
    """Train, test without the bias, and probe what is left of the attribute.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    data : ImageData
    epochs, max_steps : int
        Length of the run; ``max_steps`` ends it early.
    network : {"paper", "lnl"}
    evaluate_every : int, optional
        Steps between test evaluations; default once an epoch. Nothing is chosen by them: the last network counts.
    options : mapping
        Passed to the method.

    Returns
    -------
    Outcome
        ``row["mi"]`` is the probe's held-out lower bound of I(Z;C) in nats on test images, where attribute and label
        are independent; ``row["conflicting_accuracy"]`` is over test images whose attribute is another class's, where
        attribute and label have the same names; seconds are those of training.
    """
    channels = data.train.x.shape[1]
    method = build_method(name, data.problem, seed=seed, network=network, channels=channels, **dict(options or {}))
    if network == "paper" and data.train.x.shape[2:] != (28, 28):
        raise InputError(f"network 'paper' takes 28x28 images, got {tuple(data.train.x.shape[2:])}; use 'lnl'")
    run = TrainingRun(method, data.train, epochs=epochs, seed=seed, max_steps=max_steps)
    test = data.test
    history: list[dict[str, Any]] = []
    while not run.finished:
        run.advance(evaluate_every or run.steps_per_epoch, on_step=on_step)
        z, logits = evaluate(method, test.x)
        entry: dict[str, Any] = {
            "method": name,
            "step": run.done_steps,
            "epoch": run.done_steps / run.steps_per_epoch,
            "seconds": run.seconds,
            "test_accuracy": _accuracy(logits, test.y),
        }
        if run.records:
            last = run.records[-1]
            entry |= {"loss": last.loss, "mi_estimates": list(last.mi)}
        history.append(entry)
        if on_evaluation is not None:
            on_evaluation(entry)
    _, train_logits = evaluate(method, data.train.x[:10_000])
    result = probe(z, data.attribute_classes, random_state=seed)
    done = run.done_steps / run.steps_per_epoch
    row = {
        "dataset": data.dataset,
        "method": name,
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
        "peak_memory_mb": peak_memory_mb(),
    }
    return Outcome(row, history, logits.argmax(1), result, method)


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).float().mean())


def _conflicting(logits: Tensor, y: Tensor, c: Tensor) -> float | None:
    """Accuracy where the attribute is another class's; None where it never is."""
    other = c != y
    return _accuracy(logits[other], y[other]) if bool(other.any()) else None
