"""Confusion loss: make classifiers of the attribute answer evenly."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..training.data import Batch
from ..training.method import Method
from .adversaries import build_classifiers, freeze


@dataclass(eq=False, repr=False, kw_only=True)
class BlindEye(Method):
    """A linear softmax classifier of each attribute column on z, and a network that confuses them.

    One step: the classifiers learn the attribute from detached z; then the network descends on cross-entropy plus
    ``alpha`` times the cross-entropy between the uniform distribution and the fixed classifiers' answers.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    alpha : float, default 0.1
        Weight of the confusion loss. Ours: the paper has such a weight, but we have not found its value.
    classifier_lr : float, default 1e-3
        Of the classifiers' own Adam; ours.

    References
    ----------
    Alvi, Zisserman, Nellåker, "Turning a Blind Eye: Explicit Removal of Biases and Variation from Deep Neural Network
    Embeddings", ECCV Workshops 2018, arXiv 1809.02169.
    """

    name: ClassVar[str] = "blind_eye"
    alpha: float = 0.1
    classifier_lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.classifiers, self.classifier_optimizer = build_classifiers(self, (), lr=self.classifier_lr)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        z = depths[-1].float()
        self.classifiers.learn(z, batch.levels, self.classifier_optimizer)
        with freeze(self.classifiers):
            return loss + self.alpha * compute_confusion_loss(self.classifiers(z))


def compute_confusion_loss(columns: list[Tensor]) -> Tensor:
    """Cross-entropy between the uniform distribution and each column's softmax, summed over columns."""
    return torch.stack([-logits.log_softmax(dim=1).mean() for logits in columns]).sum()
