"""Image data sets by their name on the command line: Colored MNIST, Biased MNIST, the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical, Continuous
from ..datasets import BiasedMNIST, ColoredMNIST, read_image_folder, read_labelled_arrays
from ..methods import Problem
from ..protocols import DataError, InputError
from ..training import TensorData

__all__ = [
    "ImageData",
    "Palette",
    "check_setting",
    "hold_out",
    "load",
    "load_biased_mnist",
    "load_colored_mnist",
    "load_own",
]

Palette = Sequence[Sequence[float]]

_BINS = 8  # of a continuous attribute, for probes and for methods that classify it


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
    held_out : bool
        Whether the test images are as biased as the training images.
    """

    dataset: str
    setting: str
    problem: Problem
    train: TensorData
    test: TensorData
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


def load_own(path: str | Path, seed: int, *, limit: int | None = None, image_size: int | None = None) -> ImageData:
    """The user's own images: an ``.npz`` (see `read_labelled_arrays`) or a folder (see `read_image_folder`).

    An attribute in floats is continuous; probes, and methods that classify it, are given eight bins of it that hold
    equally many training images each.
    """
    path = Path(path)
    if path.is_dir():
        content = read_image_folder(path, image_size=image_size, seed=seed)
    elif image_size is not None:
        raise InputError("image_size applies to a folder of images only")
    else:
        content = read_labelled_arrays(path, seed=seed)
    train, test = content["train"], content["test"]
    # Said before training, which takes long, and not by the probe after it.
    for name, values in (("y", train["y"]), ("c", train["c"]), ("the test images' c", test["c"])):
        if len(torch.unique(values)) < 2:
            raise DataError(f"{path}: {name} never varies")
    if len(test["y"]) < 100:
        raise DataError(f"{path}: {len(test['y'])} test images are too few for a probe, which needs 100")
    attribute: Attribute
    if train["c"].is_floating_point():
        inner = torch.quantile(train["c"].double(), torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1])
        levels = {k: torch.bucketize(v["c"].double(), inner.unique()) for k, v in content.items()}
        attribute, n_levels = Continuous(1), _BINS
    else:
        levels = {k: v["c"] for k, v in content.items()}
        n_levels = 1 + max(int(v.max()) for v in levels.values())
        attribute = Categorical(n_levels)
    n_classes = 1 + max(int(part["y"].max()) for part in (train, test))
    parts = []
    for name, kept in (("train", limit), ("test", None)):
        x, y, c = (content[name][k][:kept] for k in ("x", "y", "c"))
        parts.append(TensorData(x.contiguous(memory_format=torch.channels_last), y, levels[name][:kept, None], c))
    problem = Problem(n_classes, attribute, (n_levels,))
    return ImageData(path.stem, "as given", problem, parts[0], parts[1], levels["test"])


def hold_out(data: ImageData, seed: int) -> ImageData:
    """A quarter of the training images, drawn by ``seed``, in place of the test set: to choose settings by.

    They are as biased as the rest, and the images, labels and attribute of the test set are not used at all.
    """
    n = len(data.train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    parts = []
    for rows in (order[n // 4 :], order[: n // 4]):
        batch = data.train.batch(rows)
        parts.append(TensorData(batch.x, batch.y, batch.levels, batch.c))
    name = f"{data.dataset}-held-out"
    return ImageData(name, data.setting, data.problem, parts[0], parts[1], parts[1].levels[:, 0], held_out=True)


def check_setting(
    dataset: str,
    setting: float | None,
    *,
    palette: Palette | None = None,
    image_size: int | None = None,
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
    if image_size is not None and not Path(dataset).is_dir():
        raise InputError("image_size applies to a folder of images only")
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
    unbiased: bool = False,
) -> ImageData:
    """A data set by its name in the command line: "colored-mnist" (setting: variance), "biased-mnist" (rho), or a path.

    With ``unbiased`` the training images have colours that say nothing about the digit, as those of the test.

    Raises
    ------
    InputError
        As `check_setting` does.
    """
    check_setting(dataset, setting, palette=palette, image_size=image_size, unbiased=unbiased)
    if dataset not in ("colored-mnist", "biased-mnist"):
        return load_own(dataset, seed, limit=limit, image_size=image_size)
    if dataset == "colored-mnist":
        variance = 0.020 if setting is None else setting
        return load_colored_mnist(variance, seed, limit=limit, palette=palette, unbiased=unbiased)
    rho = 0.990 if setting is None else setting
    if not unbiased:
        return load_biased_mnist(rho, seed, limit=limit, palette=palette)
    return replace(load_biased_mnist(0.1, seed, limit=limit, palette=palette), setting=f"rho={rho:.3f}")
