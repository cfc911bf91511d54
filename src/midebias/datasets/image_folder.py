"""The user's own images, labels and attributes, from a folder of image files."""

from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import DataError, InputError
from .image_labels import AttributeNames
from .image_table import ImageTable, check_folder, collect_images

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


def open_image_folder(
    folder: str | Path, *, label: str | None = None, attribute: AttributeNames | None = None, image: str | None = None,
    split_by: str | None = None, table: str | Path | None = None, **options: Any,
) -> dict[str, ImageTable]:  # fmt: skip
    """Open images with label and attribute, left in their files until they are asked for.

    Parameters
    ----------
    folder : path
        Either holds ``labels.csv`` or ``labels.parquet``; or the files lie in ``train/Y/C/`` and ``test/Y/C/``, or
        without a test set in ``Y/C/``, where Y and C are the names of label and attribute. Without a test set a fifth
        of the images, drawn by the seed, is set aside, as biased as the rest.
    label, attribute, image, split_by : str, optional
        Columns, see `ImageTable`; default ``y``, ``c``, ``file``, and ``split`` where there is such a column.
    table : path, optional
        A table of another name.
    **options : Any
        Those of `ImageTable`: ``image_size`` and so on.

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, see `select_parts`.

    Raises
    ------
    DataError
        When there is nothing to read, a column is missing, or an image is; the message names the file.
    InputError
        An argument out of range, or columns that are named where there is no table.

    Examples
    --------
    >>> from midebias.datasets import open_image_folder
    >>> files = open_image_folder("scans", image_size=64)["train"]    # doctest: +SKIP
    >>> files.images(torch.arange(32)).shape                          # doctest: +SKIP
    torch.Size([32, 3, 64, 64])
    """
    named: dict[str, Any] = {"label": label, "attributes": attribute, "image": image, "split_by": split_by}
    named = {name: column for name, column in named.items() if column is not None}
    tables = [check_folder(folder) / name for name in ("labels.csv", "labels.parquet")] if table is None else [table]
    source = next((path for path in tables if table is not None or Path(path).is_file()), None)
    if source is not None:
        return select_parts(ImageTable(folder, source, "all", **named, **options))
    if named:
        raise InputError(f"{', '.join(named)}: {folder} has no table of columns, neither labels.csv nor labels.parquet")
    return select_parts(_open_tree(Path(folder), **options))


def select_parts(whole: ImageTable) -> dict[str, ImageTable]:
    """Select ``"train"`` and ``"test"``: where there is no test, "val" takes its place. Raises `DataError`."""
    held = next((split for split in ("test", "val") if split in whole.rows), None)
    if "train" not in whole.rows or held is None:
        there = ", ".join(split for split in whole.rows if split != "all")
        raise DataError(
            f"there are no {'training' if 'train' not in whole.rows else 'test'} images among the splits: {there}"
        )
    return {"train": whole.part(whole.rows["train"]), "test": whole.part(whole.rows[held])}


def _open_tree(folder: Path, **options: Any) -> ImageTable:
    """Open the images in ``[train/]Y/C/`` and ``test/Y/C/``."""
    splits = {s: folder / s for s in ("train", "test")} if (folder / "train").is_dir() else {"train": folder}
    found = [
        (path, path.parent.parent.name, path.parent.name, split)
        for split, root in splits.items()
        for path in sorted(root.glob("*/*/*"))
        if path.suffix.lower() in _ENDINGS and path.is_file()
    ]
    if not found:
        raise DataError(f"{folder} holds no training images: neither a table of labels nor files in [train/]Y/C/")
    files, y, c, names = zip(*found, strict=True)
    columns, groups = {"y": y, "c": c}, {"c": ("c",)}
    return collect_images(files, columns, names, "all", label="y", groups=groups, source=folder, **options)


def read_image_folder(folder: str | Path, **options: Any) -> dict[str, dict[str, Tensor]]:
    """Open a folder as `open_image_folder`, which explains the options, and decode all images at once.

    Parameters
    ----------
    folder : path
    **options : Any

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, 3, height, width) as float32 in [0, 1], y and c.

    Raises
    ------
    DataError
        As `open_image_folder`, and when an image is damaged or of another size; the message names the file.
    InputError
        As `open_image_folder`.

    Examples
    --------
    >>> from midebias.datasets import read_image_folder
    >>> parts = read_image_folder("scans", image_size=64)    # doctest: +SKIP
    >>> x, y, c = (parts["train"][k] for k in "xyc")         # doctest: +SKIP
    """
    parts = open_image_folder(folder, **options)
    return {split: {"x": files.read(), "y": files.y, "c": files.c} for split, files in parts.items()}
