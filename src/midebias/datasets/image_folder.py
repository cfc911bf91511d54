"""The user's own images, labels and attribute, from a folder of image files."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError, InputError
from .decoding import open_image
from .image_files import ImageFiles
from .image_labels import SPLITS, list_labelled_files, number_names, parse_quantities, read_label_table
from .labelled_arrays import hold_out


def open_image_folder(
    folder: str | Path, *, label: str | None = None, attribute: str | None = None, image_size: int | None = None,
    seed: int = 0, workers: int = 4,
) -> dict[str, ImageFiles]:  # fmt: skip
    """Open images with label and attribute, left in their files until they are asked for.

    Parameters
    ----------
    folder : path
        Either holds ``labels.csv`` or ``labels.parquet`` with the columns ``file`` (relative to the folder), label,
        attribute and, where there is a test set, ``split`` ("train" or "test"); or the files lie in ``train/Y/C/`` and
        ``test/Y/C/``, or without a test set in ``Y/C/``, where Y and C are the names of label and attribute. Without a
        test set a fifth of the images, drawn by ``seed``, is set aside, as biased as the rest.
    label, attribute : str, optional
        Columns of the table; default ``y`` and ``c``.
    image_size : int, optional
        Images are scaled to so many pixels a side. Without it they must all have the size of the first.
    seed : int, default 0
    workers : int, default 4
        Threads that decode.

    Returns
    -------
    dict
        ``"train"`` and ``"test"``. Labels and attributes are integers: the names themselves where all are whole numbers
        from 0, else their places in alphabetical order. An attribute of which all are numbers and some have a decimal
        point is float32: a continuous one.

    Raises
    ------
    DataError
        When there is nothing to read, a column is missing, or the first image is; the message names the file.
    InputError
        When image_size or workers is not at least 1, or columns are named and there is no table.

    Examples
    --------
    >>> from midebias.datasets import open_image_folder
    >>> files = open_image_folder("scans", image_size=64)["train"]    # doctest: +SKIP
    >>> files.images(torch.arange(32)).shape                          # doctest: +SKIP
    torch.Size([32, 3, 64, 64])
    """
    folder = Path(folder)
    for name, value in (("image_size", image_size), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    tables = [t for t in (folder / "labels.csv", folder / "labels.parquet") if t.is_file()]
    if not tables and not (label is None and attribute is None):
        raise InputError(f"label and attribute name columns, and {folder} has neither labels.csv nor labels.parquet")
    found = read_label_table(tables[0], label or "y", attribute or "c") if tables else list_labelled_files(folder)
    entries = list(found)
    if not any(e.split == "train" for e in entries):
        raise DataError(f"{folder} holds no training images: neither a table of labels nor image files in [train/]Y/C/")
    numbers = parse_quantities([e.c for e in entries], tables[0] if tables else folder)
    y, c = number_names([e.y for e in entries]), number_names([e.c for e in entries]) if numbers is None else numbers
    size = open_image(entries[0].file, None, False).size if image_size is None else (image_size, image_size)
    files = ImageFiles([e.file for e in entries], y, c, size=size, scale=image_size is not None, workers=workers)
    rows = {s: torch.tensor([i for i, e in enumerate(entries) if e.split == s], dtype=torch.long) for s in SPLITS}
    if not len(rows["test"]):
        rows = {s: held["y"] for s, held in hold_out({"y": rows["train"]}, seed=seed).items()}
    return {split: files.part(rows[split]) for split in SPLITS}


def read_image_folder(
    folder: str | Path, *, label: str | None = None, attribute: str | None = None, image_size: int | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:  # fmt: skip
    """Read all images of a folder at once: `open_image_folder`, which explains the parameters, decoded.

    Parameters
    ----------
    folder : path
    label, attribute : str, optional
    image_size : int, optional
    seed : int, default 0

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, 3, height, width) as float32 in [0, 1], y and c.

    Raises
    ------
    DataError
        As `open_image_folder`, and when an image is missing, damaged or of another size; the message names the file.
    InputError
        As `open_image_folder`.

    Examples
    --------
    >>> from midebias.datasets import read_image_folder
    >>> parts = read_image_folder("scans", image_size=64)    # doctest: +SKIP
    >>> x, y, c = (parts["train"][k] for k in "xyc")         # doctest: +SKIP
    """
    parts = open_image_folder(folder, label=label, attribute=attribute, image_size=image_size, seed=seed)
    return {split: {"x": files.read(), "y": files.y, "c": files.c} for split, files in parts.items()}
