"""The entropy of labels less the cross-entropy of a classifier, cross-fitted."""

from typing import Any

import torch
from torch import Tensor, nn

from ..marginals import center_within
from .cross_fitting import ClosedForm, CrossFit, build_smooth_perceptron, cross_fit
from .exponential_family import fit_slopes
from .summaries import summarize


def cross_fit_classifier(z: Tensor, labels: Tensor, groups: Tensor | None, **options: Any) -> CrossFit:
    """Estimate H(C|G) less the held-out cross-entropy of a classifier: a lower bound of I(Z;C|G).

    The classifier adds to a logistic regression on scores and columns of z one on nonlinear features, and a network.
    """
    strata = torch.zeros_like(labels) if groups is None else groups
    counts = torch.zeros(int(strata.max()) + 1, int(labels.max()) + 1, dtype=torch.float64)
    counts.index_put_((strata, labels), torch.ones(len(z), dtype=torch.float64), accumulate=True)
    prior = ((counts + 1e-3) / (counts + 1e-3).sum(dim=1, keepdim=True)).log().float()[strata]
    targets = center_within(nn.functional.one_hot(labels).float(), groups)[0]
    onehot = nn.functional.one_hot(strata).float()

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
        own, classes = nn.functional.one_hot(labels[fit], prior.shape[1]).float(), torch.eye(prior.shape[1])
        self.linear = linear @ fit_slopes(linear[fit], own, prior[fit], classes)
        self.nonlinear = inputs @ fit_slopes(inputs[fit], own, (prior + self.linear)[fit], classes)

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
