"""Trained models for use without this package: `torch.export` and ONNX of encoder and head, and run folders read back.

>>> import torch
>>> from midebias.serving import servable
>>> encoder, head = torch.nn.Linear(20, 8), torch.nn.Linear(8, 3)
>>> model = servable((encoder, head), example=torch.zeros(2, 20))
>>> [tuple(out.shape) for out in model(torch.zeros(5, 20))], model.outputs
([(5, 3), (5, 8)], ('logits', 'z'))
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..atomic_writing import write_atomically
from ..errors import DataError, InputError
from ..networks.classifier import Classifier
from ..networks.digits import NETWORKS
from ..randomness import seeded
from .table import ServedTable, served_table

__all__ = ["Exported", "ServedModel", "export_model", "load_run", "servable"]

ExportFormat = Literal["onnx", "torch-export"]
_SUFFIXES: dict[str, ExportFormat] = {".onnx": "onnx", ".pt2": "torch-export"}
_TOLERANCE = 1e-5


class ServedModel(nn.Module):
    """Encoder and head in evaluation mode: x (n, ...) -> logits (n, n_classes) and z (n, dim).

    Parameters
    ----------
    encoder : Module
        x -> z, or several representations with z last.
    head : Module
        z -> logits.
    example : Tensor of shape (n, ...)
        An input; n and its values do not matter, its other sizes and its dtype do.
    gray : bool, default False
        x is averaged over its channels first, as the method ``gray`` does.

    Attributes
    ----------
    outputs : tuple of str
        Names of what a call returns: ``("logits", "z")``.
    example : Tensor
    description : dict
        What a client must know of inputs and outputs, as plain JSON.
    any_size : bool
        Whether height and width of x may vary.
    """

    outputs: tuple[str, ...] = ("logits", "z")

    def __init__(
        self, encoder: nn.Module, head: nn.Module, example: Tensor, *, gray: bool = False, any_size: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.gray, self.any_size = encoder, head, gray, any_size
        self.example = example
        self.description: dict[str, Any] = {}
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, n_classes) and z (n, dim)."""
        if self.gray:
            x = x.mean(dim=1, keepdim=True).expand_as(x)
        if isinstance(self.encoder, Classifier):
            z = self.encoder.encode(x)
        else:
            encoded = self.encoder(x)
            z = encoded if isinstance(encoded, Tensor) else encoded[-1]
        return self.head(z), z


@dataclass(frozen=True)
class Exported:
    """What `export_model` wrote.

    Attributes
    ----------
    path : Path
    format : {"onnx", "torch-export"}
    outputs : tuple of str
    largest_difference : float
        Between what the file computes and what the model does, over outputs and batches of one to seven rows; relative
        where values exceed 1. At most 1e-5.
    """

    path: Path
    format: ExportFormat
    outputs: tuple[str, ...]
    largest_difference: float


@checked
def servable(model: Any, *, example: Tensor | None = None) -> ServedModel | ServedTable:
    """The part of a model that predicts, copied to the CPU, in evaluation mode.

    Parameters
    ----------
    model : DebiasModule, Classifier, pair of (encoder, head), or a fitted estimator of `midebias.sklearn`
        What trained it, penalty and critic, stays behind.
    example : Tensor of shape (n, ...), optional
        An input; needed for all but the scikit-learn estimators, which know their columns.

    Returns
    -------
    ServedModel or ServedTable
        Also accepted by `export_model`.

    Raises
    ------
    InputError
        A model of another kind, an estimator that is not fitted, or an example that the model cannot encode.

    Examples
    --------
    >>> import torch
    >>> from midebias.serving import servable
    >>> model = servable((torch.nn.Linear(20, 8), torch.nn.Linear(8, 3)), example=torch.zeros(1, 20))
    >>> logits, z = model(torch.zeros(5, 20))
    >>> tuple(logits.shape), tuple(z.shape)
    ((5, 3), (5, 8))
    """
    if isinstance(model, (ServedModel, ServedTable)):
        return model
    if hasattr(model, "sensitive_columns"):
        return served_table(model)
    parts = model if isinstance(model, tuple) and len(model) == 2 else None
    if isinstance(model, nn.Module):
        parts = (model if isinstance(model, Classifier) else getattr(model, "encoder", None)), getattr(model, "head", 0)
    if parts is None or not all(isinstance(part, nn.Module) for part in parts):
        raise InputError(
            "model must be a DebiasModule, a Classifier, a pair of modules (encoder, head) or a fitted estimator of "
            f"midebias.sklearn, got {type(model).__name__}"
        )
    if not isinstance(example, Tensor) or example.ndim < 2:
        raise InputError("example must be a tensor (n, ...) like the encoder's input")
    encoder, head = copy.deepcopy(parts)
    served = ServedModel(encoder.cpu(), head.cpu(), _two_rows(example))
    _check_runs(served)
    return served


