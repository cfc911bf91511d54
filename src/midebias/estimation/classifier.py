"""The entropy of labels less the cross-entropy of a classifier, cross-fitted."""

from typing import Any

import torch
from torch import Tensor, nn

from ..marginals import center_within
from .cross_fitting import ClosedForm, CrossFit, build_smooth_perceptron, cross_fit
from .exponential_family import Regression, fit_weights
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
        found = summarize(z, targets, targets, fit)
        linear = torch.cat([found.scores, found.columns, onehot], dim=1)
        inputs = torch.cat([found.feature_scores, linear, found.features], dim=1)
        nonlinear = inputs[:, : found.feature_scores.shape[1] + found.scores.shape[1]]
        return _LogisticRegressions(linear, torch.cat([nonlinear, onehot], dim=1), inputs, labels, prior, fit)

    return cross_fit(fit_logistic, len(z), **options)


class _LogisticRegressions(ClosedForm):
    """Logistic regressions fitted on some rows, from the prior (n, classes): a linear one, and one on scores."""

    batch = 512

    def __init__(
        self, linear: Tensor, nonlinear: Tensor, inputs: Tensor, labels: Tensor, prior: Tensor, fit: Tensor
    ) -> None:
        self.inputs, self.labels, self.prior = inputs, labels, prior
        own, classes = nn.functional.one_hot(labels[fit], prior.shape[1]).float(), torch.eye(prior.shape[1])
        self.linear = linear @ fit_weights(Regression(linear[fit], own, prior[fit], classes))
        starts = (prior + self.linear)[fit]
        self.nonlinear = nonlinear @ fit_weights(Regression(nonlinear[fit], own, starts, classes))

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
