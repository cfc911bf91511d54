"""The user's own images, labels and attributes, from an ``.npz``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from .image_labels import AttributeNames, ImageLabels, Kind, encode_labels, group_names
from .splits import HELD_OUT, draw_splits


def read_labelled_arrays(
    path: str | Path, *, label: str = "y", attributes: AttributeNames = "c", kinds: Mapping[str, Kind] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:  # fmt: skip
    """Read images, labels and attributes from an ``.npz``; nothing in it is executed.

    Parameters
    ----------
    path : path
        Holds ``x`` (n, height, width[, channels]), bytes 0 to 255 or floats, the label ``y`` (n,), whole numbers from 0
        or text, and the attribute ``c`` (n,) or (n, columns); and ``x_test``, ``y_test``, ``c_test``, on which the
        method is judged: best without the bias. Without them a fifth of the images, drawn by ``seed``, is set aside, as
        biased as the rest. A column of c that holds text or whole numbers of at most 20 distinct values is of
        categories, every other one is a quantity, such as a channel of a colour; NaN means missing.
    label : str, default "y"
    attributes : str or sequence, default "c"
        Names of arrays, as `ImageTable` takes names of columns.
    kinds : mapping, optional
        By name of an attribute, "category" or "quantity".
    seed : int, default 0

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, channels, height, width) as float32 in the given range (bytes are
        divided by 255), y and c as in `ImageLabels`.

    Raises
    ------
    DataError
        When the file cannot be read or an array is missing, of another kind or length; the message names it.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from midebias.datasets import read_labelled_arrays
    >>> rng = np.random.default_rng(0)
    >>> arrays = {"x": np.zeros((10, 8, 8), np.uint8), "y": np.arange(10) % 2, "colour": rng.random((10, 3))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(folder + "/own.npz", **arrays)
    ...     parts = read_labelled_arrays(folder + "/own.npz", attributes="colour")
    >>> tuple(parts["train"]["x"].shape), tuple(parts["test"]["c"].shape)
    ((8, 1, 8, 8), (2, 3))
    """
    found = open_arrays(path, label=label, attributes=attributes, kinds=kinds, seed=seed)
    return {split: {"x": x, "y": labels.y, "c": labels.c} for split, (x, labels) in found.items()}


def open_arrays(
    path: str | Path, *, label: str = "y", attributes: AttributeNames = "c", kinds: Mapping[str, Kind] | None = None,
    seed: int = 0,
) -> dict[str, tuple[Tensor, ImageLabels]]:  # fmt: skip
    """Read as `read_labelled_arrays`, with what the labels stand for."""
    groups, content = group_names(attributes), load_arrays(path)
    names = ("x", label, *(name for group in groups.values() for name in group))
    parts = [
        _check_part(content, suffix, names, path) for suffix in ("", "_test") if f"x{suffix}" in content or not suffix
    ]
    _check_label(label, parts, path)
    for name in names[2:]:
        if len({part[name].dtype.kind in "fc" for part in parts}) > 1:
            raise DataError(f"{path}: {name} and {name}_test must both hold whole numbers or both floats")
        if len({part[name].shape[1:] for part in parts}) > 1:
            raise DataError(f"{path}: {name} and {name}_test must have equally many columns")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names[1:]}
    given = {n: columns[g[0]] if len(g) == 1 else {k: columns[k] for k in g} for n, g in groups.items()}
    x = [_convert(part["x"], path) for part in parts]
    labels = encode_labels((label, columns[label]), given, kinds, source=path)
    if len(parts) == 1:
        rows = draw_splits(torch.arange(len(labels)), HELD_OUT, seed=seed)
        return {split: (x[0][at], labels.part(at)) for split, at in rows.items()}
    n = len(x[0])
    return {"train": (x[0], labels.part(torch.arange(n))), "test": (x[1], labels.part(torch.arange(n, len(labels))))}


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Load all arrays of an ``.npz``. Raises `DataError`."""
    try:
        # Opened here, because numpy leaves a file open that turns out to be no archive.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zip and array headers fail in many ways
        raise DataError(f"{path} cannot be read as .npz without executing it ({error})") from error


def _check_part(
    content: Mapping[str, NDArray[Any]], suffix: str, names: Sequence[str], path: str | Path
) -> dict[str, NDArray[Any]]:
    missing = [name + suffix for name in names if name + suffix not in content]
    if missing:
        raise DataError(f"{path} has no {missing[0]!r}; it has {', '.join(sorted(content)) or 'nothing'}")
    part = {name: content[name + suffix] for name in names}
    x = part["x"] = part["x"][..., None] if part["x"].ndim == 3 else part["x"]
    if x.ndim != 4 or x.shape[3] not in (1, 3, 4):
        raise DataError(f"{path}: x{suffix} must be (n, height, width[, channels]), got {x.shape}")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{path}: x{suffix} must hold bytes or floats, got {x.dtype}")
    if len(x) < 2:
        raise DataError(f"{path}: x{suffix} holds {len(x)} images")
    for i, (name, values) in enumerate(list(part.items())[1:]):
        several = i > 0 and values.ndim == 2 and values.shape[1] > 0
        if values.shape != (len(x), *values.shape[1:][:several]):
            shape = f"({len(x)},)" if i == 0 else f"({len(x)},) or ({len(x)}, columns)"
            raise DataError(f"{path}: {name}{suffix} must have shape {shape} like x, got {values.shape}")
    return part


def _check_label(label: str, parts: Sequence[Mapping[str, NDArray[Any]]], path: str | Path) -> None:
    for suffix, part in zip(("", "_test"), parts, strict=False):
        kind = part[label].dtype.kind
        if kind not in "iubUS" or (kind == "i" and part[label].min() < 0):
            raise DataError(f"{path}: {label}{suffix} must hold whole numbers from 0 or text, got {part[label].dtype}")


def _convert(x: NDArray[Any], path: str | Path) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(x)).float()
    if not bool(torch.isfinite(pixels).all()):
        raise DataError(f"{path}: x holds NaN or infinity")
    if x.dtype == np.uint8:
        pixels /= 255
    return pixels.permute(0, 3, 1, 2)
