"""Learning Not to Learn: a bias predictor on a feature map, its entropy raised and its gradient reversed."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..representations import FeatureMap
from ..training.data import Batch
from ..training.method import Method
from .adversaries import build_classifiers, freeze, reverse_gradient


@dataclass(eq=False, repr=False, kw_only=True)
class LearningNotToLearn(Method):
    r"""Cross-entropy - ``entropy_weight`` * H(bias prediction) + the bias's cross-entropy, its gradient reversed.

    The predictor of each attribute column is, as released, conv3x3-BN-ReLU-conv3x3 on a feature map; its logits are
    averaged over positions, because here a column has one category per image, not per pixel. It learns from the
    cross-entropy alone. As released, the entropy is averaged and the cross-entropy summed over columns.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    entropy_weight : float, default 0.01
        :math:`\lambda` of the released code.
    reversal : float, default 0.1
        Factor of the reversed gradient in the released code, which has :math:`\mu = 1`.
    depth : int, optional
        Which of ``model.depths(x)`` the predictor reads. Default is the last feature map, or z where there is none,
        which an MLP reads (ours). The released code reads the second map of `GlobalPoolClassifier`: ``depth=1``.
    predictor_lr : float, default 1e-3
        Of the predictor's own Adam; ours. The released code takes a step of SGD for the entropy and a second one for
        the reversed gradient; here both are one step.

    References
    ----------
    Kim, Kim, Kim, Kim, Kim, "Learning Not to Learn: Training Deep Neural Networks with Biased Data", CVPR 2019,
    and the code released with it.
    """

    name: ClassVar[str] = "lnl"
    entropy_weight: float = 0.01
    reversal: float = 0.1
    depth: int | None = None
    predictor_lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        shapes = self.model.shapes
        if self.depth is None:
            self.depth = max((i for i, shape in enumerate(shapes) if isinstance(shape, FeatureMap)), default=-1)
        shape = shapes[self.depth]
        build = partial(_MapPredictor, shape.channels) if isinstance(shape, FeatureMap) else None
        self.predictor, self.predictor_optimizer = build_classifiers(self, (64,), build, lr=self.predictor_lr)
        self.optimizers.append(self.predictor_optimizer)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        assert self.depth is not None
        h = depths[self.depth].float()
        with freeze(self.predictor):
            flatness = compute_negative_entropy(self.predictor(h))
        bias = self.predictor.cross_entropy(reverse_gradient(h, self.reversal), batch.levels)
        return loss + self.entropy_weight * flatness + bias


class _MapPredictor(nn.Module):
    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, size, 3, padding=1),
        )

    def forward(self, h: Tensor) -> Tensor:
        return self.layers(h).mean(dim=(2, 3))


def compute_negative_entropy(columns: list[Tensor]) -> Tensor:
    """Mean of sum p log p in nats over samples and columns; at least the mean of -log(size)."""
    logs = [logits.log_softmax(dim=1) for logits in columns]
    return torch.stack([(log.exp() * log).sum(dim=1).mean() for log in logs]).mean()
