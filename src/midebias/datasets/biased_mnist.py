"""Biased MNIST: digits on a coloured background that, in training, nearly always belongs to the digit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import checked
from ..errors import InputError
from .colored_mnist import PALETTE
from .files import Source, read_gray_images
from .palette import as_colours
from .planted_biases import BIASES, BiasName, render

BIASED_MNIST_RHOS = (0.999, 0.997, 0.995, 0.990)
BACKGROUNDS = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (225, 225, 0), (225, 0, 225),
    (0, 255, 255), (255, 128, 0), (255, 0, 128), (128, 0, 255), (128, 128, 128),
)  # fmt: skip


class BiasedMNIST(Dataset[tuple[Tensor, int, int | Tensor]]):
    """Biased MNIST after Bahng et al., "Learning De-biased Representations with Biased Representations", ICML 2020.

    Every pixel of the digit is white, every other has the background's colour. With probability ``rho`` that is the
    colour of the image's class, else one of ``n_confusing`` others, uniformly. Deterministic from ``seed``.
    Other biases than the background's colour, and several at once, are ours. Parameters and attributes without a
    description are those of `ColoredMNIST`.

    Parameters
    ----------
    root : path, optional
    split : {"train", "test"}
    rho : float, optional
        In [0, 1], of each bias. Default is 0.990 for training and 0.1 for the test, in which the bias then says
        nothing; 0 makes a test in which every background belongs to another class (bias-conflicting).
    transform : callable, optional
    download : bool, default False
    seed : int, default 0
    limit : int, optional
    n_confusing : int, default 9
        How many other colours a class may have, 1 to 9: those of the next digits, cyclically.
    backgrounds : array of shape (10, 3), optional
        Colours in 0 to 255; default is the protocol's.
    bias : str or sequence of str, default "background"
        What follows the class, each with ten values: "background", the colour behind the object; "foreground", the
        object's own, from Colored MNIST's palette; "texture" of the background, in the colour of the same class
        unless "background" is given, too; "patch", the place of a gray square; "blur", 0 to 1.8 pixels;
        "rotation", -81 to 81 degrees. Of several each is drawn by itself.

    Attributes
    ----------
    images, targets : Tensor
    bias_classes : Tensor of shape (n, k)
        Whose value each of k biases has. Goes with ``Categorical((10,) * k)``.
    colour_classes : Tensor of shape (n,)
        The first of them. Goes with ``Categorical(10)``.
    conflicting : bool Tensor of shape (n,)
        Where all of them are another class's.

    Raises
    ------
    InputError
        An argument that is not as above.
    DataError
        A file is missing, or has another SHA-256 sum.

    Examples
    --------
    >>> from midebias.datasets import BiasedMNIST
    >>> data = BiasedMNIST(split="test", limit=100)
    >>> x, y, c = data[0]
    >>> len(data), tuple(x.shape), y
    (100, (3, 28, 28), 7)
    """

    source: ClassVar[Source] = "mnist"

    @checked
    def __init__(
        self, root: str | Path | None = None, split: Literal["train", "test"] = "train", rho: float | None = None,
        transform: Callable[[Tensor], Tensor] | None = None, download: bool = False, *, seed: int = 0,
        limit: int | None = None, n_confusing: int = 9, backgrounds: ArrayLike | None = None,
        bias: BiasName | Sequence[BiasName] = "background",
    ) -> None:  # fmt: skip
        self.rho = (0.990 if split == "train" else 0.1) if rho is None else rho
        if not 0 <= self.rho <= 1:
            raise InputError(f"rho must lie in [0, 1], got {rho}")
        if not 1 <= n_confusing <= 9:
            raise InputError(f"n_confusing must lie between 1 and 9, got {n_confusing}")
        self.bias = _list_biases(bias)
        colours = as_colours(BACKGROUNDS if backgrounds is None else backgrounds, name="backgrounds")
        labels, gray = read_gray_images(root, split, limit, seed=seed, source=self.source)
        rng = np.random.default_rng([seed, 2 if split == "train" else 3])
        drawn = []
        for _ in self.bias:
            other = (labels + rng.integers(1, n_confusing + 1, size=len(labels))) % 10
            drawn.append(np.where(rng.random(len(labels)) < self.rho, labels, other))
        self.transform = transform
        self.targets = torch.from_numpy(labels[:limit])
        self.bias_classes = torch.from_numpy(np.stack(drawn, axis=1)[:limit])
        self.colour_classes = self.bias_classes[:, 0]
        self.conflicting = (self.bias_classes != self.targets[:, None]).all(dim=1)
        objects = gray[:limit]
        if self.source == "mnist":  # the protocol's digits have no shades
            objects = np.where(objects > 0, 255, 0).astype(np.uint8)
        planted = dict(zip(self.bias, self.bias_classes.unbind(1), strict=True))
        self.images = render(objects, planted, colours, as_colours(PALETTE), rng)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int | Tensor]:
        """(x, y, c): image (3, 28, 28), digit, and whose value the bias has: an integer, or of k biases (k,)."""
        x, c = self.images[index], self.bias_classes[index]
        return (self.transform(x) if self.transform else x), int(self.targets[index]), int(c) if len(c) == 1 else c


class BiasedFashion(BiasedMNIST):
    """`BiasedMNIST` of Fashion-MNIST's clothes, in their shades. Their files do not come with the package.

    Parameters
    ----------
    root : path, optional
        Folder with Fashion-MNIST's idx files, or with ``FashionMNIST/raw``, as torchvision leaves them; default is
        ``MIDEBIAS_DATA``.
    split, rho, transform, download, seed, limit, n_confusing, backgrounds, bias : as of `BiasedMNIST`

    Raises
    ------
    InputError
        An argument that is not as there.
    DataError
        A file is missing, or has another SHA-256 sum.

    References
    ----------
    Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.

    Examples
    --------
    >>> from midebias.datasets import BiasedFashion
    >>> data = BiasedFashion("fashion", bias=("texture", "patch"), rho=0.98)    # doctest: +SKIP
    """

    source = "fashion"


def _list_biases(bias: BiasName | Sequence[BiasName]) -> tuple[BiasName, ...]:
    names = (bias,) if isinstance(bias, str) else tuple(bias)
    if not names or len(set(names)) < len(names) or any(name not in BIASES for name in names):
        raise InputError(f"bias must be one or several different of {', '.join(BIASES)}, got {bias!r}")
    return names
