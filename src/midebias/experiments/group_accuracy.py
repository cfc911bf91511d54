"""Accuracy in the groups of label and attribute."""

from typing import Any

import torch
from torch import Tensor


def measure_group_accuracy(right: Tensor, y: Tensor, classes: Tensor, conflicting: Tensor) -> dict[str, Any]:
    """Measure the accuracy in groups of label and attribute, of images whose attribute is known (``classes`` not -1).

    ``unbiased_accuracy`` is the mean over the groups that occur, ``worst_group_accuracy`` the lowest, of a group of
    ``worst_group_images``; ``conflicting_accuracy`` is over the images that go against the bias, None without any.

    References
    ----------
    Sagawa et al., ICLR 2020, for the worst group; Bahng et al., "Learning De-biased Representations with Biased
    Representations", ICML 2020, for the mean over groups.
    """
    known = classes >= 0
    pairs, group = torch.unique(torch.stack([y[known], classes[known]]), dim=1, return_inverse=True)
    counts = torch.bincount(group, minlength=pairs.shape[1])
    accuracies = torch.bincount(group, right[known].double(), minlength=len(counts)) / counts
    worst = int(accuracies.argmin())
    against = right[conflicting].double()
    return {
        "conflicting_accuracy": float(against.mean()) if len(against) else None,
        "unbiased_accuracy": float(accuracies.mean()),
        "worst_group_accuracy": float(accuracies[worst]), "worst_group_images": int(counts[worst]),
    }  # fmt: skip


def find_conflicting(train_y: Tensor, train_classes: Tensor, y: Tensor, classes: Tensor) -> Tensor:
    """Find images that go against the bias: in training their label and attribute meet less often than by chance."""
    size = 1 + max(int(train_y.max()), int(y.max())), 1 + max(int(train_classes.max()), int(classes.max()))
    known = train_classes >= 0
    counts = torch.zeros(size, dtype=torch.double)
    counts.index_put_((train_y[known], train_classes[known]), torch.ones((), dtype=torch.double), accumulate=True)
    expected = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True) / counts.sum()
    return (counts < expected)[y, classes.clamp(min=0)] & (classes >= 0)
