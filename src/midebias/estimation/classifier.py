"""The entropy of labels less the cross-entropy of a classifier, cross-fitted."""

from typing import Any

import torch
from torch import Tensor, nn

from .cross_fitting import ClosedForm, CrossFit, build_smooth_perceptron, cross_fit


def cross_fit_classifier(z: Tensor, labels: Tensor, groups: Tensor | None, **options: Any) -> CrossFit:
    """Estimate H(C|G) less the held-out cross-entropy of a classifier: a lower bound of I(Z;C|G).

    The classifier is a network added to a logistic regression, from white z; the entropy is Miller and Madow's.
    """
    n_classes = int(labels.max()) + 1
    inputs = z if groups is None else torch.cat([z, nn.functional.one_hot(groups).float()], dim=1)
    strata = torch.zeros(len(z), dtype=torch.long) if groups is None else groups
    counts = torch.zeros(int(strata.max()) + 1, n_classes, dtype=torch.float64)
    counts.index_put_((strata, labels), torch.ones(len(z), dtype=torch.float64), accumulate=True)
    prior = ((counts + 1e-3) / (counts + 1e-3).sum(dim=1, keepdim=True)).log().float()
    surprise = -(counts / counts.sum(dim=1, keepdim=True).clamp(min=1))[strata, labels].log()
    cells, used = int((counts > 0).sum()), int((counts.sum(dim=1) > 0).sum())
    surprise = surprise + (cells - used) / (2 * len(z))
    given = inputs, labels, prior[strata], surprise
    return cross_fit(lambda fit, _: _LogisticRegression(*given, fit), len(z), **options)


class _LogisticRegression(ClosedForm):
    """A logistic regression fitted on some rows, from the prior; ``base`` are all rows' logits (n, classes)."""

    batch = 512

    @torch.enable_grad()
    def __init__(self, inputs: Tensor, labels: Tensor, prior: Tensor, surprise: Tensor, fit: Tensor) -> None:
        self.inputs, self.labels, self.surprise = inputs, labels, surprise
        weight = torch.zeros(inputs.shape[1], prior.shape[1], requires_grad=True)
        bias = torch.zeros(prior.shape[1], requires_grad=True)
        x, target, start = inputs[fit], labels[fit], prior[fit]
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(start + x @ weight + bias, target) + 1e-4 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        self.base = (prior + inputs @ weight + bias).detach()

    def build_network(self) -> nn.Module:
        return build_smooth_perceptron(self.inputs.shape[1], self.base.shape[1])

    def compute_loss(self, network: nn.Module, rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.base[rows] + network(self.inputs[rows]), self.labels[rows])

    def evaluate(self, network: nn.Module, rows: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
        base = self.base[rows]
        alone, whole = (
            self.surprise[rows] - nn.functional.cross_entropy(logits, self.labels[rows], reduction="none").double()
            for logits in (base, base + network(self.inputs[rows]))
        )
        return alone, whole
