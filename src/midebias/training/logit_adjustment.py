r"""Take what the attribute alone says about the label out of the task.

:math:`I(Z;Y) - I(Z;C) = I(Z;Y|C) - I(Z;C|Y)`. The penalty minimises the second term; this module turns the
task loss into the first. Training :math:`\log p(y|z) + \log \hat p(y|c)` under cross-entropy leaves z to
explain only what c does not already say about y: a product of experts in which the attribute is one.
At prediction the logits are used alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import check_groups, checked
from ..attributes import Attribute
from ..devices import at_device, follow
from ..distributed import refusal_told, world
from ..errors import InputError
from ..networks import build_perceptron
from ..randomness import seeded

__all__ = ["LogitAdjustment"]


class LogitAdjustment(nn.Module):
    r"""Add :math:`\log \hat p(y|c)` to the logits while training.

    :math:`\hat p(y|c)` is a small classifier of y from c alone. It sees neither x nor z, learns beside the
    task from the batches that pass (``steps`` updates each), or from the whole training set by `fit`.

    Parameters
    ----------
    attribute : Attribute
    n_classes : int
    strength : float, default 1.0
        Factor of the added term; 0 is plain training.
    floor : float, default 0.1
        The probability the attribute's prediction leaves to a uniform guess, in [0, 1]: the added term is
        :math:`\\log((1 - f)\\hat p + f / n)`. Without a floor, classes whose attributes never overlap are never
        compared in training, and the encoder does not learn to tell them apart.
    rebalance : float, default 0.0
        In [0, 1]. For rows drawn with `sampling_weights`, proportional to :math:`\\hat p(y|c)^{-r}`: what the attribute
        still says about the label among them is :math:`\\hat p(y|c)^{1-r}`, normalised, and that is what is added. At 1
        nothing is left to add; in between, rows whose label the attribute does not give away are seen often enough
        without a few of them being all that is seen.
    steps : int, default 1
        Updates of the classifier per call in training mode.
    seed : int, default 0

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Hinton, "Training Products of Experts", 2002. Clark et al., "Don't Take the Easy Way Out", EMNLP 2019
    (there called bias product). Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from midebias import LogitAdjustment
    >>> from midebias.attributes import Categorical
    >>> generator = torch.Generator().manual_seed(0)
    >>> y = torch.randint(3, (600,), generator=generator)
    >>> adjustment = LogitAdjustment(Categorical(3), 3).fit(y, y)    # here the attribute gives the label away
    >>> adjusted = adjustment(torch.zeros(600, 3), y, y)
    >>> adjusted.shape, bool((adjusted.argmax(1) == y).all())
    (torch.Size([600, 3]), True)
    """

    @checked
    def __init__(
        self,
        attribute: Attribute,
        n_classes: int,
        *,
        strength: float = 1.0,
        floor: float = 0.1,
        rebalance: float = 0.0,
        steps: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if n_classes < 2:
            raise InputError(f"n_classes must be at least 2, got {n_classes}")
        if not 0 <= strength < math.inf:
            raise InputError(f"strength must be at least 0 and finite, got {strength}")
        if not 0 <= floor <= 1:
            raise InputError(f"floor must lie in [0, 1], got {floor}")
        if not 0 <= rebalance <= 1:
            raise InputError(f"rebalance must lie in [0, 1], got {rebalance}")
        if steps < 0:
            raise InputError(f"steps must be at least 0, got {steps}")
        self.floor, self.rebalance = floor, rebalance
        self.attribute, self.n_classes, self.strength, self.steps = attribute, n_classes, strength, steps
        with seeded(seed):
            self.classifier = build_perceptron(attribute.dim, (64, 64), n_classes, activation=nn.ReLU)
        self.center: Tensor
        self.scale: Tensor
        self.register_buffer("center", torch.zeros(attribute.dim))
        self.register_buffer("scale", torch.zeros(attribute.dim))
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.Adam(self.classifier.parameters(), lr=3e-3)

    def get_extra_state(self) -> dict[str, Any]:
        """Optimiser, generator and whether the classifier still learns: what a resumed run needs."""
        return {
            "generator": self._generator.get_state(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self.steps,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` saved."""
        self._generator.set_state(state["generator"].cpu())
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = int(state["steps"])

    def fit(self, c: Tensor, y: Tensor, *, epochs: int = 10, batch_size: int = 1024) -> LogitAdjustment:
        """Fit the classifier on all (c, y) before training; it is then left as it is.

        Parameters
        ----------
        c : Tensor of shape (n,) or (n, attribute.width)
        y : integer Tensor of shape (n,)
        epochs, batch_size : int
            At least 200 updates are made, so that small tables are fitted too.
        """
        self._follow(c)
        values, present = self._check(c, y)
        values, y = values[present], y[present].long()
        n = len(y)
        if n == 0:
            raise InputError("c holds no row whose attribute is present")
        self._set_scale(values)
        per_epoch = max(1, n // batch_size)
        total = max(200, epochs * per_epoch)
        optimizer = torch.optim.Adam(self.classifier.parameters(), lr=5e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=total)
        order = torch.randperm(n, generator=self._generator)
        for step in range(total):
            at = (step % per_epoch) * batch_size
            if at == 0:
                order = torch.randperm(n, generator=self._generator)
            rows = order[at : at + batch_size].to(y.device)
            self._update(optimizer, values[rows], y[rows])
            schedule.step()
        self.steps = 0
        return self

    def forward(self, logits: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        """Adjusted logits of shape (n, n_classes) in training mode; the logits themselves in eval mode.

        Rows whose attribute is missing are not adjusted. ``y`` is needed while the classifier still learns.
        """
        if not isinstance(logits, Tensor):
            raise InputError(f"logits must be a torch.Tensor, got {type(logits).__name__}")
        if not self.training or self.strength == 0:
            return logits
        ranks = world() if self.steps else None
        with refusal_told(ranks, 1):
            if logits.ndim != 2 or logits.shape[1] != self.n_classes:
                raise InputError(f"logits must have shape (n, {self.n_classes}), got {tuple(logits.shape)}")
            self._follow(logits)
            c, y = at_device(logits.device, c, y)
            if self.steps and y is None:
                raise InputError("y is needed while LogitAdjustment learns; call fit(c, y) first to go without")
            values, present = self._check(c, y) if self.steps else self.attribute.encode(c)
            if len(values) != len(logits):
                raise InputError(f"c must have {len(logits)} rows like logits, got {len(values)}")
        if self.steps:
            known, known_y = values[present], y[present].long()
            if ranks is not None:  # every rank learns from the rows of all
                counts = [told[0] for told in ranks.told(len(known))]
                known, known_y = ranks.gathered(known, counts), ranks.gathered(known_y, counts)
            if not bool((self.scale > 0).any()):
                self._set_scale(known)
            for _ in range(self.steps if len(known) else 0):
                self._update(self._optimizer, known, known_y)
        with torch.no_grad():
            left = ((1 - self.rebalance) * self._scores(values)).softmax(dim=1)
            prior = (1 - self.floor) * left + self.floor / self.n_classes
            added = self.strength * prior.log() * present[:, None]
        return logits + added.to(logits.dtype)

    @torch.no_grad()
    def probabilities(self, c: Tensor) -> Tensor:
        """The classifier's p(y|c), without the floor, of shape (n, n_classes)."""
        self._follow(c)
        return self._scores(self.attribute.encode(c)[0]).softmax(dim=1)

    @torch.no_grad()
    def sampling_weights(self, c: Tensor, y: Tensor) -> Tensor:
        r"""Weights :math:`\hat p(y|c)^{-r}` of shape (n,), to draw rows by, after `fit`; their mean where c is missing.

        They go into `torch.utils.data.WeightedRandomSampler`, with replacement. All 1 where ``rebalance`` is 0.
        """
        self._follow(c)
        values, present = self._check(c, y)
        probability = self._scores(values).softmax(dim=1).gather(1, y[:, None].long()).squeeze(1)
        weights = probability.double().clamp(min=1e-5) ** -self.rebalance
        known = weights[present]
        return torch.where(present, weights, known.mean() if len(known) else torch.ones_like(weights[:1]))

    def _follow(self, data: Tensor) -> None:
        if isinstance(data, Tensor) and self.center.device != data.device:
            follow(self, self._optimizer, data.device)

    def _check(self, c: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        values, present = self.attribute.encode(c)
        if y is None:
            raise InputError("y is needed, got None")
        check_groups(y, len(values))
        if len(y) and int(y.max()) >= self.n_classes:
            raise InputError(f"y must hold labels 0 to {self.n_classes - 1}, got {int(y.max())}")
        return values, present

    def _set_scale(self, values: Tensor) -> None:
        self.center.copy_(values.mean(0))
        self.scale.copy_(values.std(0, unbiased=False).clamp(min=1e-6))

    def _scores(self, values: Tensor) -> Tensor:
        out: Tensor = self.classifier((values - self.center) / self.scale.clamp(min=1e-6))
        return out

    @torch.enable_grad()
    def _update(self, optimizer: torch.optim.Optimizer, values: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(self._scores(values), y).backward()
        optimizer.step()
