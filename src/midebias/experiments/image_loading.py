"""Image data sets by their name on the command line."""

import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from .digit_images import load_biased_mnist, load_colored_mnist
from .image_data import ImageData
from .own_images import FOLDER_OPTIONS, check_folder_options, find_source, load_own_images


def load_images(dataset: str, setting: float | None, seed: int, **options: Any) -> ImageData:
    """Load a data set by its name on the command line; ``setting`` is a variance (0.020) or a rho (0.990) of digits.

    Options are ``limit``; ``palette`` and ``unbiased`` of digits; ``class_weights`` and `FOLDER_OPTIONS` of all others.
    """
    check_setting(dataset, setting, **options)
    of_digits = {name: options[name] for name in ("limit", "palette", "unbiased") if name in options}
    if dataset == "colored-mnist":
        return load_colored_mnist(0.020 if setting is None else setting, seed, **of_digits)
    if dataset == "biased-mnist":
        return load_biased_mnist(0.990 if setting is None else setting, seed, **of_digits)
    own: dict[str, Any] = {name: options.get(name) for name in ("limit", *FOLDER_OPTIONS)}
    return load_own_images(dataset, seed, class_weights=bool(options.get("class_weights")), **own)


def check_setting(dataset: str, setting: float | None, **options: Any) -> None:
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
