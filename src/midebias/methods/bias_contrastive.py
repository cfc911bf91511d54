"""Bias-contrastive learning: samples of one class and different bias are drawn together."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..training.data import Batch
from ..training.method import Method
from .attribute_groups import join_categories


@dataclass(eq=False, repr=False, kw_only=True)
class BiasContrastive(Method):
    r"""BiasCon with BiasBal: contrastive loss + ``task_weight`` * cross-entropy of logits :math:`+ \log p(y|b)`.

    The bias label b is the joint category of all attribute columns, and p(y|b) the share of y among the training rows
    of b. Rows are drawn by 1 / p(b|y), of which the largest is at most ``ratio`` times the least.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    task_weight : float, default 0.01
    temperature : float, default 0.07
    ratio : float, default 10.0
        At least 1; 1 draws all rows alike.
    balanced : bool, default True
        False is BiasCon alone.

    Raises
    ------
    InputError
        A step before `prepare`, a temperature that is not positive, a ratio below 1.

    Notes
    -----
    Defaults are the released code's for Biased MNIST. There rows are drawn that way for the contrastive loss alone,
    and turned and recoloured at random; here one batch serves both, each row of the cross-entropy counting by the
    inverse of how often it is drawn, and images stay as they are.

    References
    ----------
    Hong and Yang, "Unbiased Classification through Bias-Contrastive and Bias-Balanced Learning", NeurIPS 2021, and the
    code released with it.
    """

    name: ClassVar[str] = "bias_contrastive"
    task_weight: float = 0.01
    temperature: float = 0.07
    ratio: float = 10.0
    balanced: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0 or not self.ratio >= 1:
            raise InputError(
                f"temperature must be positive and ratio at least 1, got {self.temperature} and {self.ratio}"
            )
        self.counts = torch.empty(0)
        self.mean_weight = 1.0

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Count the training rows of each label and bias label."""
        sizes = self.problem.level_sizes
        n = math.prod(sizes)
        codes = y * n + join_categories(levels, sizes)
        self.counts = torch.bincount(codes, minlength=self.problem.n_classes * n).reshape(-1, n).double()
        self.mean_weight = float(self.sampling_weights(levels, y).mean())

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor:
        """1 / p(b|y) of the rows of ``levels`` and ``y``, at most ``ratio`` times the least."""
        share = self.counts / self.counts.sum(dim=1, keepdim=True).clamp(min=1)
        most = share.max()
        weights = most / share.clamp(min=most / self.ratio)
        return weights[y, join_categories(levels, self.problem.level_sizes)]

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        if not len(self.counts):
            raise InputError("BiasContrastive needs prepare(levels, c, y) on the training set before the first step")
        bias = join_categories(batch.levels, self.problem.level_sizes)
        if self.balanced:
            share = self.counts / self.counts.sum(dim=0).clamp(min=1)
            logits = logits + share.clamp(min=1e-9).log().T[bias].to(logits)
        weights = self.mean_weight / self.sampling_weights(batch.levels, batch.y).to(logits)
        task = (weights * self.problem.row_losses(logits, batch.y)).mean()
        return self.task_weight * task + contrast(depths[-1].float(), batch.y, bias, temperature=self.temperature)


def contrast(z: Tensor, y: Tensor, bias: Tensor, *, temperature: float) -> Tensor:
    """Mean of -log softmax of the correlation with a row of equal y and other bias, among all others; 0 without one."""
    z = nn.functional.normalize(z)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    positive = (y[:, None] == y) & (bias[:, None] != bias)
    losses = (logits.logsumexp(dim=1, keepdim=True) - logits).where(positive, 0.0)
    return (losses.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()
