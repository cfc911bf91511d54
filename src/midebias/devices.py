"""Modules that come along to the device of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["at_device", "follow"]


def at_device(device: torch.device, *values: Any) -> tuple[Any, ...]:
    """Tensors moved to ``device``; all else as it is, for those who check it."""
    return tuple(v.to(device) if isinstance(v, Tensor) else v for v in values)


def follow(module: nn.Module, optimizer: torch.optim.Optimizer | None, device: torch.device) -> None:
    """Move a module to ``device``, and what its own optimiser knows of it."""
    before = list(module.parameters())
    module.to(device)
    if optimizer is None:
        return
    moved: dict[Tensor, nn.Parameter] = dict(zip(before, module.parameters(), strict=True))
    for group in optimizer.param_groups:
        group["params"] = [moved[p] for p in group["params"]]
    for parameter, state in list(optimizer.state.items()):
        del optimizer.state[parameter]
        optimizer.state[moved[parameter]] = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in state.items()}
