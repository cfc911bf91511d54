"""The user's own images and labels, from an ``.npz``."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError


def read_labelled_arrays(path: str | Path, *, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Read images, labels and attribute from an ``.npz``; nothing in it is executed.

    Parameters
    ----------
    path : path
        Holds ``x`` (n, height, width[, channels]), bytes 0 to 255 or floats, ``y``, whole numbers from 0, and ``c``,
        whole numbers from 0 (categories) or floats (a continuous attribute); and ``x_test``, ``y_test``, ``c_test``, on
        which the method is judged: best without the bias. Without them a fifth of the images, drawn by ``seed``, is set
        aside, as biased as the rest.
    seed : int, default 0

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, channels, height, width) as float32 in the given range (bytes are
        divided by 255), y as integers, c as integers or float32.

    Raises
    ------
    DataError
        When the file cannot be read or an array is missing, not numeric, or of another length; the message names it.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from midebias.datasets import read_labelled_arrays
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/own.npz", x=np.zeros((10, 8, 8), np.uint8), y=np.arange(10) % 2, c=np.arange(10) % 3)
    ...     parts = read_labelled_arrays(folder + "/own.npz")
    >>> tuple(parts["train"]["x"].shape), len(parts["test"]["y"])
    ((8, 1, 8, 8), 2)
    """
    try:
        # Opened here, because numpy leaves a file open that turns out to be no archive.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except Exception as error:  # zip and array headers fail in many ways
        raise DataError(f"{path} cannot be read as .npz without executing it ({error})") from error
    train = _read_part(content, "", path)
    if "x_test" not in content:
        return hold_out(train, seed=seed)
    test = _read_part(content, "_test", path)
    if test["c"].dtype != train["c"].dtype:
        raise DataError(f"{path}: c and c_test must both hold whole numbers or both floats")
    return {"train": train, "test": test}


def hold_out(part: dict[str, Tensor], *, seed: int) -> dict[str, dict[str, Tensor]]:
    """A fifth of the rows, drawn by ``seed``, as ``"test"`` and the others as ``"train"``."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(part["y"])))
    held = max(1, len(order) // 5)
    rows = {"train": order[held:], "test": order[:held]}
    return {split: {name: values[at] for name, values in part.items()} for split, at in rows.items()}


def _read_part(content: dict[str, NDArray[np.generic]], suffix: str, path: str | Path) -> dict[str, Tensor]:
    missing = [name + suffix for name in ("x", "y", "c") if name + suffix not in content]
    if missing:
        raise DataError(f"{path} has no {missing[0]!r}; it has {', '.join(sorted(content)) or 'nothing'}")
    x, y, c = (content[name + suffix] for name in ("x", "y", "c"))
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[3] not in (1, 3, 4):
        raise DataError(f"{path}: x{suffix} must be (n, height, width[, channels]), got {x.shape}")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{path}: x{suffix} must hold bytes or floats, got {x.dtype}")
    if len(x) < 2:
        raise DataError(f"{path}: x{suffix} holds {len(x)} images")
    pixels = torch.from_numpy(np.ascontiguousarray(x)).float()
    if not bool(torch.isfinite(pixels).all()):
        raise DataError(f"{path}: x{suffix} holds NaN or infinity")
    if x.dtype == np.uint8:
        pixels /= 255
    part = {"x": pixels.permute(0, 3, 1, 2)}
    for name, values in (("y", y), ("c", c)):
        if values.shape != (len(x),):
            raise DataError(f"{path}: {name}{suffix} must have shape ({len(x)},) like x, got {values.shape}")
        quantity = name == "c" and np.issubdtype(values.dtype, np.floating)
        if quantity and not np.isfinite(values).all():
            raise DataError(f"{path}: c{suffix} holds NaN or infinity")
        if not quantity and (not np.issubdtype(values.dtype, np.integer) or values.min() < 0):
            raise DataError(f"{path}: {name}{suffix} must hold whole numbers from 0, got {values.dtype}")
        part[name] = torch.from_numpy(values.astype(np.float32 if quantity else np.int64))
    return part
