"""Weights from a local file, loaded into a network but for a head of another size."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError


def load_weights(network: nn.Module, path: str | Path, *, head: str) -> None:
    """Load a state dict into a network, but for the layer ``head`` where that is of another size, which is warned of.

    A state dict inside a checkpoint, as "state_dict" or "model", and one saved from `DataParallel` are read, too.
    Raises `DataError` where tensors are missing, unknown, or of another size, and names some of them.
    """
    state, own = read_state_dict(Path(path)), network.state_dict()
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    of_head = {name for name in own.keys() | state.keys() if name.startswith(f"{head}.")}
    if any(name not in state or name not in own or state[name].shape != own[name].shape for name in of_head):
        if any(name in own for name in of_head):
            warnings.warn(f"weights {path}: {head} left out, which has another size here: it is new", stacklevel=3)
        own, state = ({name: v for name, v in each.items() if name not in of_head} for each in (own, state))
    wrong = {
        "lack": [name for name in own if name not in state and not name.endswith("num_batches_tracked")],
        "hold, beyond the network's,": [name for name in state if name not in own],
        "hold in another size": [name for name in own if name in state and own[name].shape != state[name].shape],
    }
    found = [
        f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" for what, names in wrong.items() if names
    ]
    if found:
        raise DataError(f"weights {path} do not fit the network: they {'; they '.join(found)}")
    network.load_state_dict(state, strict=False)


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a file of `torch.save` or ``.safetensors``, read without running code."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # tensors, no code
    except Exception as error:  # damaged files raise errors of many kinds
        raise DataError(f"weights {path} cannot be read as a state dict ({error})") from error
    for name in ("state_dict", "model"):
        loaded = loaded[name] if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping) else loaded
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise DataError(f"weights {path} cannot be read as a state dict: it holds something else")
    return loaded