@checked
def load_run(folder: str | Path) -> ServedModel | ServedTable:
    """The model of a run folder of ``midebias train``, its weights read from ``model.safetensors``.

    Raises
    ------
    DataError
        When the folder holds no finished training, or a file in it is damaged; the message names it.

    Examples
    --------
    >>> from midebias.serving import load_run
    >>> model = load_run("runs/train-colored-mnist-mib-001")    # doctest: +SKIP
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        state = "holds no finished training" if folder.is_dir() else "is no folder"
        raise DataError(f"{folder} {state}: there is no model.safetensors")
    try:
        state_dict = load_file(weights)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{weights} is truncated or damaged ({error})") from error
    table = folder / "preprocessing.json"
    if table.exists():
        return ServedTable.from_files(table, state_dict)
    config = _config(folder / "config.yaml")
    name, method = config.get("network"), config.get("method")
    if not isinstance(name, str) or name not in NETWORKS or not isinstance(method, str):
        raise DataError(f"{folder / 'config.yaml'} is not that of a training on images, or of an older version")
    first, head = state_dict.get("conv1.weight", state_dict.get("conv1.0.weight")), state_dict.get("head.weight")
    if first is None or head is None or first.ndim != 4 or head.ndim != 2:
        raise DataError(f"{weights} does not hold the weights of the network {name!r}")
    with seeded(0):
        model = NETWORKS[name](channels=first.shape[1], n_classes=head.shape[0])
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise DataError(
            f"{weights} does not fit the network {name!r}: {str(error).splitlines()[-1].strip()}"
        ) from error
    any_size = not model.image_size
    size = model.image_size or 32
    example = torch.zeros(2, first.shape[1], size, size)
    served = ServedModel(model, model.head, example, gray=method == "gray", any_size=any_size)
    served.description = {"inputs": "images (n, channels, height, width), float32 in the range of training"}
    return served


@checked
def export_model(
    model: Any,
    path: str | Path,
    *,
    example: Tensor | None = None,
    format: ExportFormat | None = None,
) -> Exported:
    """Write a model that runs without this package, for batches of any size, and compare it with the model itself.

    Parameters
    ----------
    model : as in `servable`, or what that returned
    path : path
        Written whole or not at all.
    example : Tensor of shape (n, ...), optional
        As in `servable`.
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
    The input is called ``x``; outputs are ``logits`` and ``z``, or those of `ServedTable`. In an ONNX file
    ``metadata_props["midebias"]``, and in a ``.pt2`` the extra file ``midebias.json``, holds the description of inputs
    and outputs as JSON.

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
        _need_onnx()
    served = servable(model, example=example)
    program = _program(served)
    if chosen == "onnx":
        content = _onnx(served, program)
        largest = _largest_difference(served, _onnx_runner(content))
    else:
        content = _archive(served, program)
        ran = torch.export.load(io.BytesIO(content)).module()
        largest = _largest_difference(served, lambda x: cast("tuple[Tensor, ...]", ran(x)))
    if not largest <= _TOLERANCE:
        raise InputError(f"model computes other values, or NaN, once exported: they differ by {largest:.2g}")
    write_atomically(path, content)
    return Exported(path, chosen, served.outputs, largest)


def _config(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} is not that of a training")
    return config


def _two_rows(example: Tensor) -> Tensor:
    """A batch of two: a batch of one would be taken for a constant."""
    row = example.detach().cpu()[:1]
    return (torch.zeros(1, *example.shape[1:], dtype=example.dtype) if not len(row) else row).repeat_interleave(
        2, dim=0
    )


@torch.no_grad()
def _check_runs(served: ServedModel) -> None:
    try:
        out = served(served.example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = tuple(served.example.shape)
        raise InputError(f"model cannot encode example of shape {shape}: {str(error).splitlines()[0]}") from error
    if not all(isinstance(o, Tensor) and len(o) == 2 for o in out):
        raise InputError("model must return a row for each row of example")


def _program(served: ServedModel | ServedTable) -> torch.export.ExportedProgram:
    sizes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if served.any_size:
        sizes |= {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(served, (served.example,), dynamic_shapes={"x": sizes})
    except Exception as error:  # the tracer raises errors of many kinds about code it cannot follow
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"model cannot be exported for batches of any size: {said.strip()}") from error


def _archive(served: ServedModel | ServedTable, program: torch.export.ExportedProgram) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, content, extra_files={"midebias.json": _described(served)})
    return content.getvalue()


def _need_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'midebias[export]'") from None


def _onnx(served: ServedModel | ServedTable, program: torch.export.ExportedProgram) -> bytes:
    said = logging.getLogger("torch.onnx")
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=["x"], output_names=list(served.outputs)
            )
    except Exception as error:  # conversion raises errors of many kinds
        raise InputError(f"model cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    finally:
        said.setLevel(level)
    assert written is not None
    proto = written.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "midebias", _described(served)
    content: bytes = proto.SerializeToString()
    return content


def _onnx_runner(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: tuple(torch.from_numpy(out) for out in session.run(None, {"x": x.numpy()}))


def _described(served: ServedModel | ServedTable) -> str:
    return json.dumps({"outputs": list(served.outputs), **served.description})


@torch.no_grad()
def _largest_difference(served: ServedModel | ServedTable, run: Any) -> float:
    """Over batches of other sizes than that which was traced; relative where values exceed 1."""
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for n in (1, 2, 7):
        x = served.trial(n, generator) if isinstance(served, ServedTable) else _trial(served.example, n, generator)
        for own, exported in zip(served(x), run(x), strict=True):
            if own.shape != exported.shape:
                return float("inf")
            difference = float(((own - exported).abs() / own.abs().clamp(min=1)).max())
            if difference != difference:  # NaN is larger than nothing, and would be passed over
                return float("inf")
            largest = max(largest, difference)
    return largest


def _trial(example: Tensor, n: int, generator: torch.Generator) -> Tensor:
    shape = (n, *example.shape[1:])
    if not example.is_floating_point():  # token numbers, say: only those of the example are known to be accepted
        return example[:1].expand(shape).contiguous()
    return torch.rand(shape, generator=generator).to(example.dtype)
