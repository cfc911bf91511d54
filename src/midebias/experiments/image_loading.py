"""Image data sets by their name on the command line."""

import math
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ..errors import InputError
from .digit_images import Palette, load_biased_mnist, load_colored_mnist
from .image_data import ImageData
from .own_images import check_folder_options, load_own_images


class ImageOptions(TypedDict, total=False):
    """How a data set is loaded: ``palette`` and ``unbiased`` are of the made digits, the last three of folders."""

    limit: int | None
    palette: Palette | None
    unbiased: bool
    image_size: int | None
    label: str | None
    attribute: str | None


def load_images(dataset: str, setting: float | None, seed: int, **options: Unpack[ImageOptions]) -> ImageData:
    """Load a data set by its name on the command line; ``setting`` is a variance (0.020) or a rho (0.990) of digits."""
    check_setting(dataset, setting, **options)
    given: dict[str, Any] = {**options}
    of_folders = {name: given.pop(name, None) for name in ("image_size", "label", "attribute")}
    if dataset == "colored-mnist":
        return load_colored_mnist(0.020 if setting is None else setting, seed, **given)
    if dataset == "biased-mnist":
        return load_biased_mnist(0.990 if setting is None else setting, seed, **given)
    return load_own_images(dataset, seed, limit=given.get("limit"), **of_folders)


def check_setting(dataset: str, setting: float | None, **options: Unpack[ImageOptions]) -> None:
    """Raise `InputError` for a data set or a setting that `load_images` would refuse, before anything is started."""
    made = dataset in ("colored-mnist", "biased-mnist")
    if not made and not (dataset.endswith(".npz") or Path(dataset).is_dir()):
        raise InputError(
            f"dataset must be colored-mnist, biased-mnist, a .npz file or a folder of images, got {dataset!r}"
        )
    if not made and not Path(dataset).exists():
        raise InputError(f"{dataset} does not exist")
    if options.get("palette") is not None and not made:
        raise InputError("palette applies to colored-mnist and biased-mnist only")
    if options.get("unbiased") and not made:
        raise InputError(f"ceiling: {dataset} cannot be made without its bias, as colored-mnist and biased-mnist can")
    check_folder_options(dataset, **options)
    if dataset == "colored-mnist" and setting is not None and not 0 < setting < math.inf:
        raise InputError(f"variance of colored-mnist must be positive and finite, got {setting}")
    if dataset == "biased-mnist" and setting is not None and not 0 <= setting <= 1:
        raise InputError(f"rho of biased-mnist must lie in [0, 1], got {setting}")
