"""Image data sets by their name on the command line."""

import math
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ..errors import InputError
from .digit_images import Palette, load_biased_mnist, load_colored_mnist
from .image_data import ImageData
from .own_images import FOLDER_OPTIONS, check_folder_options, find_source, load_own_images


class ImageOptions(TypedDict, total=False):
    """How a data set is loaded: ``palette`` and ``unbiased`` are of the made digits, `FOLDER_OPTIONS` of all others."""

    limit: int | None
    class_weights: bool
    palette: Palette | None
    unbiased: bool
    image_size: int | None
    label: str | None
    attribute: str | None
    root: str | None
    table: str | None
    image: str | None
    split_by: str | None


def load_images(dataset: str, setting: float | None, seed: int, **options: Unpack[ImageOptions]) -> ImageData:
    """Load a data set by its name on the command line; ``setting`` is a variance (0.020) or a rho (0.990) of digits."""
    check_setting(dataset, setting, **options)
    given: dict[str, Any] = {**options}
    of_folders = {name: given.pop(name, None) for name in FOLDER_OPTIONS}
    class_weights = bool(given.pop("class_weights", False))
    if dataset == "colored-mnist":
        return load_colored_mnist(0.020 if setting is None else setting, seed, **given)
    if dataset == "biased-mnist":
        return load_biased_mnist(0.990 if setting is None else setting, seed, **given)
    return load_own_images(dataset, seed, limit=given.get("limit"), class_weights=class_weights, **of_folders)


def check_setting(dataset: str, setting: float | None, **options: Unpack[ImageOptions]) -> None:
    """Raise `InputError` for a data set or a setting that `load_images` would refuse, before anything is started."""
    made = find_source(dataset) == "digits"
    if not made and dataset.endswith(".npz") and not Path(dataset).exists():
        raise InputError(f"{dataset} does not exist")
    if options.get("palette") is not None and not made:
        raise InputError("palette applies to colored-mnist and biased-mnist only")
    if options.get("unbiased") and not made:
        raise InputError(f"ceiling: {dataset} cannot be made without its bias, as colored-mnist and biased-mnist can")
    if options.get("class_weights") and made:
        raise InputError(f"class_weights applies to images of your own and public ones: {dataset} has balanced classes")
    check_folder_options(dataset, **options)
    if dataset == "colored-mnist" and setting is not None and not 0 < setting < math.inf:
        raise InputError(f"variance of colored-mnist must be positive and finite, got {setting}")
    if dataset == "biased-mnist" and setting is not None and not 0 <= setting <= 1:
        raise InputError(f"rho of biased-mnist must lie in [0, 1], got {setting}")
