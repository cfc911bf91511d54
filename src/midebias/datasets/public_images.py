"""Public image data sets with a known attribute, read from their folders as they are distributed."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np

from ..errors import DataError, InputError
from .image_labels import AttributeNames, group_names
from .image_table import ImageTable, TableOptions, check_folder, collect_images
from .label_columns import read_label_columns
from .labelled_arrays import load_arrays
from .splits import SPLITS

_Found = tuple[Any, Mapping[str, Any], Sequence[Any] | None]  # images, columns, and splits where there are some


class _Layout(NamedTuple):
    """How the folder of a data set is read, and the usual question."""

    read: Callable[[Path, Sequence[str]], _Found]
    label: str
    attributes: str | None
    title: str


def open_public_images(
    name: str, root: str | Path, split: str = "train", *, label: str | None = None,
    attributes: AttributeNames | None = None, **options: Unpack[TableOptions],
) -> ImageTable:  # fmt: skip
    """Open a public data set from its folder as it is distributed; nothing is downloaded.

    Parameters
    ----------
    name : {"celeba", "utkface", "fairface", "waterbirds", "wilds", "medmnist"}
        The folder, or a folder in it, holds

        - celeba: ``list_attr_celeba`` and ``list_eval_partition``, ``.txt`` or ``.csv``, and ``img_align_celeba``
        - utkface: images named ``age_gender_race_date.jpg``; gender is 0 male, 1 female, race 0 to 4; without splits
        - fairface: ``fairface_label_train.csv``, ``fairface_label_val.csv`` and images; splits are train and val
        - waterbirds, wilds: ``metadata.csv`` with a column of image files, and ``split``; images beside it
        - medmnist: nothing; ``root`` is the ``.npz``. Several labels are ``label_0``, ``label_1``; arrays that were
          added, such as ``train_site``, ``val_site``, ``test_site``, are columns, too

    root : path
    split : {"train", "val", "test", "id_val", "id_test", "all"}, default "train"
        As its authors split it, or by `ImageTable`'s fractions.
    label : str, optional
        Column that is predicted: by default Blond_Hair, gender, gender, y, y and label.
    attributes : str or sequence, optional
        Columns that must not be learned, as in `ImageTable`: by default Male, age, race and place; of wilds and
        medmnist they must be named.
    **options : Any
        Those of `ImageTable`.

    Returns
    -------
    ImageTable

    Raises
    ------
    DataError
        As `ImageTable`, and a folder that is not as it is distributed; the message says what is expected.
    InputError
        As `ImageTable`.

    References
    ----------
    Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015. Zhang et al., "Age Progression/Regression by
    Conditional Adversarial Autoencoder", CVPR 2017. Karkkainen and Joo, "FairFace", WACV 2021. Sagawa et al.,
    "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020. Koh et al., "WILDS", ICML 2021. Yang et al.,
    "MedMNIST v2", Scientific Data 2023.

    Examples
    --------
    >>> from midebias.datasets import open_public_images
    >>> open_public_images("utkface", "UTKFace", attributes=["age", "race"], image_size=64)       # doctest: +SKIP
    >>> open_public_images("medmnist", "chest.npz", label="label_2", attributes="label_7")        # doctest: +SKIP
    """
    if name not in PUBLIC_IMAGES:
        raise InputError(f"name must be one of {', '.join(PUBLIC_IMAGES)}, got {name!r}")
    layout = PUBLIC_IMAGES[name]
    label, attributes = label or layout.label, attributes or layout.attributes
    if attributes is None:
        raise InputError(f"attributes must name a column: {name} has no usual one")
    groups = group_names(attributes)
    needed = [label, *(column for group in groups.values() for column in group)]
    images, columns, splits = layout.read(Path(root), needed)
    for column in needed:
        if column not in columns:
            raise DataError(f"{root}: {name} has no column {column!r}; it has {', '.join(columns)}")
    return collect_images(images, columns, splits, split, label=label, groups=groups, source=root, **options)


_UTKFACE_NAME = re.compile(r"(\d*)_([01]?)_(?:([0-4]?)_)?\d{8,}.*\.jpe?g", re.IGNORECASE)
_IMAGE_COLUMNS = ("img_filename", "filename", "file_name", "image_path", "file", "path")


def _read_celeba(root: Path, needed: Sequence[str]) -> _Found:
    columns = _read_list(_find_file(root, "list_attr_celeba", ".txt", ".csv"), needed)
    parts = _read_list(_find_file(root, "list_eval_partition", ".txt", ".csv"), ["partition"])
    split_of, names = dict(zip(parts["image_id"], parts["partition"], strict=True)), columns["image_id"]
    unknown = [name for name in names if name not in split_of]
    if unknown:
        raise DataError(f"{root}: list_eval_partition lacks {len(unknown):,} images, {unknown[0]} for one")
    folders = ("img_align_celeba", "img_align_celeba/img_align_celeba", "Img/img_align_celeba")
    return _find_images(root, names, *folders), columns, [split_of[name] for name in names]


def _read_list(path: Path, needed: Sequence[str]) -> Mapping[str, Any]:
    """Columns of one of CelebA's lists. A ``.txt`` begins with the count of rows and the names, or has neither."""
    if path.suffix == ".csv":
        return read_label_columns(path, ["image_id", *needed])
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    headed = len(lines) > 2 and len(lines[0]) == 1
    header, rows = ["image_id", *(lines[1] if headed else needed)], lines[2:] if headed else lines
    wrong = next((i for i, row in enumerate(rows, start=1) if len(row) != len(header)), None if rows else 1)
    if wrong is not None:
        raise DataError(f"{path} is not CelebA's: row {wrong} must have {len(header)} values")
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def _read_utkface(root: Path, _: Sequence[str]) -> _Found:
    files = sorted(path for path in check_folder(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    found = [_UTKFACE_NAME.fullmatch(path.name) for path in files]
    if not files or None in found:
        odd = files[found.index(None)] if files else "nothing"
        raise DataError(f"{root}: files of UTKFace are named age_gender_race_date.jpg, found {odd}")
    names = ("age", "gender", "race")
    return files, {name: [m and m[i] for m in found] for i, name in enumerate(names, start=1)}, None


def _read_fairface(root: Path, needed: Sequence[str]) -> _Found:
    columns, splits = dict[str, list[Any]](), list[str]()
    for split in ("train", "val"):
        part = read_label_columns(_find_file(root, f"fairface_label_{split}", ".csv"), ["file", *needed])
        splits += [split] * len(part["file"])
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return _find_images(root, columns["file"], ".", "fairface-img-margin025-trainval"), columns, splits


def _read_metadata(root: Path, needed: Sequence[str]) -> _Found:
    path = _find_file(root, "metadata", ".csv")
    columns = read_label_columns(path, needed, [*_IMAGE_COLUMNS, "split"])
    image = next((name for name in _IMAGE_COLUMNS if name in columns), None)
    if image is None:
        raise DataError(f"{path} has no column of images: one of {', '.join(_IMAGE_COLUMNS)}")
    return _find_images(path.parent, columns[image], ".", "images", "train"), columns, columns.get("split")


def _read_medmnist(root: Path, _: Sequence[str]) -> _Found:
    content = load_arrays(root)
    there = [split for split in SPLITS if {f"{split}_images", f"{split}_labels"} <= set(content)]
    if "train" not in there:
        raise DataError(
            f"{root} is not of MedMNIST: it needs train_images and train_labels, and has {', '.join(content)}"
        )
    names = [name.removeprefix("train_") for name in content if name.startswith("train_")]
    try:
        arrays = {name: np.concatenate([content[f"{split}_{name}"] for split in there]) for name in names}
    except (KeyError, ValueError) as error:
        raise DataError(f"{root}: its arrays do not go together ({error})") from error
    images, labels = arrays.pop("images"), arrays.pop("labels")
    if images.dtype != np.uint8 or images.shape[3:] not in ((), (3,)):
        raise DataError(f"{root}: images must be bytes (n, height, width[, 3]), got {images.dtype} {images.shape}")
    columns = labels.reshape(len(labels), -1).T
    arrays |= {"label" if len(columns) == 1 else f"label_{i}": column for i, column in enumerate(columns)}
    if any(len(values) != len(images) for values in arrays.values()):
        raise DataError(f"{root}: its arrays must have a row for each of {len(images):,} images")
    return images, arrays, [split for split in there for _ in content[f"{split}_images"]]


def _find_file(root: Path, stem: str, *endings: str) -> Path:
    """Find a file in a folder, or in a folder below."""
    check_folder(root)
    names = [stem + ending for ending in endings]
    found = [path for pattern in ("{}", "*/{}") for name in names for path in sorted(root.glob(pattern.format(name)))]
    if not found:
        raise DataError(f"{root} holds no {' or '.join(names)}, nor does a folder in it")
    return found[0]


def _find_images(root: Path, names: Sequence[str], *folders: str) -> list[Path]:
    """Paths of the images, in that of the folders which holds the first."""
    found = next((root / folder for folder in folders if names and (root / folder / names[0]).is_file()), None)
    if found is None:
        first = names[0] if names else "no image"
        raise DataError(f"{root / folders[0]} holds no {first}, nor does {' or '.join(folders[1:])}")
    return [found / name for name in names]


PUBLIC_IMAGES = {
    "celeba": _Layout(_read_celeba, "Blond_Hair", "Male", "CelebA, 40 attributes of celebrities' faces"),
    "utkface": _Layout(_read_utkface, "gender", "age", "UTKFace, age, gender and race of faces"),
    "fairface": _Layout(_read_fairface, "gender", "race", "FairFace, age, gender and race of faces"),
    "waterbirds": _Layout(_read_metadata, "y", "place", "Waterbirds, land and water birds before land and water"),
    "wilds": _Layout(_read_metadata, "y", None, "metadata.csv in the manner of WILDS"),
    "medmnist": _Layout(_read_medmnist, "label", None, "MedMNIST, small medical images in an .npz"),
}
"""By their names, on the command line too."""
