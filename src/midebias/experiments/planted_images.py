"""Digits and clothes with a planted bias, which gives the class away in training and not in the test."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch

from ..attributes import Categorical, Continuous
from ..datasets import BiasedFashion, BiasedMNIST, ColoredFashion, ColoredMNIST
from ..datasets.planted_biases import BIASES, BiasName
from ..errors import InputError
from ..training.data import Problem, TensorData
from .image_data import ImageData

Palette = Sequence[Sequence[float]]
Root = str | Path | None

COLORED: Mapping[str, type[ColoredMNIST]] = {"colored-mnist": ColoredMNIST, "colored-fashion": ColoredFashion}
BIASED: Mapping[str, type[BiasedMNIST]] = {"biased-mnist": BiasedMNIST, "biased-fashion": BiasedFashion}
PLANTED = (*COLORED, *BIASED)


def split_biases(dataset: str) -> tuple[str, list[str]]:
    """Split "biased-fashion:texture+patch" into its name and its biases, of which there may be none.

    Raises
    ------
    InputError
        Biases that there are not, or of a data set that has but one.
    """
    name, colon, text = dataset.partition(":")
    biases = text.split("+") if colon else []
    if colon and name not in BIASED:
        raise InputError(f"dataset: biases can be named of {' and '.join(BIASED)}, not of {dataset}")
    unknown = [bias for bias in biases if bias not in BIASES]
    if unknown or len(set(biases)) < len(biases):
        raise InputError(f"dataset: the biases of {name} are {', '.join(BIASES)}, each once, joined by +; got {text!r}")
    return name, biases


def check_planted_setting(dataset: str, setting: float | None) -> None:
    """Raise `InputError` for a variance or rho that there is not."""
    name, _ = split_biases(dataset)
    if name in COLORED and setting is not None and not 0 < setting < math.inf:
        raise InputError(f"variance of {dataset} must be positive and finite, got {setting}")
    if name in BIASED and setting is not None and not 0 <= setting <= 1:
        raise InputError(f"rho of {dataset} must lie in [0, 1], got {setting}")


def load_planted_images(
    dataset: str, setting: float | None, seed: int, *, limit: int | None = None, palette: Palette | None = None,
    unbiased: bool = False, root: Root = None,
) -> ImageData:  # fmt: skip
    """Load one of `PLANTED`; ``setting`` is a variance (0.020) or a rho (0.990).

    With ``unbiased`` the bias says nothing in training, too.
    """
    check_planted_setting(dataset, setting)
    name, biases = split_biases(dataset)
    if name in COLORED:
        variance = 0.020 if setting is None else setting
        return _load_with_colours(name, variance, seed, limit=limit, palette=palette, unbiased=unbiased, root=root)
    rho = 0.990 if setting is None else setting
    return _load_with_biases(name, biases, rho, seed, limit=limit, palette=palette, unbiased=unbiased, root=root)


def _load_with_colours(
    name: str, variance: float, seed: int, *, limit: int | None, palette: Palette | None, unbiased: bool, root: Root
) -> ImageData:
    """c is the colour."""
    kind = COLORED[name]
    train = kind(root, "train", variance, seed=seed, limit=limit, palette=palette, unbiased=unbiased)
    test = kind(root, "test", variance, seed=seed, palette=palette)
    assert test.colour_classes is not None
    biased, rest = (TensorData(d.images, d.targets, d.levels, d.colours) for d in (train, test))
    problem = Problem(10, Continuous(3), (8, 8, 8))
    classes = test.colour_classes
    return ImageData(
        name, f"variance={variance:.3f}", problem, biased, rest, classes, biased.levels[:, 0], classes != test.targets
    )


def _load_with_biases(
    name: str, biases: Sequence[str], rho: float, seed: int, *, limit: int | None, palette: Palette | None,
    unbiased: bool, root: Root,
) -> ImageData:  # fmt: skip
    """c is whose colour, texture or place it is: a category for each bias."""
    kind, bias = BIASED[name], cast("tuple[BiasName, ...]", tuple(biases or ["background"]))
    train = kind(root, "train", 0.1 if unbiased else rho, seed=seed, limit=limit, backgrounds=palette, bias=bias)
    test = kind(root, "test", seed=seed, backgrounds=palette, bias=bias)
    sizes = (10,) * len(bias)
    attribute = Categorical(10 if len(bias) == 1 else sizes)
    parts, joined = [], []
    for data in (train, test):
        c = data.colour_classes if len(bias) == 1 else data.bias_classes
        parts.append(TensorData(data.images, data.targets, data.bias_classes, c))
        joined.append((data.bias_classes * 10 ** torch.arange(len(bias))).sum(dim=1))
    return ImageData(
        "-".join([name, *biases]), f"rho={rho:.3f}", Problem(10, attribute, sizes), parts[0], parts[1], joined[1],
        joined[0], test.conflicting,
        {} if len(bias) == 1 else dict(zip(bias, test.bias_classes.unbind(1), strict=True)),
        {} if len(bias) == 1 else {"attributes": list(bias)},
    )  # fmt: skip
