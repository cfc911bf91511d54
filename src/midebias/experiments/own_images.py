"""The user's own images, in an ``.npz`` or in a folder."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..attributes import Categorical, Continuous
from ..datasets import open_image_folder, read_labelled_arrays
from ..errors import DataError, InputError
from ..training.data import Problem, TensorData
from .image_data import ImageData, StreamedImages

_BINS = 8  # of a continuous attribute, for probes and for methods that classify it
_HELD_IN_MEMORY = 4 * 2**30  # bytes of decoded images; a larger folder is read again in every epoch


def load_own_images(
    path: str | Path, seed: int, *, limit: int | None = None, memory: int = _HELD_IN_MEMORY, **options: Any
) -> ImageData:
    """Load an ``.npz`` (see `read_labelled_arrays`) or a folder, by its ``options`` (see `open_image_folder`).

    Probes and methods that classify it are given eight bins of an attribute in floats, of equally many training images.
    A folder that takes more than ``memory`` bytes decoded is read again in every epoch.
    """
    check_folder_options(path, **options)
    path = Path(path)
    parts: dict[str, TensorData | StreamedImages] = {}
    if path.is_dir():
        files = open_image_folder(path, seed=seed, **options)
        known = {name: (part.y, part.c) for name, part in files.items()}
        problem, levels = _describe(path, known, options.get("label") or "y", options.get("attribute") or "c")
        files["train"] = files["train"].part(torch.arange(len(files["train"]))[:limit])
        size = sum(len(part) * math.prod(part.image_shape) * 4 for part in files.values())
        for name, part in files.items():
            part_levels = levels[name][: len(part), None]
            if size > memory:
                part.check()
                parts[name] = StreamedImages(part, part_levels)
            else:
                parts[name] = TensorData(part.read(), part.y, part_levels, part.c)
    else:
        content = read_labelled_arrays(path, seed=seed)
        known = {name: (part["y"], part["c"]) for name, part in content.items()}
        problem, levels = _describe(path, known, "y", "c")
        for name, most in (("train", limit), ("test", None)):
            x, y, c = (content[name][k][:most] for k in ("x", "y", "c"))
            x = x.contiguous(memory_format=torch.channels_last)
            parts[name] = TensorData(x, y, levels[name][:most, None], c)
    return ImageData(path.stem, "as given", problem, parts["train"], parts["test"], levels["test"])


def check_folder_options(path: str | Path, **options: object) -> None:
    """Raise `InputError` where an option is given that applies to a folder only, and ``path`` is none."""
    for name in ("image_size", "label", "attribute"):
        if options.get(name) is not None and not Path(path).is_dir():
            raise InputError(f"{name} applies to a folder of images only")


def _describe(
    path: Path, known: dict[str, tuple[Tensor, Tensor]], label: str, attribute: str
) -> tuple[Problem, dict[str, Tensor]]:
    """The problem, and the attribute of each part as categories; `DataError` where there is too little of either."""
    (train_y, train_c), (test_y, test_c) = known["train"], known["test"]
    # Said before training, which takes long, and not by the probe after it.
    for name, values in ((label, train_y), (attribute, train_c), ("the test images' c", test_c)):
        if len(torch.unique(values)) < 2:
            raise DataError(f"{path}: {name} never varies")
    if len(test_y) < 100:
        raise DataError(f"{path}: {len(test_y)} test images are too few for a probe, which needs 100")
    n_classes = 1 + max(int(train_y.max()), int(test_y.max()))
    if train_c.is_floating_point():
        inner = torch.quantile(train_c.double(), torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1])
        levels = {name: torch.bucketize(c.double(), inner.unique()) for name, (_, c) in known.items()}
        return Problem(n_classes, Continuous(1), (_BINS,)), levels
    n_levels = 1 + max(int(train_c.max()), int(test_c.max()))
    return Problem(n_classes, Categorical(n_levels), (n_levels,)), {name: c for name, (_, c) in known.items()}
