"""Representations and logits of a trained method."""

from __future__ import annotations

import torch
from torch import Tensor

from .data import TrainingData
from .method import Method

__all__ = ["evaluate"]


@torch.no_grad()
def evaluate(
    method: Method, data: TrainingData, *, first: int | None = None, batch_size: int = 1000
) -> tuple[Tensor, Tensor]:
    """Representations (n, dim) and logits (n, n_classes) of the ``first`` rows, or of all, in evaluation mode."""
    chunks = torch.arange(min(len(data), first or len(data))).split(batch_size)
    expect = getattr(data, "expect", None)
    training = method.model.training
    method.model.eval()
    try:
        parts = []
        for rows, following in zip(chunks, (*chunks[1:], None), strict=True):
            x = data.batch(rows).x
            if expect is not None and following is not None:
                expect(following)
            parts.append(method.representations(x))
    finally:
        method.model.train(training)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
