"""The contrastive log-ratio upper bound of mutual information as a penalty."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..estimators.club import compute_contrastive_log_ratio
from ..training.data import Batch
from ..training.method import Method
from .adversaries import build_classifiers, freeze


@dataclass(eq=False, repr=False, kw_only=True)
class CLUB(Method):
    """Cross-entropy + ``weight`` * CLUB estimate of I(Z;C) in nats.

    An MLP q(c|z), one categorical distribution per attribute column, learns from detached z by maximum likelihood, one
    update a step as in the paper; then the network descends on the mean log q of the pairs minus that of all
    combinations of the batch's z and c. An upper bound only as far as q is close to p(c|z); it may be negative.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
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
    weight: float = 0.1
    hidden: int = 64
    q_lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.q, self.q_optimizer = build_classifiers(self, (self.hidden,), lr=self.q_lr)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        z = depths[-1].float()
        self.q.learn(z, batch.levels, self.q_optimizer)
        with freeze(self.q):
            nats = compute_contrastive_log_ratio(self.q(z), batch.levels)
        self.estimates = (nats.detach(),)
        return loss + self.weight * nats
