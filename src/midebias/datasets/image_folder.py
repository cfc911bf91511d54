"""The user's own images, labels and attribute, from a folder of image files."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..protocols import DataError, InputError
from .labelled_arrays import hold_out

__all__ = ["read_image_folder"]

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class _Entry:
    file: Path
    y: str
    c: str
    split: str


def read_image_folder(
    folder: str | Path, *, image_size: int | None = None, seed: int = 0
) -> dict[str, dict[str, Tensor]]:
    """Read images as three channels, with label and attribute.

    Parameters
    ----------
    folder : path
        Either holds ``labels.csv`` with the columns ``file`` (relative to the folder), ``y``, ``c`` and, where there is
        a test set, ``split`` ("train" or "test"); or the files lie in ``train/Y/C/`` and ``test/Y/C/``, or without a
        test set in ``Y/C/``, where Y and C are the names of label and attribute. Without a test set a fifth of the
        images, drawn by ``seed``, is set aside, as biased as the rest.
    image_size : int, optional
        Images are scaled to so many pixels a side. Without it they must all have the size of the first.
    seed : int, default 0

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, 3, height, width) as float32 in [0, 1], y and c as integers: the
        names themselves where all are whole numbers from 0, else their places in alphabetical order. A c of which all
        are numbers and some have a decimal point is float32: a continuous attribute.

    Raises
    ------
    DataError
        When there is nothing to read, a column is missing, or an image is damaged or of another size; the message names
        the file.
    InputError
        When image_size is not at least 1.

    Examples
    --------
    >>> from midebias.datasets import read_image_folder
    >>> parts = read_image_folder("scans", image_size=64)    # doctest: +SKIP
    >>> x, y, c = (parts["train"][k] for k in "xyc")         # doctest: +SKIP
    """
    folder = Path(folder)
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size must be at least 1, got {image_size}")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    table = folder / "labels.csv"
    entries = list(_listed(table) if table.is_file() else _found(folder))
    if not any(e.split == "train" for e in entries):
        raise DataError(f"{folder} holds no training images: neither labels.csv nor image files in [train/]Y/C/")
    attribute = [e.c for e in entries]
    numbers = _continuous(attribute, table if table.is_file() else folder)
    labels = {
        "y": _numbered([e.y for e in entries]),
        "c": _numbered(attribute) if numbers is None else numbers,
    }
    pixels = _decoded([e.file for e in entries], image_size)
    parts = {}
    for split in ("train", "test"):
        rows = torch.tensor([i for i, e in enumerate(entries) if e.split == split], dtype=torch.long)
        x = pixels[rows].permute(0, 3, 1, 2).float().div_(255)
        parts[split] = {"x": x, "y": labels["y"][rows], "c": labels["c"][rows]}
    return parts if len(parts["test"]["y"]) else hold_out(parts["train"], seed=seed)


def _listed(table: Path) -> Iterator[_Entry]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"file", "y", "c"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{table} has no column {sorted(missing)[0]!r}; it needs file, y and c")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error})") from error
    for number, row in enumerate(rows, start=2):
        split = row.get("split", "train")
        if not (row["file"] and row["y"] and row["c"]):
            raise DataError(f"{table}, line {number}: file, y and c must each be given")
        if split not in ("train", "test"):
            raise DataError(f"{table}, line {number}: split must be 'train' or 'test', got {split!r}")
        yield _Entry(table.parent / row["file"], row["y"].strip(), row["c"].strip(), split)


def _found(folder: Path) -> Iterator[_Entry]:
    splits = {s: folder / s for s in ("train", "test")} if (folder / "train").is_dir() else {"train": folder}
    for split, root in splits.items():
        for path in sorted(root.glob("*/*/*")):
            if path.suffix.lower() in _ENDINGS and path.is_file():
                yield _Entry(path, path.parent.parent.name, path.parent.name, split)


def _numbered(names: Sequence[str]) -> Tensor:
    if all(name.isascii() and name.isdigit() and len(name) < 7 for name in names):
        return torch.tensor([int(name) for name in names])
    order = {name: i for i, name in enumerate(sorted(set(names)))}
    return torch.tensor([order[name] for name in names])


def _continuous(names: Sequence[str], source: Path) -> Tensor | None:
    try:
        values = torch.tensor([float(name) for name in names])
    except ValueError:
        return None
    if not any("." in name for name in names):
        return None
    if not bool(torch.isfinite(values).all()):
        raise DataError(f"{source}: c holds NaN or infinity among its numbers")
    return values


def _decoded(files: Sequence[Path], image_size: int | None) -> Tensor:
    """Bytes of shape (n, height, width, 3)."""
    from PIL import Image, UnidentifiedImageError

    size = None if image_size is None else (image_size, image_size)
    pixels: np.ndarray | None = None
    for i, path in enumerate(files):
        try:
            with warnings.catch_warnings(), Image.open(path) as opened:
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = opened.convert("RGB")
        except FileNotFoundError as error:
            raise DataError(f"{path} does not exist") from error
        except (
            OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError,
            Image.DecompressionBombError, Image.DecompressionBombWarning,
        ) as error:  # fmt: skip
            raise DataError(f"{path} is damaged or no image ({error})") from error
        if image_size is None and size is not None and image.size != size:
            raise DataError(f"{path} has {image.size} pixels, the first image {size}: name an image_size for all")
        size = size or image.size
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        if pixels is None:
            pixels = np.empty((len(files), size[1], size[0], 3), np.uint8)
        pixels[i] = np.asarray(image)
    assert pixels is not None
    return torch.from_numpy(pixels)
