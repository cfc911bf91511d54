"""The entropy of labels less the cross-entropy of a classifier, cross-fitted."""

import torch
from torch import Tensor, nn

from .cross_fitting import CrossFit, Fold, build_smooth_perceptron, split_folds, summarize_folds, train_network


def cross_fit_classifier(
    z: Tensor, labels: Tensor, groups: Tensor | None, *, n_folds: int, n_restarts: int, max_steps: int, seed: int
) -> CrossFit:
    """Estimate H(C|G) less the held-out cross-entropy of a classifier: a lower bound of I(Z;C|G).

    The classifier is a network added to a logistic regression, from white z; the entropy of the labels, which count
    from 0, is Miller and Madow's.
    """
    generator = torch.Generator().manual_seed(seed)
    n_classes = int(labels.max()) + 1
    inputs = z if groups is None else torch.cat([z, nn.functional.one_hot(groups).float()], dim=1)
    strata = torch.zeros(len(z), dtype=torch.long) if groups is None else groups
    counts = torch.zeros(int(strata.max()) + 1, n_classes, dtype=torch.float64)
    counts.index_put_((strata, labels), torch.ones(len(z), dtype=torch.float64), accumulate=True)
    prior = ((counts + 1e-3) / (counts + 1e-3).sum(dim=1, keepdim=True)).log().float()
    surprise = -(counts / counts.sum(dim=1, keepdim=True).clamp(min=1))[strata, labels].log()
    cells, used = int((counts > 0).sum()), int((counts.sum(dim=1) > 0).sum())
    surprise = surprise + (cells - used) / (2 * len(z))
    folds = []
    for k, (fit, held) in enumerate(split_folds(len(z), n_folds)):
        base = _fit_logistic(inputs, labels, prior[strata], fit)

        def loss(net: nn.Module, rows: Tensor, base: Tensor = base) -> Tensor:
            return nn.functional.cross_entropy(base[rows] + net(inputs[rows]), labels[rows])

        def evaluate(net: nn.Module, rows: Tensor, rounds: int, base: Tensor = base) -> tuple[Tensor, Tensor]:
            alone, whole = (
                surprise[rows] - nn.functional.cross_entropy(logits, labels[rows], reduction="none").double()
                for logits in (base[rows], base[rows] + net(inputs[rows]))
            )
            return alone, whole

        def build() -> nn.Module:
            return build_smooth_perceptron(inputs.shape[1], n_classes)

        net, late = train_network(
            build, loss, evaluate, fit, batch=512, n_restarts=n_restarts, max_steps=max_steps, seed=seed + 17 * k,
            generator=generator,
        )  # fmt: skip
        with torch.no_grad():
            fitted = float(evaluate(net, fit, 1)[1].mean())
            folds.append(Fold(held, *evaluate(net, held, 1), late, fitted))
    return summarize_folds(folds)


@torch.enable_grad()
def _fit_logistic(inputs: Tensor, labels: Tensor, prior: Tensor, fit: Tensor) -> Tensor:
    """Fit a logistic regression on some rows, from the prior; return all rows' logits (n, classes)."""
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
    return (prior + inputs @ weight + bias).detach()
