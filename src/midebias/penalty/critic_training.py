"""Training of the critics of a penalty: optimiser, steps, warm-up, and the count of updates."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..attributes import Attribute
from ..errors import InputError
from ..estimators.interface import Estimator
from ..marginals import limit_labels
from .batch import expand_groups
from .pair_bank import PairBank

_BATCH = 256  # pairs of a step


class CriticTrainer(nn.Module):
    """Keeps critics up to date on pairs (z, c), by Adam; estimators without a critic are left alone.

    c is kept as it was given, and encoded by ``attribute``. A critic takes ``steps`` updates each time, and at least
    ``warmup`` while it has had fewer, after which its estimate is first of use. Parameters and states of estimators are
    not repeated here.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        attribute: Attribute,
        *,
        steps: int,
        warmup: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        super().__init__()
        if steps < 0 or warmup < 0 or not learning_rate > 0:
            raise InputError("critic_steps and critic_warmup must be >= 0 and critic_lr > 0")
        self._estimators, self._attribute = tuple(estimators), attribute
        self._generator = torch.Generator().manual_seed(seed)
        self.steps, self.warmup = steps, warmup
        parameters = [p for e in self._estimators for p in e.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True) if parameters else None
        self.updates = [0] * len(self._estimators)

    def is_ready(self, k: int) -> bool:
        """Whether estimator ``k`` may be believed: it has no critic, or one with enough updates."""
        return not self._estimators[k].trainable or self.updates[k] >= max(1, self.warmup)

    def train_critic(self, k: int, bank: PairBank, h: Tensor, c: Tensor, groups: Tensor | None) -> None:
        """Take the critic of estimator ``k``, if any, some steps on the pairs before this batch.

        The estimate is then made on fresh ones; the first batch serves for both. c is not encoded yet.
        """
        estimator = self._estimators[k]
        if (estimator.trainable or estimator.remembers) and torch.is_inference_mode_enabled():
            raise InputError(
                "penalty is in training mode under torch.inference_mode, in which it cannot learn: "
                "call penalty.eval() first, or use torch.no_grad()"
            )
        z, labels = h.detach(), groups
        beside = max(0, bank.fill_to - len(h)) if estimator.closed_form else 0  # the estimate is made on these, too
        if bank.places[0] - beside >= max(2, len(h) // 2):
            z, c, labels = bank.rows(skip=beside)
        if not estimator.trainable or self.optimizer is None or len(z) < 2:
            return
        steps = self.steps
        if estimator.closed_form and len(h) < bank.fill_to:  # for a part of a batch, or it learns the bank by heart
            steps = math.ceil(steps * len(h) / bank.fill_to)
        if steps and not self.is_ready(k):
            steps = max(steps, self.warmup)
        rows = torch.randint(len(z), (steps, min(len(z), _BATCH)), generator=self._generator)
        rows = rows.to(z.device, non_blocking=True)
        values, labels = expand_groups(self._attribute.encode(c)[0].to(z), labels)
        for chosen in rows:
            inside = None if groups is None or labels is None else limit_labels(labels[chosen], bank.limits)
            estimator.update(z[chosen], values[chosen], inside, self.optimizer)
        self.updates[k] += steps

    def get_extra_state(self) -> dict[str, Any]:
        """The optimiser's state and the generator's, and how many updates critics had."""
        optimizer = None if self.optimizer is None else self.optimizer.state_dict()
        return {"generator": self._generator.get_state(), "optimizer": optimizer, "updates": [*self.updates]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` saved."""
        self._generator.set_state(state["generator"].cpu())
        self.updates = list(state["updates"])
        if self.optimizer is not None and state["optimizer"] is not None:
            self.optimizer.load_state_dict(state["optimizer"])
