"""The contrastive log-ratio upper bound of mutual information as a penalty."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..estimators.club import contrastive_log_ratio
from ..networks import build_perceptron
from ..networks.classifier import Classifier
from ..training.data import Batch, Problem
from ..training.method import Precision
from ..training.single_loss import SingleLoss
from .adversaries import ColumnClassifiers, freeze


class CLUB(SingleLoss):
    """Cross-entropy + ``weight`` * CLUB estimate of I(Z;C) in nats.

    A variational q(c|z), one categorical distribution per attribute column, given by an MLP, learns from detached
    z by maximum likelihood, one update a step as in the paper; then the network descends on the mean log q of the
    pairs minus the mean log q of all combinations of the batch's z and c. An upper bound only as far as q is close to
    p(c|z); it may be negative.

    Parameters
    ----------
    model : Classifier
    problem, lr, precision, seed : optional
        See `Method`.
    weight : float, default 0.1
        The released code's in domain adaptation.
    hidden : int, default 64
        Width of q's hidden layer; ours. One hidden ReLU layer is the released code's.
    q_lr : float, default 1e-3
        Of q's own Adam; the released code's in domain adaptation.

    References
    ----------
    Cheng, Hao, Dai, Liu, Gan, Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML 2020, and
    the code released with it.
    """

    name: ClassVar[str] = "club"

    def __init__(
        self,
        model: Classifier,
        problem: Problem | None = None,
        *,
        lr: float | None = None,
        precision: Precision = "float32",
        weight: float = 0.1,
        hidden: int = 64,
        q_lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(model, problem, lr=lr, precision=precision, seed=seed)
        self.weight = weight
        self.q = ColumnClassifiers(
            self.problem.level_sizes,
            lambda size: build_perceptron(model.dim, (hidden,), size, activation=nn.ReLU),
            seed=seed,
            device=self.device,
        )
        self.q_optimizer = torch.optim.Adam(self.q.parameters(), lr=q_lr)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `SingleLoss.objective`."""
        z = depths[-1].float()
        self.q.learn(z, batch.levels, self.q_optimizer)
        with freeze(self.q):
            nats = contrastive_log_ratio(self.q(z), batch.levels)
        self.estimates = (float(nats.detach()),)
        return loss + self.weight * nats
