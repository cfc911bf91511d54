"""Public image data sets with a known attribute, read from their folders as they are distributed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np

from ..errors import DataError, InputError
from .image_labels import AttributeNames, group_names
from .image_table import ImageTable, TableOptions, check_folder
from .label_columns import read_label_columns
from .labelled_arrays import load_arrays
from .splits import SPLITS

_Found = tuple[Any, Mapping[str, Any], Sequence[Any] | None]  # images, columns, and splits where there are some


class PublicImages(ImageTable):
    """A data set that is read from its folder as it is distributed, by one of the classes that follow.

    Parameters
    ----------
    root : path
    split : {"train", "val", "test", "all"}, default "train"
        As its authors split it; of data that come without splits, by `ImageTable`'s fractions.
    label : str
        Column that is predicted; default is the data set's ``label``.
    attributes : str or sequence
        Columns that must not be learned, as in `ImageTable`; default is the data set's ``attributes``.
    **options : Any
        Those of `ImageTable`.

    Raises
    ------
    DataError
        As `ImageTable`, and a folder that is not as it is distributed; the message says what is expected.
    InputError
        As `ImageTable`.

    Examples
    --------
    >>> from midebias.datasets import CelebA, MedMNIST, UTKFace
    >>> CelebA("celeba", label="Blond_Hair", attributes="Male", image_size=64)            # doctest: +SKIP
    >>> UTKFace("UTKFace", label="gender", attributes=["age", "race"], image_size=64)     # doctest: +SKIP
    >>> MedMNIST("chestmnist.npz", label="label_2", attributes="label_7")                 # doctest: +SKIP
    """

    label: ClassVar[str | None] = None
    attributes: ClassVar[str | None] = None

    def __init__(
        self, root: str | Path, split: str = "train", *, label: str | None = None,
        attributes: AttributeNames | None = None, **options: Unpack[TableOptions],
    ) -> None:  # fmt: skip
        name, label, attributes = type(self).__name__, label or self.label, attributes or self.attributes
        if label is None or attributes is None:
            raise InputError(
                f"{'label' if label is None else 'attributes'} must name a column: {name} has no usual one"
            )
        groups = group_names(attributes)
        needed = [label, *(column for group in groups.values() for column in group)]
        images, columns, splits = self._find(Path(root), needed)
        for column in needed:
            if column not in columns:
                raise DataError(f"{root}: {name} has no column {column!r}; it has {', '.join(columns)}")
        self._set_up(images, columns, splits, split, label=label, groups=groups, source=root, **options)

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
        raise NotImplementedError


class CelebA(PublicImages):
    """CelebA: 40 attributes of celebrities' faces; by default blond hair without gender. See `PublicImages`.

    The folder, or one in it, holds ``list_attr_celeba`` and ``list_eval_partition``, ``.txt`` or ``.csv``; the images
    are in ``img_align_celeba``.

    References
    ----------
    Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
    """

    label, attributes = "Blond_Hair", "Male"

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
        columns = _read_celeba(_find_file(root, "list_attr_celeba", ".txt", ".csv"), needed)
        parts = _read_celeba(_find_file(root, "list_eval_partition", ".txt", ".csv"), ["partition"])
        split_of, names = dict(zip(parts["image_id"], parts["partition"], strict=True)), columns["image_id"]
        unknown = [name for name in names if name not in split_of]
        if unknown:
            raise DataError(f"{root}: list_eval_partition lacks {len(unknown):,} images, {unknown[0]} for one")
        folders = ("img_align_celeba", "img_align_celeba/img_align_celeba", "Img/img_align_celeba")
        return _find_images(root, names, *folders), columns, [split_of[name] for name in names]


def _read_celeba(path: Path, needed: Sequence[str]) -> Mapping[str, Any]:
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


class UTKFace(PublicImages):
    """UTKFace: files named ``age_gender_race_date.jpg``; by default gender without age. See `PublicImages`.

    Columns are ``age`` in years, ``gender`` (0 male, 1 female) and ``race`` (0 to 4), missing where a name lacks it.
    Files may lie in folders below. There are no splits of its authors.

    References
    ----------
    Zhang, Song and Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017.
    """

    label, attributes = "gender", "age"
    _NAME: ClassVar[re.Pattern[str]] = re.compile(r"(\d*)_([01]?)_(?:([0-4]?)_)?\d{8,}.*\.jpe?g", re.IGNORECASE)

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
        files = sorted(path for path in check_folder(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        found = [self._NAME.fullmatch(path.name) for path in files]
        if not files or None in found:
            odd = files[found.index(None)] if files else "nothing"
            raise DataError(f"{root}: files of UTKFace are named age_gender_race_date.jpg, found {odd}")
        names = ("age", "gender", "race")
        return files, {name: [m and m[i] for m in found] for i, name in enumerate(names, start=1)}, None


class FairFace(PublicImages):
    """FairFace: age, gender and race of faces; by default gender without race. See `PublicImages`.

    The folder holds ``fairface_label_train.csv`` and ``fairface_label_val.csv`` and the images that they name.

    References
    ----------
    Karkkainen and Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age", WACV 2021.
    """

    label, attributes = "gender", "race"

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
        columns, splits = dict[str, list[Any]](), list[str]()
        for split in ("train", "val"):
            part = read_label_columns(_find_file(root, f"fairface_label_{split}", ".csv"), ["file", *needed])
            splits += [split] * len(part["file"])
            for name, values in part.items():
                columns.setdefault(name, []).extend(values)
        return _find_images(root, columns["file"], ".", "fairface-img-margin025-trainval"), columns, splits


class WILDSImages(PublicImages):
    """A data set in the manner of WILDS: a ``metadata.csv`` of image files, labels, splits. See `PublicImages`.

    Default label is ``y``; the attribute, a column such as a camera's or a hospital's, must be named. Paths are
    relative to the folder of the table, or to ``images`` or ``train`` in it.

    References
    ----------
    Koh, Sagawa et al., "WILDS: A Benchmark of in-the-Wild Distribution Shifts", ICML 2021.
    """

    label = "y"
    _IMAGES: ClassVar[tuple[str, ...]] = (
        "img_filename",
        "filename",
        "file_name",
        "image_path",
        "file",
        "path",
        "image",
    )

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
        path = _find_file(root, "metadata", ".csv")
        columns = read_label_columns(path, needed, [*self._IMAGES, "split"])
        image = next((name for name in self._IMAGES if name in columns), None)
        if image is None:
            raise DataError(f"{path} has no column of images: one of {', '.join(self._IMAGES)}")
        return _find_images(path.parent, columns[image], ".", "images", "train"), columns, columns.get("split")


class Waterbirds(WILDSImages):
    """Waterbirds: land and water birds (y) without land and water behind them (place). See `PublicImages`.

    The folder, or one in it, holds ``metadata.csv``. Places of val and test do not go with the bird.

    References
    ----------
    Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020.
    """

    attributes = "place"


class MedMNIST(PublicImages):
    """MedMNIST: an ``.npz`` of ``train_images``, ``train_labels``, and so on for val and test. See `PublicImages`.

    ``root`` is the file. Its label is ``label``, or ``label_0``, ``label_1`` and so on of several. Those can be
    attributes, and arrays that were added, such as ``train_site``, ``val_site``, ``test_site``: it has no other.

    References
    ----------
    Yang, Shi, Wei et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image
    classification", Scientific Data 2023.
    """

    label = "label"

    def _find(self, root: Path, needed: Sequence[str]) -> _Found:
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


PUBLIC_IMAGES: dict[str, type[PublicImages]] = {
    **{kind.__name__.lower(): kind for kind in (CelebA, UTKFace, FairFace, Waterbirds, MedMNIST)}, "wilds": WILDSImages,
}  # fmt: skip
"""By their names on the command line."""


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
