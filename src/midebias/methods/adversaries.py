"""What adversarial methods share: classifiers of the attribute, and gradient reversal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from ..networks import build_perceptron
from ..randomness import seeded
from ..training.method import Method


class ColumnClassifiers(nn.Module):
    """One classifier per column of the attribute; ``build`` makes one from the column's number of categories."""

    def __init__(self, sizes: Sequence[int], build: Callable[[int], nn.Module], *, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.columns = nn.ModuleList(build(size) for size in sizes)

    def forward(self, h: Tensor) -> list[Tensor]:
        """Logits (n, size) of each column, given representations ``h``."""
        return [column(h) for column in self.columns]

    def cross_entropy(self, h: Tensor, levels: Tensor) -> Tensor:
        """Mean cross-entropy of ``levels`` (n, k) in nats given representations ``h``, summed over columns."""
        columns = zip(self(h), levels.long().unbind(1), strict=True)
        return torch.stack([nn.functional.cross_entropy(logits, level) for logits, level in columns]).sum()

    def learn(self, z: Tensor, levels: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step of these classifiers' optimiser on the cross-entropy of detached z (n, dim)."""
        optimizer.zero_grad()
        self.cross_entropy(z.detach(), levels).backward()
        optimizer.step()


def build_classifiers(
    method: Method, hidden: Sequence[int], build: Callable[[int], nn.Module] | None = None, *, lr: float
) -> tuple[ColumnClassifiers, torch.optim.Adam]:
    """Build classifiers of a method's attribute, by default perceptrons that read z, and an Adam of their own."""
    build = build or partial(build_perceptron, method.model.dim, hidden, activation=nn.ReLU)
    classifiers = ColumnClassifiers(method.problem.level_sizes, build, seed=method.seed).to(method.device)
    return classifiers, torch.optim.Adam(classifiers.parameters(), lr=lr)


@contextmanager
def freeze(module: nn.Module) -> Iterator[None]:
    """Make a context in which the module's parameters count as constants; its input still gets a gradient."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def reverse_gradient(h: Tensor, weight: float) -> Tensor:
    """h itself; its gradient is multiplied by ``-weight`` (the gradient reversal layer).

    Examples
    --------
    >>> import torch
    >>> h = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(h, 0.5).sum().backward()
    >>> h.grad
    tensor([-0.5000, -0.5000])
    """
    same = h.view_as(h)
    same.register_hook(lambda gradient: -weight * gradient)
    return same
