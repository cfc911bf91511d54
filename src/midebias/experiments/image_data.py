"""Image data sets by their name on the command line: Colored MNIST, Biased MNIST, the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical, Continuous
from ..datasets import BiasedMNIST, ColoredMNIST, ImageFiles, open_image_folder, read_labelled_arrays
from ..errors import DataError, InputError
from ..training.data import Batch, Problem, TensorData

__all__ = [
    "ImageData",
    "Palette",
    "StreamedImages",
    "check_setting",
    "hold_out",
    "load",
    "load_biased_mnist",
    "load_colored_mnist",
    "load_own",
]

Palette = Sequence[Sequence[float]]

_BINS = 8  # of a continuous attribute, for probes and for methods that classify it
_HELD_IN_MEMORY = 4 * 2**30  # bytes of decoded images; a larger folder is read again in every epoch


@dataclass(frozen=True)
class StreamedImages:
    """A training set whose images stay in their files, decoded batch by batch, the next one meanwhile.

    Attributes
    ----------
    files : ImageFiles
    levels : integer Tensor of shape (n, 1)
    """

    files: ImageFiles
    levels: Tensor

    @property
    def y(self) -> Tensor:
        """Labels (n,)."""
        return self.files.y

    @property
    def c(self) -> Tensor:
        """The attribute (n,)."""
        return self.files.c

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return self.files.image_shape

    def __len__(self) -> int:
        return len(self.files)

    def part(self, rows: Tensor) -> StreamedImages:
        """These rows alone."""
        return StreamedImages(self.files.part(rows), self.levels[rows])

    def batch(self, rows: Tensor) -> Batch:
        """Decoded rows as a batch, channels last."""
        return Batch(self.files.images(rows), self.y[rows], self.levels[rows], self.c[rows])

    def expect(self, rows: Tensor) -> None:
        """Begin to decode rows that will be asked for next."""
        self.files.expect(rows)


@dataclass(frozen=True)
class ImageData:
    """A biased training set and a test set, in one setting of the data set.

    Attributes
    ----------
    dataset, setting : str
        As they stand in the row.
    problem : Problem
    train, test : TensorData or StreamedImages
    attribute_classes : integer Tensor
        The attribute of the test images as the probe is asked for it.
    held_out : bool
        Whether the test images are as biased as the training images.
    """

    dataset: str
    setting: str
    problem: Problem
    train: TensorData | StreamedImages
    test: TensorData | StreamedImages
    attribute_classes: Tensor
    held_out: bool = False


def load_colored_mnist(
    variance: float,
    seed: int,
    *,
    limit: int | None = None,
    root: str | Path | None = None,
    palette: Palette | None = None,
    unbiased: bool = False,
) -> ImageData:
    """Training set (its first ``limit`` images) and the whole test set; c is the colour."""
    train = ColoredMNIST(root, "train", variance, seed=seed, limit=limit, palette=palette, unbiased=unbiased)
    test = ColoredMNIST(root, "test", variance, seed=seed, palette=palette)
    assert test.colour_classes is not None
    return ImageData(
        "colored-mnist",
        f"variance={variance:.3f}",
        Problem(10, Continuous(3), (8, 8, 8)),
        TensorData(train.images, train.targets, train.levels, train.colours),
        TensorData(test.images, test.targets, test.levels, test.colours),
        test.colour_classes,
    )


def load_biased_mnist(
    rho: float,
    seed: int,
    *,
    limit: int | None = None,
    root: str | Path | None = None,
    palette: Palette | None = None,
) -> ImageData:
    """Training set (its first ``limit`` images) and the whole unbiased test set; c is whose colour it is."""
    train = BiasedMNIST(root, "train", rho, seed=seed, limit=limit, backgrounds=palette)
    test = BiasedMNIST(root, "test", seed=seed, backgrounds=palette)
    parts = (TensorData(d.images, d.targets, d.colour_classes[:, None], d.colour_classes) for d in (train, test))
    biased, unbiased = parts
    return ImageData(
        "biased-mnist", f"rho={rho:.3f}", Problem(10, Categorical(10), (10,)), biased, unbiased, test.colour_classes
    )


def load_own(
    path: str | Path,
    seed: int,
    *,
    limit: int | None = None,
    image_size: int | None = None,
    label: str | None = None,
    attribute: str | None = None,
    memory: int = _HELD_IN_MEMORY,
) -> ImageData:
    """The user's own images: an ``.npz`` (see `read_labelled_arrays`) or a folder (see `open_image_folder`).

    An attribute in floats is continuous; probes, and methods that classify it, are given eight bins of it that hold
    equally many training images each. A folder that takes more than ``memory`` bytes decoded is streamed.
    """
    path = Path(path)
    if path.is_dir():
        files = open_image_folder(path, label=label, attribute=attribute, image_size=image_size, seed=seed)
        known = {name: (part.y, part.c) for name, part in files.items()}
    else:
        for name, value in (("image_size", image_size), ("label", label), ("attribute", attribute)):
            if value is not None:
                raise InputError(f"{name} applies to a folder of images only")
        content = read_labelled_arrays(path, seed=seed)
        known = {name: (part["y"], part["c"]) for name, part in content.items()}
    (train_y, train_c), (test_y, test_c) = known["train"], known["test"]
    # Said before training, which takes long, and not by the probe after it.
    for name, values in ((label or "y", train_y), (attribute or "c", train_c), ("the test images' c", test_c)):
        if len(torch.unique(values)) < 2:
            raise DataError(f"{path}: {name} never varies")
    if len(test_y) < 100:
        raise DataError(f"{path}: {len(test_y)} test images are too few for a probe, which needs 100")
    kind: Attribute
    if train_c.is_floating_point():
        inner = torch.quantile(train_c.double(), torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1])
        levels = {name: torch.bucketize(c.double(), inner.unique()) for name, (_, c) in known.items()}
        kind, n_levels = Continuous(1), _BINS
    else:
        levels = {name: c for name, (_, c) in known.items()}
        n_levels = 1 + max(int(v.max()) for v in levels.values())
        kind = Categorical(n_levels)
    n_classes = 1 + max(int(train_y.max()), int(test_y.max()))
    parts: dict[str, TensorData | StreamedImages] = {}
    if path.is_dir():
        files["train"] = files["train"].part(torch.arange(len(train_y))[:limit])
        streams = sum(len(part) * math.prod(part.image_shape) * 4 for part in files.values()) > memory
        for name, part in files.items():
            kept = levels[name][: len(part), None]
            if streams:
                part.check()
                parts[name] = StreamedImages(part, kept)
            else:
                parts[name] = TensorData(part.read(), part.y, kept, part.c)
    else:
        for name, most in (("train", limit), ("test", None)):
            x, y, c = (content[name][k][:most] for k in ("x", "y", "c"))
            x = x.contiguous(memory_format=torch.channels_last)
            parts[name] = TensorData(x, y, levels[name][:most, None], c)
    problem = Problem(n_classes, kind, (n_levels,))
    return ImageData(path.stem, "as given", problem, parts["train"], parts["test"], levels["test"])


def hold_out(data: ImageData, seed: int) -> ImageData:
    """A quarter of the training images, drawn by ``seed``, in place of the test set: to choose settings by.

    They are as biased as the rest, and the images, labels and attribute of the test set are not used at all.
    """
    n = len(data.train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    train, held = data.train.part(order[n // 4 :]), data.train.part(order[: n // 4])
    name = f"{data.dataset}-held-out"
    return ImageData(name, data.setting, data.problem, train, held, held.levels[:, 0], held_out=True)


def check_setting(
    dataset: str,
    setting: float | None,
    *,
    palette: Palette | None = None,
    image_size: int | None = None,
    label: str | None = None,
    attribute: str | None = None,
    unbiased: bool = False,
) -> None:
    """Raise `InputError` for a data set or a setting that `load` would refuse, before anything is begun."""
    made = dataset in ("colored-mnist", "biased-mnist")
    if not made and not (dataset.endswith(".npz") or Path(dataset).is_dir()):
        raise InputError(
            f"dataset must be colored-mnist, biased-mnist, a .npz file or a folder of images, got {dataset!r}"
        )
    if not made and not Path(dataset).exists():
        raise InputError(f"{dataset} does not exist")
    if palette is not None and not made:
        raise InputError("palette applies to colored-mnist and biased-mnist only")
    if unbiased and not made:
        raise InputError(f"ceiling: {dataset} cannot be made without its bias, as colored-mnist and biased-mnist can")
    for name, value in (("image_size", image_size), ("label", label), ("attribute", attribute)):
        if value is not None and not Path(dataset).is_dir():
            raise InputError(f"{name} applies to a folder of images only")
    if dataset == "colored-mnist" and setting is not None and not 0 < setting < math.inf:
        raise InputError(f"variance of colored-mnist must be positive and finite, got {setting}")
    if dataset == "biased-mnist" and setting is not None and not 0 <= setting <= 1:
        raise InputError(f"rho of biased-mnist must lie in [0, 1], got {setting}")


def load(
    dataset: str,
    setting: float | None,
    seed: int,
    *,
    limit: int | None = None,
    palette: Palette | None = None,
    image_size: int | None = None,
    label: str | None = None,
    attribute: str | None = None,
    unbiased: bool = False,
) -> ImageData:
    """A data set by its name in the command line: "colored-mnist" (setting: variance), "biased-mnist" (rho), or a path.

    With ``unbiased`` the training images have colours that say nothing about the digit, as those of the test.

    Raises
    ------
    InputError
        As `check_setting` does.
    """
    check_setting(
        dataset, setting, palette=palette, image_size=image_size, label=label, attribute=attribute, unbiased=unbiased
    )
    if dataset not in ("colored-mnist", "biased-mnist"):
        return load_own(dataset, seed, limit=limit, image_size=image_size, label=label, attribute=attribute)
    if dataset == "colored-mnist":
        variance = 0.020 if setting is None else setting
        return load_colored_mnist(variance, seed, limit=limit, palette=palette, unbiased=unbiased)
    rho = 0.990 if setting is None else setting
    if not unbiased:
        return load_biased_mnist(rho, seed, limit=limit, palette=palette)
    return replace(load_biased_mnist(0.1, seed, limit=limit, palette=palette), setting=f"rho={rho:.3f}")
