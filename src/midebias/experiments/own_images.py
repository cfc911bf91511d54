"""The user's own images and public ones: in an ``.npz``, in a folder, or as they are distributed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..attributes import list_sizes
from ..datasets.image_folder import open_image_folder, select_parts
from ..datasets.image_labels import ImageLabels, Kind
from ..datasets.image_table import ImageTable
from ..datasets.labelled_arrays import open_arrays
from ..datasets.public_images import PUBLIC_IMAGES, open_public_images
from ..errors import DataError, InputError
from ..training.data import Problem, TensorData
from .group_accuracy import find_conflicting
from .image_data import ImageData, StreamedImages
from .planted_images import PLANTED

_CUTS = 3  # halvings of a quantity to 8 bins, for probes and for methods that classify it
_HELD_IN_MEMORY = 4 * 2**30  # bytes of decoded images; a larger folder is read again in every epoch
_TAKEN_BY = {
    **dict.fromkeys(("label", "attribute"), ("public data sets", "folders of images", ".npz files")),
    "image_size": ("public data sets", "folders of images"), "root": ("public data sets", "planted biases"),
    **dict.fromkeys(("table", "image", "split_by"), ("folders of images",)),
}  # fmt: skip
FOLDER_OPTIONS = tuple(_TAKEN_BY)


def load_own_images(
    dataset: str | Path, seed: int, *, limit: int | None = None, memory: int = _HELD_IN_MEMORY,
    class_weights: bool = False, **options: Any,
) -> ImageData:  # fmt: skip
    """Load an ``.npz``, a folder, or a key of `PUBLIC_IMAGES`, by its ``options``: those of `check_folder_options`.

    Probes and methods that classify it are given eight bins of a quantity, of equally many training images; of several
    columns they are cut alternately. Penalties are given a quantity in standard deviations of the training images. A
    folder that takes more than ``memory`` bytes decoded is read again in every epoch. With ``class_weights`` the loss
    of a row counts by the inverse of how many have its label.
    """
    check_folder_options(dataset, **options)
    columns, kinds = parse_attributes(options.get("attribute"))
    given: dict[str, Any] = {"kinds": kinds, "seed": seed}
    given |= {k: v for k, v in options.items() if v is not None and k not in ("attribute", "root")}
    path, tables = Path(dataset), dict[str, ImageTable]()
    if dataset in PUBLIC_IMAGES:
        path = Path(options["root"])
        tables = select_parts(open_public_images(str(dataset), path, "all", attributes=columns, **given))
    elif path.is_dir():
        tables = open_image_folder(path, attribute=columns, **given)
    pixels, labels = dict[str, Tensor](), {split: table.labels for split, table in tables.items()}
    if not tables:
        for split, (x, found) in open_arrays(path, attributes=columns or "c", **given).items():
            pixels[split], labels[split] = x, found
    rows = torch.arange(len(labels["train"]))[:limit]
    labels["train"] = labels["train"].part(rows)
    tables |= {"train": tables["train"].part(rows)} if tables else {}
    sizes, levels = _make_levels(labels)
    classes = _join_levels({split: torch.cat(list(parts.values()), dim=1) for split, parts in levels.items()})
    _check_variation(path, labels, classes, ", ".join(labels["train"].parts))
    n_classes, y = len(labels["train"].classes), labels["train"].y
    weights = len(y) / n_classes / torch.bincount(y, minlength=n_classes).clamp(min=1) if class_weights else None
    attribute = labels["train"].attribute
    problem = Problem(n_classes, attribute, sizes, None if weights is None else tuple(weights.tolist()))
    size = sum(len(table) * math.prod(table.image_shape) * 4 for table in tables.values())
    parts = dict[str, TensorData | StreamedImages]()
    for split, c in _standardize(labels).items():
        joined = torch.cat(list(levels[split].values()), dim=1)
        if tables and size > memory:
            tables[split].check()
            parts[split] = StreamedImages(tables[split], joined, c)
        else:
            x = tables[split].read() if tables else pixels[split][: len(c)]
            parts[split] = TensorData(x.contiguous(memory_format=torch.channels_last), labels[split].y, joined, c)
    train = labels["train"]
    splits = [f"{len(at):,} {k}" for k, at in tables["train"].rows.items() if k != "all"] if tables else []
    lines = [*train.description, *([f"images: {', '.join(splits)}"] if splits else [])]
    name = str(dataset) if dataset in PUBLIC_IMAGES and path.suffix != ".npz" else path.resolve().stem
    return ImageData(
        name, "as given", problem,
        parts["train"], parts["test"], classes["test"], classes["train"],
        find_conflicting(y, classes["train"], labels["test"].y, classes["test"]),
        {name: _join_levels({"test": part})["test"] for name, part in levels["test"].items()},
        {"label": train.label, "attributes": [*train.parts], "classes": train.classes, "categories": train.categories},
        lines,
    )  # fmt: skip


def parse_attributes(text: str | None) -> tuple[list[tuple[str, ...]] | None, dict[str, Kind]]:
    """Read "sex,red+green+blue,site:category": columns joined by "+" are one quantity, a kind may follow a colon."""
    if text is None:
        return None, {}
    names, kinds = list[tuple[str, ...]](), dict[str, Kind]()
    for part in text.split(","):
        columns, colon, kind = part.rpartition(":")
        declared: Kind | None = "category" if kind == "category" else "quantity" if kind == "quantity" else None
        columns = columns if colon and declared else part
        names.append(tuple(columns.split("+")))
        if colon and declared:
            kinds[columns] = declared
    return names, kinds


def find_source(dataset: str | Path) -> str:
    """Find of which kind a data set is: "planted biases" or one that takes options. Raises `InputError` for another."""
    if str(dataset).partition(":")[0] in PLANTED:
        return "planted biases"
    if dataset in PUBLIC_IMAGES:
        return "public data sets"
    if Path(dataset).is_dir() or str(dataset).endswith(".npz"):
        return "folders of images" if Path(dataset).is_dir() else ".npz files"
    known = ", ".join((*PLANTED, *PUBLIC_IMAGES))
    raise InputError(f"dataset must be {known}, a .npz file or a folder of images, got {str(dataset)!r}")


def check_folder_options(dataset: str | Path, **options: object) -> None:
    """Raise `InputError` for an option that does not apply to the data set, or one that is needed."""
    source = find_source(dataset)
    for name, takers in _TAKEN_BY.items():
        if options.get(name) is not None and source not in takers:
            raise InputError(f"{name} applies to {' and '.join(takers)} only, and not to {dataset}")
    if source == "public data sets" and options.get("root") is None:
        raise InputError(f"root must name the folder of {dataset}")


def _standardize(labels: Mapping[str, ImageLabels]) -> dict[str, Tensor]:
    """Quantities of c less the mean of the training images, over their standard deviation; categories as they are."""
    quantity = torch.tensor([size == 0 for size in list_sizes(labels["train"].attribute)])
    if not bool(quantity.any()):
        return {split: part.c for split, part in labels.items()}
    columns = {split: part.c.reshape(len(part), -1) for split, part in labels.items()}
    known = [column[~column.isnan()].double() for column in columns["train"].T]
    mean = torch.stack([values.mean() for values in known]).where(quantity, 0.0)
    spread = torch.stack([values.std() for values in known]).where(quantity, 1.0).clamp(min=1e-12)
    return {s: ((c - mean) / spread).float().reshape(labels[s].c.shape) for s, c in columns.items()}


def _make_levels(labels: Mapping[str, ImageLabels]) -> tuple[tuple[int, ...], dict[str, dict[str, Tensor]]]:
    """Sizes of all, and by split and name the attribute as categories (n, k), -1 where missing."""
    levels: dict[str, dict[str, Tensor]] = {split: {} for split in labels}
    every, at = list[int](), 0
    for name, part in labels["train"].parts.items():
        sizes = list_sizes(part)
        columns = {split: p.c.reshape(len(p), -1)[:, at : at + len(sizes)].double() for split, p in labels.items()}
        at += len(sizes)
        quantities = [j for j, size in enumerate(sizes) if not size]
        for split, c in columns.items():
            found = [c[:, j].nan_to_num(-1.0).long() for j, size in enumerate(sizes) if size]
            if quantities:
                found.append(_cut(columns["train"][:, quantities], c[:, quantities]))
            levels[split][name] = torch.stack(found, dim=1)
        every += [size for size in sizes if size] + [2**_CUTS] * bool(quantities)
    return tuple(every), levels


def _cut(reference: Tensor, values: Tensor) -> Tensor:
    """Number the cells (n,) of values (n, k) that halve the reference by one column after another; -1 where missing."""
    present, known = ~values.isnan().any(1), reference[~reference.isnan().any(1)]
    cells = torch.full((len(values),), -1)
    cells[present] = _halve(known, values[present], 0)
    return cells


def _halve(reference: Tensor, values: Tensor, depth: int) -> Tensor:
    cells = torch.zeros(len(values), dtype=torch.long)
    if depth == _CUTS or len(reference) == 0:
        return cells
    column = depth % values.shape[1]
    middle = reference[:, column].quantile(0.5)
    above, right = reference[:, column] > middle, values[:, column] > middle
    for half in (False, True):
        rows = right == half
        cells[rows] = half * 2 ** (_CUTS - 1 - depth) + _halve(reference[above == half], values[rows], depth + 1)
    return cells


def _join_levels(levels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One category (n,) for the columns of levels, numbered alike in all splits; -1 where one is missing."""
    stacked = torch.cat(list(levels.values()))
    missing = (stacked < 0).any(dim=1)
    _, codes = torch.unique(stacked[~missing], dim=0, return_inverse=True)
    joined = torch.full((len(stacked),), -1)
    joined[~missing] = codes
    return dict(zip(levels, joined.split([len(part) for part in levels.values()]), strict=True))


def _check_variation(
    path: Path, labels: Mapping[str, ImageLabels], classes: Mapping[str, Tensor], attribute: str
) -> None:
    """Raise `DataError` where there is too little of label or attribute: before training, which takes long."""
    train, test = classes["train"], classes["test"][classes["test"] >= 0]
    for name, values in ((labels["train"].label, labels["train"].y), (attribute, train[train >= 0])):
        if len(torch.unique(values)) < 2:
            raise DataError(f"{path}: {name} never varies in the training images")
    if len(torch.unique(test)) < 2:
        raise DataError(f"{path}: the test images' {attribute} never varies")
    if len(test) < 100:
        known = "" if len(test) == len(classes["test"]) else " whose attribute is known"
        raise DataError(f"{path}: {len(test)} test images{known} are too few for a probe, which needs 100")
