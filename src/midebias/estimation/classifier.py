"""The entropy of labels less the cross-entropy of a classifier, cross-fitted."""

from typing import Any

import torch
from torch import Tensor, nn

from ..marginals import center_within
from .cross_fitting import ClosedForm, CrossFit, build_smooth_perceptron, cross_fit
from .summaries import summarize

_PENALTIES = (1e-4, 1e-3, 1e-2, 0.1)  # of squared weights, tried on a fourth of the rows


def cross_fit_classifier(z: Tensor, labels: Tensor, groups: Tensor | None, **options: Any) -> CrossFit:
    """Estimate H(C|G) less the held-out cross-entropy of a classifier: a lower bound of I(Z;C|G).

    The classifier adds to a logistic regression on scores and columns of z one on nonlinear features, and a network.
    """
    strata = torch.zeros_like(labels) if groups is None else groups
    counts = torch.zeros(int(strata.max()) + 1, int(labels.max()) + 1, dtype=torch.float64)
    counts.index_put_((strata, labels), torch.ones(len(z), dtype=torch.float64), accumulate=True)
    prior = ((counts + 1e-3) / (counts + 1e-3).sum(dim=1, keepdim=True)).log().float()[strata]
    targets = center_within(nn.functional.one_hot(labels).float(), groups)[0]
    onehot = torch.zeros(len(z), 0) if groups is None else nn.functional.one_hot(groups).float()

    def fit_logistic(fit: Tensor, _: torch.Generator) -> ClosedForm:
        scores, columns, features = summarize(z, targets, targets, fit)
        linear = torch.cat([scores, columns, onehot], dim=1)
        return _LogisticRegressions(linear, torch.cat([linear, features], dim=1), labels, prior, fit)

    return cross_fit(fit_logistic, len(z), **options)


class _LogisticRegressions(ClosedForm):
    """Logistic regressions fitted on some rows, from the prior (n, classes): a linear one, and one on features too."""

    batch = 512

    def __init__(self, linear: Tensor, inputs: Tensor, labels: Tensor, prior: Tensor, fit: Tensor) -> None:
        self.inputs, self.labels, self.prior = inputs, labels, prior
        self.linear = _fit_logistic(linear, labels, prior, fit)
        self.nonlinear = _fit_logistic(inputs, labels, prior + self.linear, fit)

    def build_network(self) -> nn.Module:
        return build_smooth_perceptron(self.inputs.shape[1], self.prior.shape[1])

    def compute_loss(self, network: nn.Module, rows: Tensor) -> Tensor:
        base = self.prior[rows] + self.linear[rows] + self.nonlinear[rows]
        return nn.functional.cross_entropy(base + network(self.inputs[rows]), self.labels[rows])

    def compute_scores(self, network: nn.Module, rows: Tensor, rounds: int) -> Tensor:
        return torch.stack([self.linear[rows], self.nonlinear[rows], network(self.inputs[rows])])

    def compute_local(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Log-likelihood beyond that of the prior."""
        prior, target = self.prior[rows].double(), self.labels[rows]
        of_prior, of_all = (
            nn.functional.cross_entropy(logits, target, reduction="none") for logits in (prior, prior + scores.double())
        )
        return of_prior - of_all


def _fit_logistic(x: Tensor, labels: Tensor, start: Tensor, fit: Tensor) -> Tensor:
    """Logits (n, classes) to be added to ``start``; fourths of the rows, or one of many, say how to shrink weights."""
    losses = dict.fromkeys(_PENALTIES, 0.0)
    for part in range(min(4, -(-2000 // len(fit)))):
        inside = torch.arange(len(fit)) % 4 != part
        less, aside = fit[inside], fit[~inside]
        for penalty in _PENALTIES:
            logits = start[aside] + x[aside] @ _minimize(x[less], labels[less], start[less], penalty)
            losses[penalty] += float(nn.functional.cross_entropy(logits, labels[aside]))
    return x @ _minimize(x[fit], labels[fit], start[fit], min(_PENALTIES, key=losses.__getitem__))


@torch.enable_grad()
def _minimize(x: Tensor, labels: Tensor, start: Tensor, penalty: float) -> Tensor:
    weights = torch.zeros(x.shape[1], start.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(start + x @ weights, labels) + penalty * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()
