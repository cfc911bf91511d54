"""Colored MNIST: digits whose colour gives the label away in training and says nothing in the test."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import checked
from ..errors import DataError, InputError
from .files import Source, read_gray_images
from .palette import as_colours
from .pickled_arrays import read_array_dict

COLORED_MNIST_VARIANCES = (0.020, 0.025, 0.030, 0.035, 0.040, 0.045, 0.050)
PALETTE = (
    (220, 20, 60), (0, 128, 128), (253, 233, 16), (0, 149, 182), (237, 145, 33),
    (145, 30, 188), (70, 240, 240), (250, 197, 187), (210, 245, 60), (128, 0, 0),
)  # fmt: skip


class ColoredMNIST(Dataset[tuple[Tensor, int, Tensor]]):
    """Colored MNIST after Kim et al., "Learning Not to Learn", CVPR 2019.

    A training image is the gray digit times a colour from N(palette[label], variance I), clipped to [0, 1];
    a test image takes the palette colour of a digit drawn uniformly, then the same jitter. Deterministic from ``seed``.

    Parameters
    ----------
    root : path, optional
        Folder with the MNIST idx files; default is ``MIDEBIAS_DATA``, else the files in the package.
    split : {"train", "test"}
    variance : float, default 0.020
        Variance of the colour jitter, > 0; the protocol has 0.020 to 0.050 (`COLORED_MNIST_VARIANCES`).
    transform : callable, optional
        Applied to x in ``__getitem__``.
    download : bool, default False
        Accepted for torchvision's signature; the files come with the package.
    seed : int, default 0
    attribute : {"levels", "colour"}, default "levels"
        What ``__getitem__`` yields as c.
    limit : int, optional
        First so many images only.
    palette : array of shape (10, 3), optional
        Mean colours in 0 to 255; default is the protocol's.
    unbiased : bool, optional
        Whether the mean colour is that of a digit drawn uniformly. Default is as the protocol has it: in the test only.

    Attributes
    ----------
    images : Tensor of shape (n, 3, 28, 28)
        float32 in [0, 1], channels last in memory.
    targets : Tensor of shape (n,)
        Digits.
    levels : Tensor of shape (n, 3)
        Integer c: per-channel maximum over the image, in 8 bins of 32 levels.
        Goes with ``Categorical((8, 8, 8))``, 24 columns once encoded.
    colours : Tensor of shape (n, 3)
        Continuous c in [0, 1]: per-channel maximum over the image.
    colour_classes : Tensor of shape (n,) or None
        Whose palette colour was used; None for the authors' files.

    Raises
    ------
    InputError
        An argument that is not as above.
    DataError
        A file is missing, or has another SHA-256 sum.

    Examples
    --------
    >>> from midebias.datasets import ColoredMNIST
    >>> data = ColoredMNIST(split="test", limit=100)
    >>> x, y, c = data[0]
    >>> len(data), tuple(x.shape), y
    (100, (3, 28, 28), 7)
    """

    source: ClassVar[Source] = "mnist"

    @checked
    def __init__(
        self, root: str | Path | None = None, split: Literal["train", "test"] = "train", variance: float = 0.020,
        transform: Callable[[Tensor], Tensor] | None = None, download: bool = False, *, seed: int = 0,
        attribute: Literal["levels", "colour"] = "levels", limit: int | None = None, palette: ArrayLike | None = None,
        unbiased: bool | None = None,
    ) -> None:  # fmt: skip
        if not 0 < variance < float("inf"):
            raise InputError(f"variance must be positive and finite, got {variance}")
        if attribute not in ("levels", "colour"):
            raise InputError(f"attribute must be 'levels' or 'colour', got {attribute!r}")
        means = as_colours(PALETTE if palette is None else palette)
        labels, gray = read_gray_images(root, split, limit, seed=seed, source=self.source)
        rng = np.random.default_rng([seed, 0 if split == "train" else 1])
        biased = split == "train" if unbiased is None else not unbiased
        classes = labels if biased else rng.integers(0, 10, size=len(labels))
        jitter = rng.normal(scale=variance**0.5, size=(len(labels), 3))
        colours = np.clip(means[classes] + jitter, 0.0, 1.0)
        self.variance: float | None = variance
        digits, tint = torch.from_numpy(gray[:limit]).float().div_(255), torch.from_numpy(colours[:limit]).float()
        images = (digits[..., None] * tint[:, None, None]).permute(0, 3, 1, 2)
        maxima = tint * digits.amax(dim=(1, 2))[:, None]
        self._fill(labels[:limit], images, maxima, torch.from_numpy(classes[:limit].copy()))
        self.transform, self.attribute = transform, attribute

    @classmethod
    def from_npy(
        cls, path: str | Path, split: Literal["train", "test"] = "train",
        transform: Callable[[Tensor], Tensor] | None = None, *, attribute: Literal["levels", "colour"] = "levels",
    ) -> Self:  # fmt: skip
        """Read the authors' own ``mnist_10color_jitter_var_*.npy``; nothing in the file is executed.

        Parameters
        ----------
        path : path
        split : {"train", "test"}
        transform : callable, optional
        attribute : {"levels", "colour"}, default "levels"

        Raises
        ------
        DataError
            When the file is missing, of another format, or holds more than arrays.
        """
        if split not in ("train", "test"):
            raise InputError(f"split must be 'train' or 'test', got {split!r}")
        content = read_array_dict(path)
        for key in (f"{split}_image", f"{split}_label"):
            if key not in content:
                raise DataError(f"{path} has no {key!r}; it has {', '.join(sorted(content))}")
        images, labels = content[f"{split}_image"], content[f"{split}_label"].reshape(-1)
        if images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise DataError(f"{path}: images must be (n, height, width, 3) beside n labels, got {images.shape}")
        data = cls.__new__(cls)
        data.variance, data.transform, data.attribute = None, transform, attribute
        pixels = torch.from_numpy(np.ascontiguousarray(images)).float().div_(255 if images.dtype == np.uint8 else 1)
        data._fill(labels, pixels.permute(0, 3, 1, 2), pixels.amax(dim=(1, 2)), None)
        return data

    def _fill(self, labels: NDArray[np.generic], images: Tensor, colours: Tensor, classes: Tensor | None) -> None:
        self.images, self.colours, self.colour_classes = images, colours, classes
        self.targets = torch.from_numpy(labels.astype(np.int64))
        self.levels = (colours * 255 + 1e-3).floor().clamp(0, 255).long() // 32

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, Tensor]:
        """(x, y, c): image (3, 28, 28), digit, and the attribute chosen in the constructor."""
        x = self.images[index]
        c = self.levels[index] if self.attribute == "levels" else self.colours[index]
        return (self.transform(x) if self.transform else x), int(self.targets[index]), c


class ColoredFashion(ColoredMNIST):
    """`ColoredMNIST` of Fashion-MNIST's clothes, whose files do not come with the package.

    Parameters
    ----------
    root : path, optional
        As of `BiasedFashion`.
    split, variance, transform, download, seed, attribute, limit, palette, unbiased : as of `ColoredMNIST`

    Raises
    ------
    InputError
        An argument that is not as there.
    DataError
        A file is missing, or has another SHA-256 sum.

    Examples
    --------
    >>> from midebias.datasets import ColoredFashion
    >>> data = ColoredFashion("fashion", variance=0.03)    # doctest: +SKIP
    """

    source = "fashion"
