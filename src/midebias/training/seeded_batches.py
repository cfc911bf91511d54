"""The rows of each batch as a function of seed and epoch, shared between ranks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from ..errors import InputError


class SeededBatches(Sampler[list[int]]):
    """Rows of each batch; every rank its share of the same global batches.

    A global batch of ``batch_size`` rows is cut into one contiguous piece per rank. The last one, if smaller, is cut
    as evenly as it goes, so that all ranks take equally many steps and no row is seen twice.

    Parameters
    ----------
    n : int
        Samples.
    batch_size : int
        Of the global batch.
    seed : int, default 0
    shuffle : bool, default True
    drop_last : bool, default False
        Whether a smaller last batch is left out.
    rank, world_size : int, optional
        Default is the process group's, where there is one.

    Raises
    ------
    InputError
        ``batch_size`` below 1.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.n, self.batch_size, self.seed, self.shuffle, self.drop_last = n, batch_size, seed, shuffle, drop_last
        self._rank, self._world_size = rank, world_size
        self.epoch, self.start = 0, 0
        self._offset, self._resumed = 0, False

    @property
    def sampler(self) -> SeededBatches:
        """This sampler: Lightning looks here for something that has `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the ``epoch``; Lightning does so before each, and counts an interrupted epoch as a finished one."""
        if self._resumed:
            self._offset, self._resumed = self.epoch - epoch, False
        self.epoch = epoch + self._offset

    def resume(self, epoch: int, given: int) -> None:
        """Begin with ``epoch`` and leave out the ``given`` batches of it that were given out before."""
        if 0 < given < len(self):
            self.epoch, self.start, self._resumed = epoch, given, True

    def __len__(self) -> int:
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world_size = self._find_rank()
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n, generator=generator) if self.shuffle else torch.arange(self.n)
        start, self.start = self.start, 0
        for i in range(start, len(self)):
            batch = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield batch.tensor_split(world_size)[rank].tolist()

    def _find_rank(self) -> tuple[int, int]:
        """This rank, and how many there are."""
        group = torch.distributed.is_available() and torch.distributed.is_initialized()
        found = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if group else (0, 1)
        given = (self._rank, self._world_size)
        return found[0] if given[0] is None else given[0], found[1] if given[1] is None else given[1]
