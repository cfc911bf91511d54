"""The user's own images, labels and attributes, from a folder of image files."""

from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import DataError, InputError
from .image_labels import AttributeNames
from .image_table import ImageTable, check_folder

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


def open_image_folder(
    folder: str | Path, *, label: str | None = None, attribute: AttributeNames | None = None, image: str | None = None,
    table: str | Path | None = None, split_by: str | None = None, **options: Any,
) -> dict[str, ImageTable]:  # fmt: skip
    """Open images with label and attribute, left in their files until they are asked for.

    Parameters
    ----------
    folder : path
        Either holds ``labels.csv`` or ``labels.parquet`` with the columns ``file`` (relative to the folder), label,
        attribute and, where there is a test set, ``split``; or the files lie in ``train/Y/C/`` and ``test/Y/C/``, or
        without a test set in ``Y/C/``, where Y and C are the names of label and attribute. Without a test set a fifth
        of the images, drawn by the seed, is set aside, as biased as the rest.
    label, image : str, optional
        Columns of the table; default ``y`` and ``file``.
    attribute : str or sequence, optional
        ``attributes`` of `ImageTable`; default ``c``.
    table : path, optional
        A table of another name; its columns have the defaults above.
    split_by : str, optional
    **options : Any
        Of `ImageTable`: ``image_size``, ``kinds``, ``fractions``, ``transform``, ``seed``, ``workers``.

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
    folder, source = check_folder(folder), None if table is None else Path(table)
    if source is None:
        source = next((t for t in (folder / "labels.csv", folder / "labels.parquet") if t.is_file()), None)
    if source is not None:
        whole = ImageTable(
            folder, source, "all", image=image or "file", label=label or "y", attributes=attribute or "c",
            split_by=split_by, **options,
        )  # fmt: skip
        return select_parts(whole)
    for name, given in (("label", label), ("attribute", attribute), ("image", image), ("split_by", split_by)):
        if given is not None:
            raise InputError(f"{name} names a column, and {folder} has neither labels.csv nor labels.parquet")
    return select_parts(_FolderTree(folder, **options))


def select_parts(whole: ImageTable) -> dict[str, ImageTable]:
    """Select ``"train"`` and ``"test"``: where there is no test, "val" takes its place. Raises `DataError`."""
    at = whole.rows
    if "train" not in at:
        raise DataError(f"there are no training images: the splits are {', '.join(k for k in at if k != 'all')}")
    held = next((split for split in ("test", "val") if split in at), None)
    if held is None:
        raise DataError("there are no test images: name another split_by, or leave the splits to fractions")
    return {"train": whole.part(at["train"]), "test": whole.part(at[held])}


class _FolderTree(ImageTable):
    """Images in ``[train/]Y/C/`` and ``test/Y/C/``."""

    def __init__(self, folder: Path, **options: Any) -> None:
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
        given = names if "test" in names else None
        self._set_up(files, {"y": y, "c": c}, given, "all", label="y", groups={"c": ("c",)}, source=folder, **options)


def read_image_folder(folder: str | Path, **options: Any) -> dict[str, dict[str, Tensor]]:
    """Read all images of a folder at once: `open_image_folder`, which explains the options, decoded.

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
