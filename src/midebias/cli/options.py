"""Options that several commands share."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml
from typer import Argument, Option

from ..datasets.public_images import PUBLIC_IMAGES
from ..errors import InputError
from ..experiments.planted_images import PLANTED
from ..leakage.probes import PROBES


def _from_file(context: typer.Context, path: Path | None) -> Path | None:
    """Values of a yaml file become the defaults; options on the command line win."""
    if path is None:
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--config {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"--config {path} must hold a mapping of options")
    known = {p.name for p in context.command.params}
    given = {str(k).replace("-", "_"): v for k, v in content.items() if k != "command"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f"--config {path} has unknown options: {', '.join(unknown)}")
    context.default_map = {**(context.default_map or {}), **{k: v for k, v in given.items() if v is not None}}
    return path


def _is_no_file(path: Path) -> Path:
    there = next((p for p in (path, *path.parents) if p.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"--output-dir {path}: {there} is a file")
    return path


Config = Annotated[Path | None, Option(callback=_from_file, is_eager=True, help="YAML file with any of these options.")]
OutputDir = Annotated[Path, Option(callback=_is_no_file, help="Where the run folder goes.")]
PaletteFile = Annotated[
    Path | None,
    Option("--palette", help="Ten lines of red, green, blue in 0 to 255: colours of your own for digits or clothes."),
]
DatasetOrTable = Annotated[
    str | None,
    Argument(
        help=f"{', '.join(PLANTED)} (biased-mnist:texture+patch names other biases), an .npz with x, y, c, a folder "
        f"of images, a public data set with --root ({', '.join(PUBLIC_IMAGES)}), or a table (.csv, .parquet)."
    ),
]
ImageSize = Annotated[int | None, Option(min=1, help="Scale images to so many pixels a side. Not of an .npz.")]
ImageRoot = Annotated[
    Path | None,
    Option("--root", help=f"Folder, of medmnist the file, of {', '.join(PUBLIC_IMAGES)}; of Fashion-MNIST's files."),
]
ImageTableFile = Annotated[
    Path | None, Option("--table", help="Labels of a folder of images, if not labels.csv in it (.csv, .tsv, .parquet).")
]
ImageColumn = Annotated[
    str | None, Option("--image", help="Column of the images' paths, file if not given. Folders of images only.")
]
SplitColumn = Annotated[
    str | None, Option("--split-by", help="Column of train, val and test, split if not given. Folders of images only.")
]
ClassWeights = Annotated[
    bool, Option("--class-weights", help="Weigh the loss of an image by the inverse of how many have its label.")
]

Network = Annotated[str, Option(help="paper, lnl (Learning Not to Learn), or any of timm:NAME and torchvision:NAME.")]
NetworkWeights = Annotated[
    str | None, Option("--weights", help="File of weights, or 'pretrained'. Networks of timm and torchvision only.")
]
BatchSize = Annotated[int | None, Option(min=2, help="Images of a step; default is the method's own.")]
LearningRate = Annotated[float | None, Option(min=0.0, help="Of the network; default is the method's own.")]

Criterion = StrEnum("Criterion", ["separation", "independence"])  # what is minimised, as `MIPenalty` has it
LabelColumn = Annotated[
    str | None, Option(help="Column that is predicted: of a table, or of what labels images; in an .npz, an array.")
]
AttributeColumn = Annotated[
    str | None,
    Option(
        help="Column that must not be learned; several by commas. Of images: red+green+blue is one quantity of three "
        "columns, and name:category or name:quantity overrides how a column is read."
    ),
]
Only = Annotated[str | None, Option(help="Run only these of its methods now, and leave the others for another time.")]
Jobs = Annotated[int, Option(min=1, help="Runs at a time; they share the processor, and so their seconds mean less.")]
Resume = Annotated[Path | None, Option(help="Run folder to go on with; all other options come from it.")]

EmbeddingsFile = Annotated[Path, Argument(help=".npy, .npz (array z), .csv, .tsv, .parquet or .h5ad.")]
EmbeddingColumns = Annotated[str | None, Option(help="What the representation is: names or patterns (z_*) by commas.")]
EmbeddingTable = Annotated[
    Path | None, Option(help="Table in the same order of rows that has the named columns; for .npy.")
]
AttributeColumns = Annotated[
    list[str] | None, Option(help="Column of an attribute; several by commas, or given repeatedly.")
]
GroupColumn = Annotated[
    str | None, Option(help="Column that says which rows belong together, such as a person's; they are never split.")
]
ALL_PROBES = ",".join(PROBES)
Probes = Annotated[str, Option(help="Names by commas.")]
MaxLeakage = Annotated[
    float | None, Option(min=0.0, help="Exit with 1 if an attribute leaks, and more than so many nats.")
]


def read_names(attribute: list[str] | None) -> list[str]:
    """Read the names in --attribute. Raises `InputError` where there is none."""
    names = [name for given in attribute or () for name in given.split(",") if name]
    if not names:
        raise InputError("--attribute must name at least one column")
    return names


def check_limit(max_leakage: float | None) -> None:
    """Raise `InputError` where --max-leakage is no number."""
    if max_leakage is not None and not math.isfinite(max_leakage):
        raise InputError(f"--max-leakage must be a number of nats, got {max_leakage}")
