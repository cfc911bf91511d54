"""Sums and rows over all ranks of a process group, differentiable: the moments and marginals of the global batch.

Gradients follow the convention of DistributedDataParallel, which averages them over ranks: every rank computes the same
estimate from the same sums, so the gradient that reaches its own rows is multiplied by the number of ranks, without
anything being communicated on the way back.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import InputError

_WORLD: dict[str, Any] = {}
_GROUPS: weakref.WeakKeyDictionary[Any, Ranks] = weakref.WeakKeyDictionary()


@dataclass
class Traffic:
    """What was communicated: ``bytes`` that this rank put in, ``calls``, and ``seconds`` in them, waiting included."""

    bytes: int = 0
    calls: int = 0
    seconds: float = 0.0


class Ranks:
    """The processes of a group, of which this is one.

    Parameters
    ----------
    group : ProcessGroup

    Attributes
    ----------
    size, rank : int
    traffic : Traffic
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.size, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.traffic = Traffic()

    def sum(self, *tensors: Tensor) -> list[Tensor]:
        """Each tensor summed over ranks, in one communication; differentiable. All must have one dtype."""
        flat = torch.cat([t.reshape(-1) for t in tensors])
        total = self.reduce(flat) + self._pass_gradient(flat)
        parts = total.split([t.numel() for t in tensors])
        return [part.reshape(t.shape) for part, t in zip(parts, tensors, strict=True)]

    def gather_differentiably(self, values: Tensor, counts: Sequence[int]) -> Tensor:
        """Rows of all ranks, rank after rank; ``counts`` says how many each has. Differentiable where floating."""
        parts = list(self.gather(values.detach(), counts).split(list(counts)))
        if values.is_floating_point():
            parts[self.rank] = values.detach() + self._pass_gradient(values)
        return torch.cat(parts)

    def gather(self, values: Tensor, counts: Sequence[int]) -> Tensor:
        """Rows of all ranks, without a gradient."""
        most = max(counts)
        padded = values.new_zeros((most, *values.shape[1:]))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in counts]
        with self._measure(padded):
            dist.all_gather(parts, padded, group=self.group)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    def exchange(self, *numbers: int) -> list[list[int]]:
        """The numbers of each rank, rank after rank; the first is at least 0.

        Raises
        ------
        InputError
            When another rank refused what it was given, see `announce_refusal`.
        """
        heard = self._exchange(*numbers)
        refused = next((rank for rank, said in enumerate(heard) if said[0] < 0), None)
        if refused is not None and numbers[0] >= 0:
            raise InputError(f"rank {refused} refused what it was given: its own message says why")
        return heard

    def _exchange(self, *numbers: int) -> list[list[int]]:
        mine = torch.tensor(numbers, device=self._device())
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        with self._measure(mine):
            dist.all_gather(parts, mine, group=self.group)
        return [part.tolist() for part in parts]

    def reduce(self, values: Tensor) -> Tensor:
        """Sum over ranks, without a gradient."""
        values = values.detach().clone(memory_format=torch.contiguous_format)
        with self._measure(values):
            dist.all_reduce(values, group=self.group)
        return values

    def combine_lengths(self, *norms: Tensor) -> list[Tensor]:
        """Norms of gradients over the rows of all ranks, on the scale of the global batch."""
        squares = self.reduce(torch.stack([n.square() for n in norms]))
        return list((squares.sqrt() / self.size).unbind())

    def _pass_gradient(self, values: Tensor) -> Tensor:
        """Zeros, through which a gradient reaches ``values`` multiplied by the number of ranks."""
        return self.size * (values - values.detach())

    @contextlib.contextmanager
    def _measure(self, values: Tensor) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.traffic.bytes += values.numel() * values.element_size()
            self.traffic.calls += 1
            self.traffic.seconds += time.perf_counter() - started

    def _device(self) -> torch.device:
        if dist.get_backend(self.group) == "nccl":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")


@dataclass(frozen=True)
class Pool:
    """The global batch as each rank must know it: ``n`` rows in all, groups 0 .. n_groups - 1."""

    ranks: Ranks
    n: int
    n_groups: int

    def sum(self, *tensors: Tensor) -> list[Tensor]:
        """See `Ranks.sum`."""
        return self.ranks.sum(*tensors)

    def compute_moments(self, *tensors: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and variance of the columns of each over the rows of all ranks, in one communication; no gradient.

        From sums and squares in double precision, whose differences keep what single precision could tell apart.
        """
        wide = [t.detach().double() for t in tensors]
        sums = self.sum(*(s for t in wide for s in (t.sum(dim=0), t.square().sum(dim=0))))
        out = []
        for t, first, second in zip(tensors, sums[::2], sums[1::2], strict=True):
            mean = first / self.n
            out.append((mean.to(t.dtype), (second / self.n - mean.square()).clamp(min=0).to(t.dtype)))
        return out


def check_process_group(process_group: Any) -> None:
    """Raise `InputError` for a word that names no group."""
    if isinstance(process_group, str) and process_group != "world":
        raise InputError(f"process_group must be 'world', None or a ProcessGroup, got {process_group!r}")


def find_ranks(process_group: Any) -> Ranks | None:
    """The processes of a group, or with "world" all of them; None where this process is alone, or with None."""
    if process_group is None or isinstance(process_group, str):
        return None if process_group is None else find_world()
    ranks: Ranks = _GROUPS.setdefault(process_group, Ranks(process_group))
    return ranks


def find_world() -> Ranks | None:
    """All processes, in a group of the penalty's own; None where this is the only one.

    A group of its own, because DistributedDataParallel communicates in the default one meanwhile.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    default = dist.group.WORLD
    if _WORLD.get("default") is not default:
        _WORLD.update(default=default, ranks=Ranks(dist.new_group()))
    ranks: Ranks = _WORLD["ranks"]
    return ranks


@contextlib.contextmanager
def announce_refusal(ranks: Ranks | None, numbers: int) -> Iterator[None]:
    """Tell the other ranks when this one refuses its input: they would wait for its ``numbers`` in `Ranks.exchange`."""
    try:
        yield
    except InputError:
        if ranks is not None:
            ranks.exchange(*([-1] * numbers))
        raise
