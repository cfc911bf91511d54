"""Modules that come along to the device of the data."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import is_autocast_available


def move_to(device: torch.device, *values: Any) -> tuple[Any, ...]:
    """Tensors moved to ``device``; all else as it is, for those who check it."""
    return tuple(v.to(device) if isinstance(v, Tensor) else v for v in values)


def follow(module: nn.Module, optimizer: torch.optim.Optimizer | None, device: torch.device) -> None:
    """Move a module to ``device``, unless it is there, and what its own optimiser knows of it."""
    if getattr(next(module.buffers(), None), "device", None) == device:  # all move together
        return
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


def disable_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Make a context for losses and information, which are in float32 whatever a trainer does around the step."""
    return torch.autocast(device.type, enabled=False) if is_autocast_available(device.type) else nullcontext()


def is_bfloat16_fast(device: str = "cpu") -> bool:
    """Whether the processor multiplies bfloat16 natively; elsewhere it is emulated, slowly.

    Decided from what the hardware declares, never by timing, so that a machine always decides alike.
    """
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
