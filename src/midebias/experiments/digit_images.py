"""MNIST whose colours or backgrounds give the digit away in training and not in the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..attributes import Categorical, Continuous
from ..datasets import BiasedMNIST, ColoredMNIST
from ..training.data import Problem, TensorData
from .image_data import ImageData

__all__ = ["Palette", "load_biased_mnist", "load_colored_mnist"]

Palette = Sequence[Sequence[float]]


def load_colored_mnist(
    variance: float,
    seed: int,
    *,
    limit: int | None = None,
    root: str | Path | None = None,
    palette: Palette | None = None,
    unbiased: bool = False,
) -> ImageData:
    """Load Colored MNIST; c is the colour. Its test set is always whole.

    Parameters
    ----------
    variance : float
        Of the training colours around the mean of their digit.
    seed : int
        Of the colours.
    limit : int, optional
        Training images that are used, from the first.
    root, palette : optional
        See `ColoredMNIST`.
    unbiased : bool, default False
        Whether training colours, too, say nothing about the digit.
    """
    train = ColoredMNIST(root, "train", variance, seed=seed, limit=limit, palette=palette, unbiased=unbiased)
    test = ColoredMNIST(root, "test", variance, seed=seed, palette=palette)
    assert test.colour_classes is not None
    biased, rest = (TensorData(d.images, d.targets, d.levels, d.colours) for d in (train, test))
    problem = Problem(10, Continuous(3), (8, 8, 8))
    return ImageData("colored-mnist", f"variance={variance:.3f}", problem, biased, rest, test.colour_classes)


def load_biased_mnist(
    rho: float,
    seed: int,
    *,
    limit: int | None = None,
    root: str | Path | None = None,
    palette: Palette | None = None,
    unbiased: bool = False,
) -> ImageData:
    """Load Biased MNIST; c is the class whose colour the background has. Its test set is whole and unbiased.

    Parameters
    ----------
    rho : float
        Share of training images with the background of their own digit.
    seed : int
        Of the colours.
    limit : int, optional
        Training images that are used, from the first.
    root, palette : optional
        See `BiasedMNIST`, where the palette is ``backgrounds``.
    unbiased : bool, default False
        Whether training backgrounds, too, say nothing about the digit.
    """
    train = BiasedMNIST(root, "train", 0.1 if unbiased else rho, seed=seed, limit=limit, backgrounds=palette)
    test = BiasedMNIST(root, "test", seed=seed, backgrounds=palette)
    biased, rest = (TensorData(d.images, d.targets, d.colour_classes[:, None], d.colour_classes) for d in (train, test))
    problem = Problem(10, Categorical(10), (10,))
    return ImageData("biased-mnist", f"rho={rho:.3f}", problem, biased, rest, test.colour_classes)
