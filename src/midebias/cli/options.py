"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..errors import InputError


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
    """Said before the work, and not after it."""
    there = next((p for p in (path, *path.parents) if p.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"--output-dir {path}: {there} is a file")
    return path


Config = Annotated[
    Path | None, typer.Option(callback=_from_file, is_eager=True, help="YAML file with any of these options.")
]
OutputDir = Annotated[Path, typer.Option(callback=_is_no_file, help="Where the run folder goes.")]
PaletteFile = Annotated[
    Path | None,
    typer.Option("--palette", help="Ten lines of red, green, blue in 0 to 255: colours of your own for the digits."),
]
ImageSize = Annotated[
    int | None, typer.Option(min=1, help="Scale images to so many pixels a side. Folders of images only.")
]


class Criterion(StrEnum):
    """What is minimised, as `MIPenalty` has it."""

    separation = "separation"
    independence = "independence"


class _Accelerator(StrEnum):
    cpu = "cpu"
    gpu = "gpu"
    auto = "auto"


class _Precision(StrEnum):
    full = "32"
    bf16_mixed = "bf16-mixed"


# Any of them given: training is by Lightning's Trainer.
TRAINER_OPTIONS = ("accelerator", "devices", "num_nodes", "precision")
Accelerator = Annotated[
    _Accelerator | None,
    typer.Option(help="This and the next three: any of them trains by Lightning's Trainer; images, mib or plain only."),
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column that is predicted: of a table, or of the labels in a folder of images.")
]
AttributeColumn = Annotated[
    str | None,
    typer.Option(help="Column that must not be learned, of a table or a folder's labels; a table takes several."),
]
Devices = Annotated[int | None, typer.Option(min=1, help="Processes of a node, which share each batch; 1.")]
NumNodes = Annotated[int | None, typer.Option(min=1, help="Nodes; 1. torchrun knows both numbers by itself.")]
Precision = Annotated[
    _Precision | None, typer.Option(help="Of the network; bf16-mixed where that is fast. Information is in float32.")
]
Only = Annotated[
    str | None, typer.Option(help="Run only these of its methods now, and leave the others for another time.")
]
Jobs = Annotated[
    int, typer.Option(min=1, help="Runs at a time; they share the processor, and so their seconds mean less.")
]
Resume = Annotated[Path | None, typer.Option(help="Run folder to go on with; all other options come from it.")]


def numbers(text: str, kind: type[Any], option: str) -> list[Any]:
    """Numbers joined by commas. Raises `InputError` that names ``option``."""
    try:
        return [kind(part) for part in str(text).split(",")]
    except ValueError as error:
        raise InputError(f"{option} must be numbers joined by commas, got {text!r}") from error
