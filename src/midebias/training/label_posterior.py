"""What the attribute alone says of the label: a small classifier, p(y|c)."""

from typing import Any

import torch
from torch import Tensor, nn

from ..devices import follow
from ..networks import build_perceptron
from ..randomness import seeded


class LabelPosterior(nn.Module):
    """A perceptron from the encoded attribute, ``dim`` columns, to scores, whose softmax is p(y|c)."""

    center: Tensor
    scale: Tensor

    def __init__(self, dim: int, n_classes: int, *, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.network = build_perceptron(dim, (64, 64), n_classes, activation=nn.ReLU)
        self.register_buffer("center", torch.zeros(dim))
        self.register_buffer("scale", torch.zeros(dim))
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)

    def get_extra_state(self) -> dict[str, Any]:
        """Optimiser and generator."""
        return {"generator": self._generator.get_state(), "optimizer": self._optimizer.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the ``state`` that `get_extra_state` saved."""
        self._generator.set_state(state["generator"].cpu())
        self._optimizer.load_state_dict(state["optimizer"])

    def follow(self, data: Tensor) -> None:
        """Move to the device of ``data``."""
        if isinstance(data, Tensor) and self.center.device != data.device:
            follow(self, self._optimizer, data.device)

    def forward(self, values: Tensor) -> Tensor:
        """Scores of shape (n, n_classes)."""
        return self.network((values - self.center) / self.scale.clamp(min=1e-6))

    def fit(self, values: Tensor, y: Tensor, *, epochs: int, batch_size: int) -> None:
        """Learn from all rows of encoded ``values`` (n, dim) and y (n,), in at least 200 updates."""
        self._set_scale(values)
        per_epoch = max(1, len(y) // batch_size)
        total = max(200, epochs * per_epoch)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=total)
        order = torch.randperm(len(y), generator=self._generator)
        for step in range(total):
            at = (step % per_epoch) * batch_size
            if at == 0:
                order = torch.randperm(len(y), generator=self._generator)
            rows = order[at : at + batch_size].to(y.device)
            self._update(optimizer, values[rows], y[rows])
            schedule.step()

    def learn(self, values: Tensor, y: Tensor, *, steps: int) -> None:
        """Take ``steps`` updates on one batch; the first batch sets the scale of the values."""
        if not bool((self.scale > 0).any()):
            self._set_scale(values)
        for _ in range(steps if len(values) else 0):
            self._update(self._optimizer, values, y)

    def _set_scale(self, values: Tensor) -> None:
        self.center.copy_(values.mean(0))
        self.scale.copy_(values.std(0, unbiased=False).clamp(min=1e-6))

    @torch.enable_grad()
    def _update(self, optimizer: torch.optim.Optimizer, values: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(self(values), y).backward()
        optimizer.step()
