"""EnD: entangle samples of one class, disentangle samples of one bias."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ..training.data import Batch
from ..training.method import Method
from .attribute_groups import join_categories


@dataclass(eq=False, repr=False, kw_only=True)
class EnD(Method):
    """Cross-entropy + ``alpha`` * disentangling term + ``beta`` * entangling term, both on z of unit length.

    The bias label is the joint category of all attribute columns.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    alpha, beta : float, default 0.1
        The released code's for Biased MNIST.

    Notes
    -----
    In the released network the head reads z of unit length too; here it reads z as it is. The released entangling term
    leaves out the pairs whose bias labels stand in the other order than their rows; here all pairs count.

    References
    ----------
    Tartaglione, Barbano, Grangetto, "EnD: Entangling and Disentangling deep representations for bias correction",
    CVPR 2021, and the code released with it.
    """

    name: ClassVar[str] = "end"
    alpha: float = 0.1
    beta: float = 0.1

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        z = depths[-1].float()
        bias = join_categories(batch.levels, self.problem.level_sizes)
        return loss + self.alpha * compute_disentangling(z, bias) + self.beta * compute_entangling(z, batch.y, bias)


def compute_disentangling(z: Tensor, bias: Tensor) -> Tensor:
    """Correlation of pairs that share their bias: |sum within a bias label|, summed, over the number of pairs."""
    sums, pairs = _sums_over_pairs(nn.functional.normalize(z), bias)
    return sums.abs().sum() / pairs.clamp(min=1)


def compute_entangling(z: Tensor, y: Tensor, bias: Tensor) -> Tensor:
    """Mean of (1 - correlation) / 2 over pairs of one class and different bias; 0 where there is none."""
    z = nn.functional.normalize(z)
    sums, pairs = _sums_over_pairs(z, y)
    same_bias_sums, same_bias_pairs = _sums_over_pairs(z, y * (bias.max() + 1) + bias)
    across = pairs - same_bias_pairs
    return (across - (sums.sum() - same_bias_sums.sum())) / (2 * across.clamp(min=1))


def _sums_over_pairs(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each label the sum of <z_i, z_j> over its unordered pairs, and the number of pairs of all labels."""
    # sum_{i<j} <z_i, z_j> = (|sum_i z_i|^2 - sum_i |z_i|^2) / 2: no matrix of all pairs is made.
    alike = labels[:, None] == labels
    members = (alike & ~alike.tril(-1).any(dim=1)).to(
        z.dtype
    )  # a column for each row, of zeros unless its label is new
    sums = ((members.T @ z).square().sum(dim=1) - members.T @ z.square().sum(dim=1)) / 2
    n = members.sum(dim=0)
    return sums, (n * (n - 1) / 2).sum()
