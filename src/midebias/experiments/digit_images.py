"""MNIST whose colours or backgrounds give the digit away in training and not in the test."""

from collections.abc import Sequence

from ..attributes import Categorical, Continuous
from ..datasets import BiasedMNIST, ColoredMNIST
from ..training.data import Problem, TensorData
from .image_data import ImageData

Palette = Sequence[Sequence[float]]


def load_colored_mnist(
    variance: float, seed: int, *, limit: int | None = None, palette: Palette | None = None, unbiased: bool = False
) -> ImageData:
    """Load Colored MNIST; c is the colour. With ``unbiased`` it says nothing in training, too."""
    train = ColoredMNIST(None, "train", variance, seed=seed, limit=limit, palette=palette, unbiased=unbiased)
    test = ColoredMNIST(None, "test", variance, seed=seed, palette=palette)
    assert test.colour_classes is not None
    biased, rest = (TensorData(d.images, d.targets, d.levels, d.colours) for d in (train, test))
    problem = Problem(10, Continuous(3), (8, 8, 8))
    classes = test.colour_classes
    return ImageData(
        "colored-mnist", f"variance={variance:.3f}", problem, biased, rest, classes, biased.levels[:, 0],
        classes != test.targets,
    )  # fmt: skip


def load_biased_mnist(
    rho: float, seed: int, *, limit: int | None = None, palette: Palette | None = None, unbiased: bool = False
) -> ImageData:
    """Load Biased MNIST; c is whose colour it is. With ``unbiased`` it says nothing in training, too."""
    train = BiasedMNIST(None, "train", 0.1 if unbiased else rho, seed=seed, limit=limit, backgrounds=palette)
    test = BiasedMNIST(None, "test", seed=seed, backgrounds=palette)
    biased, rest = (TensorData(d.images, d.targets, d.colour_classes[:, None], d.colour_classes) for d in (train, test))
    problem = Problem(10, Categorical(10), (10,))
    classes = test.colour_classes
    return ImageData(
        "biased-mnist", f"rho={rho:.3f}", problem, biased, rest, classes, train.colour_classes, classes != test.targets
    )
