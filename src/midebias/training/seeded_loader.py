"""A loader whose order of samples is a function of seed and epoch, and which resumes in the middle of an epoch."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from .seeded_batches import SeededBatches


class SeededLoader(DataLoader[Any]):
    """A DataLoader over `SeededBatches`. A trainer that saves its state (Lightning does) resumes in mid-epoch.

    Parameters
    ----------
    dataset : Dataset
        Yields (x, y, c).
    batch_size : int
        Of the global batch, over all ranks.
    seed : int, default 0
    shuffle : bool, default True
    drop_last : bool, default False
        See `SeededBatches`.
    **options : Any
        Of `torch.utils.data.DataLoader`: ``num_workers``, ``pin_memory`` and so on.

    Raises
    ------
    InputError
        As `SeededBatches`.

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
        self.batches = SeededBatches(
            len(dataset),  # type: ignore[arg-type]  # a Dataset need not say that it has a length
            batch_size,
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
        )
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
