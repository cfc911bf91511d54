"""The reader: what z says of the group of its row, as weights whose mean over a group's rows is that group's."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..networks import EarlyStopping, build_perceptron
from ..randomness import seeded
from .moments import Floats

_HIDDEN = 128
_EPOCHS = 20
_MOST_ROWS = 20_000
_LEAST_SINGULAR = 0.05  # of the confusion matrix: what is recognised less often is not told apart


class GroupReader(nn.Module):
    """z (n, p) -> weights (n, k) of the groups, of sum 1, which may lie outside [0, 1]."""

    mean: Tensor
    spread: Tensor
    calibration: Tensor

    def __init__(self, p: int, k: int) -> None:
        super().__init__()
        self.mean, self.spread = nn.Buffer(torch.zeros(p)), nn.Buffer(torch.ones(p))
        self.network = build_perceptron(2 * p, (_HIDDEN,), k, activation=nn.GELU)
        self.calibration = nn.Buffer(torch.eye(k))

    def forward(self, z: Tensor) -> Tensor:
        """Weights of the groups."""
        return self.score(z).softmax(dim=1) @ self.calibration

    def score(self, z: Tensor) -> Tensor:
        """Logits of the groups, of z and its squares: few variances that differ are learned slowly from z alone."""
        x = ((z.float() - self.mean) / self.spread).clamp(-6, 6)
        found: Tensor = self.network(torch.cat([x, x.square() - 1], dim=1))
        return found


def train_reader(
    z: NDArray[np.floating], codes: NDArray[np.intp], k: int, weights: Floats, fit: NDArray[np.intp],
    aside: NDArray[np.intp], seed: int,
) -> GroupReader:  # fmt: skip
    """Train a perceptron to tell k groups on rows ``fit``, stop it early by rows ``aside``, and calibrate it there."""
    generator = torch.Generator().manual_seed(seed)
    fit = fit[torch.randperm(len(fit), generator=generator).numpy()[:_MOST_ROWS]]
    with seeded(seed):
        reader = GroupReader(z.shape[1], k)
    x, y, w = torch.from_numpy(z[fit]).float(), torch.from_numpy(codes[fit]), torch.from_numpy(weights[fit]).float()
    held, told = torch.from_numpy(z[aside]).float(), torch.from_numpy(codes[aside])
    reader.mean, reader.spread = x.mean(dim=0), x.std(dim=0) + 1e-3 * x.std() + 1e-12
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=1e-2)
    stopping = EarlyStopping(reader, patience=3)
    for epoch in range(_EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(256):
            optimizer.zero_grad()
            losses = nn.functional.cross_entropy(reader.score(x[rows]), y[rows], reduction="none")
            ((losses * w[rows]).sum() / w[rows].sum().clamp(min=1e-12)).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(reader.score(held), told))
        if stopping.observe(loss, epoch):
            break
    stopping.restore()
    reader.requires_grad_(False)
    found = reader.score(held).softmax(dim=1).double()
    confusion = torch.stack(
        [
            found[told == group].mean(dim=0) if (told == group).any() else torch.eye(k)[group].double()
            for group in range(k)
        ]
    )
    reader.calibration = torch.linalg.pinv(confusion, rtol=_LEAST_SINGULAR).float()
    return reader.eval()
