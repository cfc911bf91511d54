"""A loader whose order of samples is a function of seed and epoch, and which resumes in the middle of an epoch."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import InputError


class SeededBatches(Sampler[list[int]]):
    """Rows of each batch; ``piece`` is rank and number of ranks, by default the process group's."""

    def __init__(
        self, n: int, batch_size: int, *, seed: int, shuffle: bool = True, drop_last: bool = False,
        piece: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.n, self.batch_size, self.seed, self.shuffle, self.drop_last = n, batch_size, seed, shuffle, drop_last
        self._piece, self.epoch, self.start = piece, 0, 0
        self._offset, self._resumed = 0, False

    @property
    def sampler(self) -> Self:
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
        group = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world_size = self._piece or (
            (torch.distributed.get_rank(), torch.distributed.get_world_size()) if group else (0, 1)
        )
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n, generator=generator) if self.shuffle else torch.arange(self.n)
        start, self.start = self.start, 0
        for i in range(start, len(self)):
            batch = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield batch.tensor_split(world_size)[rank].tolist()


class SeededLoader(DataLoader[Any]):
    """A DataLoader whose order is a function of seed and epoch; every rank gets its piece of the same global batches.

    A trainer that saves the loader's state, as Lightning does, resumes in the middle of an epoch.

    Parameters
    ----------
    dataset : Dataset
        Yields (x, y, c).
    batch_size : int
        Of the global batch, over all ranks.
    seed : int, default 0
    shuffle : bool, default True
    drop_last : bool, default False
        Whether a smaller last batch is left out. It is else cut as evenly as it goes, so that all ranks take equally
        many steps and no sample is seen twice.
    **options : Any
        Of `torch.utils.data.DataLoader`: ``num_workers``, ``pin_memory`` and so on.

    Raises
    ------
    InputError
        ``batch_size`` below 1.

    Examples
    --------
    >>> import torch
    >>> from midebias.lightning import SeededLoader
    >>> data = torch.utils.data.TensorDataset(torch.zeros(10, 3), torch.arange(10), torch.arange(10) % 2)
    >>> [len(y) for _, y, _ in SeededLoader(data, 4)]
    [4, 4, 2]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        n = len(dataset)  # type: ignore[arg-type]  # a Dataset need not say that it has a length
        self.batches = SeededBatches(n, batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last)
        super().__init__(dataset, batch_sampler=self.batches, generator=torch.Generator().manual_seed(seed), **options)
        self._given = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # DataLoader's own type is private
        self._given = self.batches.start
        for batch in super().__iter__():
            self._given += 1
            yield batch
        self._given = 0

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were given out."""
        return {"epoch": self.batches.epoch, "given": self._given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Leave out of the next pass the batches that were given out before, as ``state`` says."""
        self.batches.resume(int(state["epoch"]), int(state["given"]))
