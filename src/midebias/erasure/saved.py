"""Fitted erasers in files: tensors as safetensors, the rest as JSON in the file's header. Nothing is executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..atomic_writing import write_atomically
from ..errors import DataError
from ..leakage.cells import Cells
from ..randomness import seeded
from .aware import AwareErasure
from .line_search import Transport
from .linear import LinearErasure
from .nonlinear import GroupErasure, NonlinearErasure
from .reading import GroupReader
from .residual import ResidualTransport
from .transport import GroupTransport

_FORMAT = "midebias eraser 1"


def write_eraser(path: str | Path, modules: Mapping[str, nn.Module], description: Mapping[str, Any]) -> None:
    """Write modules by name, and plain JSON about them."""
    from safetensors.torch import save

    state = {
        f"{name}.{key}": value.contiguous() for name, m in modules.items() for key, value in m.state_dict().items()
    }
    header = {"format": _FORMAT, "description": json.dumps(description)}
    write_atomically(Path(path), save(state, metadata=header))


def read_eraser(path: str | Path) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """Read what `write_eraser` wrote. Raises `DataError` for what it did not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        if header.get("format") != _FORMAT:
            raise DataError(f"{path} holds no eraser: it was not written by MIEraser.save")
        description = json.loads(header["description"])
        names = {key.split(".")[0] for key in state}
        return {name: _build(_select(state, name)) for name in names}, description
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as an eraser ({error})") from error


def _select(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _build(state: Mapping[str, Tensor]) -> nn.Module:
    """The module whose ``state_dict`` this is."""
    if "1.places" in state:
        return nn.Sequential(_build(_select(state, "0")), Cells.from_state_dict(_select(state, "1"))).eval()
    if "reads" in state:
        return LinearErasure(state["mean"], state["reads"], state["writes"])
    if "correction" not in state:
        return AwareErasure(_build_transports(state)).eval()
    stages, j = list[GroupErasure](), 0
    while part := _select(state, f"stages.{j}"):
        weight = part["reader.network.0.weight"]
        with seeded(0):
            reader = GroupReader(weight.shape[1] // 2, len(part["reader.calibration"]))
        reader.load_state_dict(_select(part, "reader"))
        stages.append(GroupErasure(reader.requires_grad_(False), _build_transports(part)))
        j += 1
    linear = _build(_select(state, "linear"))
    assert isinstance(linear, LinearErasure)
    erasure = NonlinearErasure(linear, stages)
    erasure.offset, erasure.correction, erasure.constant = (state[k] for k in ("offset", "correction", "constant"))
    for name in ("last", "kept"):
        if f"{name}.mean" in state:
            setattr(erasure, name, _build(_select(state, name)))
    return erasure.eval()


def _build_transports(state: Mapping[str, Tensor]) -> list[Transport]:
    found, j = list[Transport](), 0
    while part := _select(state, f"transports.{j}"):
        found.append(_build_residual(part) if "spread" in part else GroupTransport(**part))
        j += 1
    return found


def _build_residual(state: Mapping[str, Tensor]) -> ResidualTransport:
    p = len(state["mean"])
    with seeded(0):
        residual = ResidualTransport(p, state["network.0.weight"].shape[1] - p)
    residual.load_state_dict(dict(state))
    return residual.requires_grad_(False)
