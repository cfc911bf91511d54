"""Image data sets by their name on the command line."""

import math
from pathlib import Path

from ..errors import InputError
from .digit_images import Palette, load_biased_mnist, load_colored_mnist
from .image_data import ImageData
from .own_images import check_folder_options, load_own_images


def load_images(
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
    """Load a data set by its name on the command line: "colored-mnist", "biased-mnist", or a path.

    ``setting`` is the variance of colored-mnist (default 0.020) or the rho of biased-mnist (default 0.990). Raises
    `InputError` as `check_setting` does.
    """
    check_setting(
        dataset, setting, palette=palette, image_size=image_size, label=label, attribute=attribute, unbiased=unbiased
    )
    if dataset == "colored-mnist":
        variance = 0.020 if setting is None else setting
        return load_colored_mnist(variance, seed, limit=limit, palette=palette, unbiased=unbiased)
    if dataset == "biased-mnist":
        rho = 0.990 if setting is None else setting
        return load_biased_mnist(rho, seed, limit=limit, palette=palette, unbiased=unbiased)
    return load_own_images(dataset, seed, limit=limit, image_size=image_size, label=label, attribute=attribute)


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
    """Raise `InputError` for a data set or a setting that `load_images` would refuse, before anything is started."""
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
    check_folder_options(dataset, image_size=image_size, label=label, attribute=attribute)
    if dataset == "colored-mnist" and setting is not None and not 0 < setting < math.inf:
        raise InputError(f"variance of colored-mnist must be positive and finite, got {setting}")
    if dataset == "biased-mnist" and setting is not None and not 0 <= setting <= 1:
        raise InputError(f"rho of biased-mnist must lie in [0, 1], got {setting}")
