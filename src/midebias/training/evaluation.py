"""A method applied to the rows of a data set."""

import torch
from torch import Tensor

from .data import TrainingData
from .method import Method


@torch.no_grad()
def evaluate(
    method: Method, data: TrainingData, *, first: int | None = None, batch_size: int = 1000
) -> tuple[Tensor, Tensor]:
    """Apply a method to the rows of a data set, in evaluation mode.

    Parameters
    ----------
    method : Method
    data : TrainingData
    first : int, default all
        Rows that are used, from the first.
    batch_size : int, default 1000

    Returns
    -------
    representations : Tensor of shape (n, dim)
    logits : Tensor of shape (n, n_classes)
    """
    chunks = torch.arange(min(len(data), first or len(data))).split(batch_size)
    training = method.model.training
    method.model.eval()
    try:
        parts = [method.representations(batch.x) for batch in data.open_reader()(chunks)]
    finally:
        method.model.train(training)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
