"""Models written as ONNX or for `torch.export`, and compared with what they were made from."""

import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from ..arguments import checked
from ..atomic_writing import write_atomically
from ..errors import InputError
from ..tabular.networks import TableModel
from .served_model import ServedModel, make_servable
from .served_table import ServedTable

ExportFormat = Literal["onnx", "torch-export"]
_SUFFIXES: dict[str, ExportFormat] = {".onnx": "onnx", ".pt2": "torch-export"}
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """What `export_model` wrote.

    Attributes
    ----------
    path : Path
    format : {"onnx", "torch-export"}
    outputs : tuple of str
    largest_difference : float
        Between what the file computes and what the model does (an estimator of `midebias.sklearn`: what it predicts),
        over outputs and batches of one to seven rows; relative where values exceed 1. At most 1e-5.
    """

    path: Path
    format: ExportFormat
    outputs: tuple[str, ...]
    largest_difference: float


@checked
def export_model(
    model: Any, path: str | Path, *, example: Tensor | None = None, format: ExportFormat | None = None
) -> Exported:
    """Write a model that runs without this package, for batches of any size, and compare it with the model itself.

    Parameters
    ----------
    model : as in `make_servable`, or what that returned
    path : path
        Written whole or not at all.
    example : Tensor of shape (n, ...), optional
        As in `make_servable`.
    format : {"onnx", "torch-export"}, optional
        Default is by the suffix, ``.onnx`` or ``.pt2``. ONNX needs the extra ``export``.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        A model that cannot be exported, among them one that takes batches of one size only, or an unknown format.
    DataError
        When the file cannot be written.

    Notes
    -----
    The input is called ``x``; outputs are ``logits`` and ``z``, or those of `ServedTable`. Their description is JSON in
    ``metadata_props["midebias"]`` of an ONNX file, and in the extra file ``midebias.json`` of a ``.pt2``.

    Examples
    --------
    >>> import tempfile, torch
    >>> from midebias.serving import export_model
    >>> model = torch.nn.Linear(20, 8), torch.nn.Linear(8, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = export_model(model, folder + "/model.pt2", example=torch.zeros(2, 20))
    >>> written.outputs, written.largest_difference < 1e-5
    (('logits', 'z'), True)
    """
    path = Path(path)
    chosen = _SUFFIXES.get(path.suffix.lower()) if format is None else format
    if chosen not in ("onnx", "torch-export"):
        raise InputError(f"format must be 'onnx' or 'torch-export', or path end in .onnx or .pt2, got {path.name!r}")
    if chosen == "onnx":
        _require_onnx()
    served = make_servable(model, example=example)
    program = _export_program(served)
    description = json.dumps({"outputs": list(served.outputs), **served.description})
    if chosen == "onnx":
        content = _make_onnx(program, served.outputs, description)
        run = _open_onnx(content)
    else:
        archive = io.BytesIO()
        with warnings.catch_warnings(action="ignore"):
            torch.export.save(program, archive, extra_files={"midebias.json": description})
        content = archive.getvalue()
        run = cast("Callable[[Tensor], tuple[Tensor, ...]]", torch.export.load(io.BytesIO(content)).module())
    largest = _measure_difference(served, run, model if isinstance(model, TableModel) else None)
    if not largest <= _TOLERANCE:
        raise InputError(f"model computes other values, or NaN, once exported: they differ by {largest:.2g}")
    write_atomically(path, content)
    return Exported(path, chosen, served.outputs, largest)


def _export_program(served: ServedModel | ServedTable) -> torch.export.ExportedProgram:
    sizes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if served.any_size:
        sizes |= {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            return torch.export.export(served, (served.example,), dynamic_shapes={"x": sizes})
    except Exception as error:  # the tracer raises errors of many kinds about code it cannot follow
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"model cannot be exported for batches of any size: {reason.strip()}") from error


@torch.no_grad()
def _measure_difference(
    served: ServedModel | ServedTable, run: Callable[[Tensor], tuple[Tensor, ...]], model: TableModel | None
) -> float:
    """The largest over batches of other sizes than that which was traced; relative where values exceed 1.

    Of a scikit-learn estimator, what it predicts itself counts, from the columns; else what is served.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for n in (1, 2, 7):
        x = served.draw_inputs(n, generator)
        expected = served(x)
        if model is not None and isinstance(served, ServedTable):
            expected = tuple(map(torch.from_numpy, model.compute_outputs(served.decode(x))))
        for own, exported in zip(expected, run(x), strict=True):
            if own.shape != exported.shape:
                return math.inf
            difference = float(((own - exported).abs() / own.abs().clamp(min=1)).max())
            largest = max(largest, math.inf if math.isnan(difference) else difference)  # max() would pass over a NaN
    return largest


def _require_onnx() -> None:
    """Raise `InputError`, which says what to install, unless ONNX can be written."""
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'midebias[export]'") from None


def _make_onnx(program: torch.export.ExportedProgram, outputs: Sequence[str], description: str) -> bytes:
    """The content of a file whose input is ``x``, with a description in its metadata."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            written = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=["x"], output_names=list(outputs)
            )
    except Exception as error:  # conversion raises errors of many kinds
        raise InputError(f"model cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    finally:
        logger.setLevel(level)
    assert written is not None
    proto = written.model_proto  # made anew each time
    proto.metadata_props.add(key="midebias", value=description)
    content: bytes = proto.SerializeToString()
    return content


def _open_onnx(content: bytes) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A function that runs the file's model on the CPU, in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: tuple(torch.from_numpy(out) for out in session.run(None, {"x": x.numpy()}))
