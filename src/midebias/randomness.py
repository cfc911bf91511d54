"""Seeded local generators."""

import torch


class seeded:
    """Context in which modules draw their initial weights from a seed; the global generator is restored.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with seeded(0):
    ...     _ = torch.nn.Linear(2, 2)
    >>> bool((before == torch.get_rng_state()).all())
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        torch.default_generator.manual_seed(self.seed)

    def __exit__(self, *exc: object) -> None:
        torch.set_rng_state(self._state)
