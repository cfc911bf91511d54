"""``midebias export``: a trained model for use without this package."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import InputError
from ..serving import export_model, load_run
from .console import show_line
from .options import Config

_Format = StrEnum("_Format", {"onnx": "onnx", "torch_export": "torch-export"})
_SUFFIX = {_Format.onnx: ".onnx", _Format.torch_export: ".pt2"}


def export(
    run: Annotated[Path, Argument(help="Run folder of a finished `midebias train`, of images or of a table.")],
    format: Annotated[
        _Format | None, Option(help="Default: by the suffix of --output, .onnx or .pt2, else onnx.")
    ] = None,
    output: Annotated[
        Path | None, Option(help="File to write; default is model.onnx or model.pt2 in the run folder.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it is there.")] = False,
    config: Config = None,
) -> None:
    """Write encoder and head as ONNX or for torch.export, for batches of any size, and check what was written.

    Exit status: 0 written, and equal to the model to 1e-5; 2 a folder or file that cannot be used.

    Example: midebias export runs/train-colored-mnist-mib-001 --format onnx
    """
    suffix = None if output is None else output.suffix.lower()
    if format is None:
        format = next((f for f, s in _SUFFIX.items() if s == suffix), None if output else _Format.onnx)
    if format is None:
        raise InputError(f"--output {output} must end in .onnx or .pt2, or give --format")
    path = run / f"model{_SUFFIX[format]}" if output is None else output
    if path.is_dir():
        raise InputError(f"--output {path} is a folder")
    if path.exists() and not overwrite:
        raise InputError(f"--output {path} exists; --overwrite replaces it")
    written = export_model(load_run(run), path, format=format.value)
    names, difference = ", ".join(written.outputs), written.largest_difference
    show_line(f"{written.format}  {path}\nx -> {names}; equal to the model to {difference:.1g}")
