"""Groups as inputs of a network."""

import torch
from torch import Tensor

from ..errors import InputError


def check_labels(groups: Tensor, n_groups: int) -> None:
    """Raise `InputError` for a label that a network was not built for."""
    if len(groups) and int(groups.max()) >= n_groups:
        raise InputError(f"y holds label {int(groups.max())} but n_groups is {n_groups}")


def append_groups(z: Tensor, groups: Tensor | None, n_groups: int) -> Tensor:
    """z (n, dim) and, with ``n_groups``, the group as a one-hot of that width; without groups all are in the first."""
    if not n_groups:
        return z
    if groups is None:
        groups = torch.zeros(len(z), dtype=torch.long, device=z.device)
    check_labels(groups, n_groups)
    return torch.cat([z, torch.nn.functional.one_hot(groups.long(), n_groups).to(z.dtype)], dim=1)
