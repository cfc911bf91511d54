"""FairKL: correlations of z alike, whether two samples share their bias or not."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..training.data import Batch
from ..training.method import Method
from .attribute_groups import join_categories


@dataclass(eq=False, repr=False, kw_only=True)
class FairKL(Method):
    r"""Supervised contrastive loss with a margin (:math:`\epsilon`-SupInfoNCE) + ``weight`` * FairKL, both on z.

    The head learns on z and moves it not. The bias label is the joint category of all attribute columns.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    weight : float, default 1.0
    epsilon : float, default 0.0
        Margin between correlations of one class and of two.
    temperature : float, default 0.1

    Raises
    ------
    InputError
        A temperature that is not positive.

    Notes
    -----
    Temperature, margin and the form of the loss are the released code's. Of the weight the code has no value for any
    data set; 1 is ours. As in the released code, means and standard deviations are compared by their squared
    differences, in place of the divergence of two normal distributions that the paper has.

    References
    ----------
    Barbano, Dufumier, Tartaglione, Grangetto, Gori, "Unbiased Supervised Contrastive Learning", ICLR 2023, and the
    code released with it.
    """

    name: ClassVar[str] = "fair_kl"
    weight: float = 1.0
    epsilon: float = 0.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"temperature must be positive, got {self.temperature}")

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        z = depths[-1].float()
        correlations = nn.functional.normalize(z) @ nn.functional.normalize(z).T
        same_class = batch.y[:, None] == batch.y
        bias = join_categories(batch.levels, self.problem.level_sizes)
        contrast = contrast_with_margin(correlations / self.temperature, same_class, epsilon=self.epsilon)
        fairness = compare_correlations(correlations, same_class, bias[:, None] == bias)
        task = self.problem.task_loss(self.model.head(z.detach()), batch.y)
        return task + contrast + self.weight * fairness


def contrast_with_margin(logits: Tensor, same_class: Tensor, *, epsilon: float) -> Tensor:
    """Mean of -log(exp(s) / (exp(s - epsilon) + sum of exp over other classes)) over pairs of one class."""
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    positive = same_class & ~itself
    others = logits.masked_fill(same_class, -1e9).logsumexp(dim=1, keepdim=True)
    losses = (torch.logaddexp(logits - epsilon, others) - logits).where(positive, 0.0)
    return (losses.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()


def compare_correlations(correlations: Tensor, same_class: Tensor, same_bias: Tensor) -> Tensor:
    """Squared differences of mean and standard deviation between pairs that share their bias and pairs that do not."""
    pairs = ~torch.eye(len(correlations), dtype=torch.bool, device=correlations.device)
    total = correlations.new_zeros(())
    for of_classes in (same_class & pairs, ~same_class):
        mean, deviation = zip(
            *(_describe(correlations, of_classes & part) for part in (same_bias, ~same_bias)), strict=True
        )
        known = (of_classes & same_bias).any() & (of_classes & ~same_bias).any()
        total = total + known * ((mean[0] - mean[1]).square() + (deviation[0] - deviation[1]).square())
    return total


def _describe(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    n = chosen.sum().clamp(min=1)
    mean = (values * chosen).sum() / n
    return mean, (((values - mean).square() * chosen).sum() / n + 1e-12).sqrt()
