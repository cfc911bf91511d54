"""Take what the attribute alone says about the label out of the task: the loss of BiasBal."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..arguments import check_groups, checked
from ..attributes import Attribute
from ..devices import move_to
from ..distributed import announce_refusal, find_world
from ..errors import InputError
from ..marginals import find_range, keep_range
from .label_posterior import LabelPosterior


class LogitAdjustment(nn.Module):
    r"""Add :math:`\log \hat p(y|c) / \hat p(y)` to the logits while training.

    This is the bias-balanced loss (BiasBal) of Hong and Yang: cross-entropy of logits :math:`+ \log p(y|b)`, b the
    bias attribute. It leaves z to explain only what c does not already say about y, I(Z;Y|C). Prediction uses the
    logits alone. They count p(y|b) in the training set; here :math:`\hat p(y|c)` is a small classifier of y from c
    alone, so that c may be continuous. It learns beside the task from the batches that pass (``steps`` updates each),
    or from the whole training set by `fit`. Dividing by the base rate is ours: predictions keep the base rates of
    the labels, and where classes are balanced nothing changes.

    Sampling rows by :math:`(\hat p(y|c) / \hat p(y))^{-r}`, with r = 1/2 in `MIBackpropagation`, is an addition of
    this library and no part of BiasBal. Its relatives are square-root sampling of rare classes (Mahajan et al.; Kang
    et al.).

    Parameters
    ----------
    attribute : Attribute
    n_classes : int
    strength : float, default 1.0
        Factor of the added term; 0 is plain training.
    floor : float, default 0.1
        Probability f, in [0, 1], left to the base rates: :math:`(1 - f)\hat p(y|c) + f \hat p(y)` takes the place of
        :math:`\hat p(y|c)`.
        Without a floor, the encoder does not learn to separate classes whose attributes never overlap.
    rebalance : float, default 0.0
        The exponent r, in [0, 1], for rows drawn with `sampling_weights`. Among them the attribute still says
        :math:`\hat p(y|c)^{1-r} \hat p(y)^r`, normalised, about the label, and that takes the place of
        :math:`\hat p(y|c)`. At 1 nothing is left to add.
    steps : int, default 1
        Updates of the classifier per call in training mode.
    seed : int, default 0

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Hong and Yang, "Unbiased Classification through Bias-Contrastive and Bias-Balanced Learning", NeurIPS 2021: the
    formula. Hinton, "Training Products of Experts", 2002. Clark et al., "Don't Take the Easy Way Out", EMNLP 2019
    (there called bias product). Menon et al., "Long-tail learning via logit adjustment", ICLR 2021. Sampling: Mahajan
    et al., "Exploring the Limits of Weakly Supervised Pretraining", ECCV 2018; Kang et al., "Decoupling Representation
    and Classifier for Long-Tailed Recognition", ICLR 2020.

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

    label_counts: Tensor

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
        for name, value, least in (("n_classes", n_classes, 2), ("steps", steps, 0)):
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if not 0 <= strength < math.inf:
            raise InputError(f"strength must be at least 0 and finite, got {strength}")
        for name, share in (("floor", floor), ("rebalance", rebalance)):
            if not 0 <= share <= 1:
                raise InputError(f"{name} must lie in [0, 1], got {share}")
        self.attribute, self.n_classes, self.strength, self.steps = attribute, n_classes, strength, steps
        self.floor, self.rebalance = floor, rebalance
        self.posterior = LabelPosterior(attribute.dim, n_classes, seed=seed)
        self.register_buffer("label_counts", torch.zeros(n_classes, dtype=torch.float64))

    def get_extra_state(self) -> dict[str, Any]:
        """Whether the classifier still learns."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the ``state`` that `get_extra_state` saved."""
        self.steps = int(state["steps"])

    def fit(self, c: Tensor, y: Tensor, *, epochs: int = 10, batch_size: int = 1024) -> Self:
        """Fit the classifier on all (c, y) before training; it is then left as it is.

        Parameters
        ----------
        c : Tensor of shape (n,) or (n, attribute.width)
        y : integer Tensor of shape (n,)
        epochs, batch_size : int
            At least 200 updates are made, so that small tables are fitted too.
        """
        self.posterior.follow(c)
        values, present = self._encode(c, y)
        if not bool(present.any()):
            raise InputError("c holds no row whose attribute is present")
        self.posterior.fit(values[present], y[present].long(), epochs=epochs, batch_size=batch_size)
        self.label_counts.zero_()
        self._count_labels(y[present])
        self.steps = 0
        return self

    def forward(self, logits: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        """Adjust the logits in training mode; return them as they are in eval mode.

        Parameters
        ----------
        logits : Tensor of shape (n, n_classes)
        c : Tensor of shape (n,) or (n, attribute.width)
            Rows whose attribute is missing are not adjusted.
        y : integer Tensor of shape (n,), optional
            Needed while the classifier still learns.

        Returns
        -------
        Tensor of shape (n, n_classes)
        """
        if not isinstance(logits, Tensor):
            raise InputError(f"logits must be a torch.Tensor, got {type(logits).__name__}")
        if not self.training or self.strength == 0:
            return logits
        ranks = find_world() if self.steps else None
        with announce_refusal(ranks, 1):
            if logits.ndim != 2 or logits.shape[1] != self.n_classes:
                raise InputError(f"logits must have shape (n, {self.n_classes}), got {tuple(logits.shape)}")
            self.posterior.follow(logits)
            c, y = move_to(logits.device, c, y)
            if self.steps and y is None:
                raise InputError("y is needed while LogitAdjustment learns; call fit(c, y) first to go without")
            values, present = self._encode(c, y) if self.steps else self.attribute.encode(c)
            if len(values) != len(logits):
                raise InputError(f"c must have {len(logits)} rows like logits, got {len(values)}")
        if self.steps:
            known, known_y = values[present], y[present].long()
            if ranks is not None:  # every rank learns from the rows of all
                counts = [numbers[0] for numbers in ranks.exchange(len(known))]
                known, known_y = ranks.gather(known, counts), ranks.gather(known_y, counts)
            self.posterior.learn(known, known_y, steps=self.steps)
            self._count_labels(known_y)
        with torch.no_grad():
            base = self._base_rates().to(values)
            scores = self.posterior(values).log_softmax(dim=1)
            left = ((1 - self.rebalance) * scores + self.rebalance * base.log()).softmax(dim=1)
            prior = (1 - self.floor) * left + self.floor * base
            added = self.strength * (prior / base).log() * present[:, None]
        return logits + added.to(logits.dtype)

    @torch.no_grad()
    def probabilities(self, c: Tensor) -> Tensor:
        """The classifier's p(y|c), without the floor, of shape (n, n_classes)."""
        self.posterior.follow(c)
        return self.posterior(self.attribute.encode(c)[0]).softmax(dim=1)

    @torch.no_grad()
    def sampling_weights(self, c: Tensor, y: Tensor) -> Tensor:
        r"""Weights :math:`(\hat p(y|c) / \hat p(y))^{-r}` to draw rows by, with replacement, after `fit`.

        Parameters
        ----------
        c : Tensor of shape (n,) or (n, attribute.width)
        y : integer Tensor of shape (n,)

        Returns
        -------
        Tensor of shape (n,)
            The mean where c is missing; all 1 where ``rebalance`` is 0.
        """
        self.posterior.follow(c)
        values, present = self._encode(c, y)
        labels = y[:, None].long()
        probability = self.posterior(values).softmax(dim=1).gather(1, labels).squeeze(1).double().clamp(min=1e-5)
        weights = (probability / self._base_rates()[labels.squeeze(1)]) ** -self.rebalance
        known = weights[present]
        return torch.where(present, weights, known.mean() if len(known) else torch.ones_like(weights[:1]))

    @torch.no_grad()
    def _count_labels(self, y: Tensor) -> None:
        self.label_counts += torch.nn.functional.one_hot(y.long(), self.n_classes).sum(dim=0).to(self.label_counts)

    def _base_rates(self) -> Tensor:
        """Shares of the labels, of which none is zero; alike before any was seen."""
        counts = self.label_counts + 1 / self.n_classes
        return counts / counts.sum()

    def _encode(self, c: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The encoded attribute and where it is present, after y was checked."""
        values, present = self.attribute.encode(c)
        if y is None:
            raise InputError("y is needed, got None")
        y = keep_range(y) if isinstance(y, Tensor) else y
        check_groups(y, len(values))
        if len(y) and (most := find_range(y)[1]) >= self.n_classes:
            raise InputError(f"y must hold labels 0 to {self.n_classes - 1}, got {most}")
        return values, present
