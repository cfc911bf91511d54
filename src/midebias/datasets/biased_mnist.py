"""Biased MNIST: digits on a coloured background that, in training, nearly always belongs to the digit."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import checked
from ..errors import InputError
from .files import read_digits
from .palette import as_colours

BIASED_MNIST_RHOS = (0.999, 0.997, 0.995, 0.990)
BACKGROUNDS = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (225, 225, 0), (225, 0, 225),
    (0, 255, 255), (255, 128, 0), (255, 0, 128), (128, 0, 255), (128, 128, 128),
)  # fmt: skip


class BiasedMNIST(Dataset[tuple[Tensor, int, int]]):
    """Biased MNIST after Bahng et al., "Learning De-biased Representations with Biased Representations", ICML 2020.

    Every pixel of the digit is white, every other has the background's colour. With probability ``rho`` that is the
    colour of the image's class, else one of ``n_confusing`` others, uniformly. Deterministic from ``seed``.
    Parameters and attributes without a description are those of `ColoredMNIST`.

    Parameters
    ----------
    root : path, optional
    split : {"train", "test"}
    rho : float, optional
        In [0, 1]. Default is 0.990 for training and 0.1 for the test, in which the colour then says nothing; 0 makes
        a test in which every background belongs to another class (bias-conflicting).
    transform : callable, optional
    download : bool, default False
    seed : int, default 0
    limit : int, optional
    n_confusing : int, default 9
        How many other colours a class may have, 1 to 9: those of the next digits, cyclically.
    backgrounds : array of shape (10, 3), optional
        Colours in 0 to 255; default is the protocol's.

    Attributes
    ----------
    images, targets : Tensor
    colour_classes : Tensor of shape (n,)
        c: whose colour the background is. Goes with ``Categorical(10)``.
    conflicting : bool Tensor of shape (n,)
        Where it is another class's.

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

    @checked
    def __init__(
        self, root: str | Path | None = None, split: Literal["train", "test"] = "train", rho: float | None = None,
        transform: Callable[[Tensor], Tensor] | None = None, download: bool = False, *, seed: int = 0,
        limit: int | None = None, n_confusing: int = 9, backgrounds: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        self.rho = (0.990 if split == "train" else 0.1) if rho is None else rho
        if not 0 <= self.rho <= 1:
            raise InputError(f"rho must lie in [0, 1], got {rho}")
        if not 1 <= n_confusing <= 9:
            raise InputError(f"n_confusing must lie between 1 and 9, got {n_confusing}")
        colours = as_colours(BACKGROUNDS if backgrounds is None else backgrounds, name="backgrounds")
        labels, gray = read_digits(root, split, limit, seed=seed)
        rng = np.random.default_rng([seed, 2 if split == "train" else 3])
        other = (labels + rng.integers(1, n_confusing + 1, size=len(labels))) % 10
        classes = np.where(rng.random(len(labels)) < self.rho, labels, other)
        self.transform = transform
        self.targets, self.colour_classes = torch.from_numpy(labels[:limit]), torch.from_numpy(classes[:limit])
        self.conflicting = self.colour_classes != self.targets
        digit = torch.from_numpy(gray[:limit] > 0)[..., None]
        background = torch.from_numpy(colours).float()[self.colour_classes][:, None, None, :]
        self.images = torch.where(digit, torch.ones(()), background).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """(x, y, c): image (3, 28, 28), digit, and whose colour the background is."""
        x = self.images[index]
        return (self.transform(x) if self.transform else x), int(self.targets[index]), int(self.colour_classes[index])
