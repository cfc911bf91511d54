"""Image data sets by their name on the command line."""

from pathlib import Path
from typing import Any

from ..errors import InputError
from .image_data import ImageData
from .own_images import FOLDER_OPTIONS, check_folder_options, find_source, load_own_images
from .planted_images import PLANTED, check_planted_setting, load_planted_images


def load_images(dataset: str, setting: float | None, seed: int, **options: Any) -> ImageData:
    """Load a data set by its name on the command line; ``setting`` is a variance or a rho: `load_planted_images`.

    Options are ``limit`` and ``root``; ``palette`` and ``unbiased`` where a bias is planted; ``class_weights``,
    ``memory`` and `FOLDER_OPTIONS` of all others.
    """
    check_setting(dataset, setting, **options)
    if find_source(dataset) == "planted biases":
        given = {name: options[name] for name in ("limit", "palette", "unbiased", "root") if name in options}
        return load_planted_images(dataset, setting, seed, **given)
    own: dict[str, Any] = {name: options.get(name) for name in ("limit", *FOLDER_OPTIONS)}
    own |= {"memory": options["memory"]} if "memory" in options else {}
    return load_own_images(dataset, seed, class_weights=bool(options.get("class_weights")), **own)


def check_setting(dataset: str, setting: float | None, **options: Any) -> None:
    """Raise `InputError` for a data set or a setting that `load_images` would refuse, before anything is started."""
    planted, known = find_source(dataset) == "planted biases", " and ".join(PLANTED)
    if not planted and dataset.endswith(".npz") and not Path(dataset).exists():
        raise InputError(f"{dataset} does not exist")
    if options.get("palette") is not None and not planted:
        raise InputError(f"palette applies to {known} only")
    if options.get("unbiased") and not planted:
        raise InputError(f"ceiling: {dataset} cannot be made without its bias, as {known} can")
    if options.get("class_weights") and planted:
        raise InputError(f"class_weights applies to images of your own and public ones: {dataset} has balanced classes")
    check_folder_options(dataset, **options)
    if planted:
        check_planted_setting(dataset, setting)
