"""A quick probe by small networks: how well frozen z predicts categories c, as rows of image runs report it.

It is no part of the audit's family, which needs scikit-learn and many fits: what trains images has torch alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..arguments import check_groups, check_representation, checked
from ..errors import InputError
from ..estimation.result import MIEstimate
from ..networks import EarlyStopping, build_perceptron
from ..randomness import seeded
from .statistics import compare_with_marginal


@dataclass(frozen=True)
class ProbeResult:
    """What a probe recovered on held-out samples.

    Parameters
    ----------
    accuracy, balanced_accuracy : float
        In [0, 1].
    chance : float
        Accuracy of always answering the most frequent label.
    mi : MIEstimate
        What the probe's log-probabilities save over their mean over other z: a lower bound of I(Z;C), in nats, as in
        the audit.
    """

    accuracy: float
    balanced_accuracy: float
    chance: float
    mi: MIEstimate


@checked
def probe(z: Tensor, c: Tensor, *, hidden: int = 128, max_epochs: int = 60, random_state: int = 0) -> ProbeResult:
    """Train a fresh classifier of c on half of the frozen z and evaluate it on the other half.

    A linear and a two-layer classifier are trained, with early stopping on a tenth of their half; the one
    that does better there is evaluated, once.

    Parameters
    ----------
    z : float Tensor of shape (n, dim)
    c : integer Tensor of shape (n,)
        Labels, at least 0.
    hidden : int, default 128
        Width of the two-layer probe.
    max_epochs : int, default 60
    random_state : int, default 0
        Seeds the halves, the weights and the batches.

    Returns
    -------
    ProbeResult

    Raises
    ------
    InputError
        Wrong shapes or dtypes, NaN in z, fewer than 100 samples, or a c that never varies.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, for the bound.
    """
    check_representation(z)
    check_groups(c, len(z), name="c")
    if hidden < 1 or max_epochs < 1:
        raise InputError(f"hidden and max_epochs must be at least 1, got {hidden} and {max_epochs}")
    if len(z) < 100:
        raise InputError(f"z holds {len(z)} samples; a probe needs at least 100")
    labels, c = torch.unique(c, return_inverse=True)
    if len(labels) < 2:
        raise InputError("c never varies: there is nothing to recover")
    generator = torch.Generator().manual_seed(random_state)
    order = torch.randperm(len(z), generator=generator)
    half, tenth = len(z) // 2, len(z) // 20
    aside, fit, held = order[:tenth], order[tenth:half], order[half:]
    z = z.detach().float()
    z = (z - z[fit].mean(0)) / (z[fit].std(0) + 1e-3 * z[fit].std() + 1e-9)
    candidates = []
    for layers in (0, 2):
        with seeded(random_state + layers):
            model = build_perceptron(z.shape[1], (hidden,) * layers, len(labels), activation=nn.ReLU)
        candidates.append((_train(model, z, c, fit, aside, max_epochs, generator), model))
    _, best = min(candidates, key=lambda pair: pair[0])
    with torch.no_grad():
        scores, truth = best(z[held]).log_softmax(dim=1), c[held]
    hit = (scores.argmax(1) == truth).double()
    counts = torch.bincount(truth, minlength=len(labels)).double()
    recall = torch.bincount(truth, weights=hit, minlength=len(counts))[counts > 0] / counts[counts > 0]
    frequency = counts / counts.sum()
    _, influence = compare_with_marginal(scores.double().cpu().numpy(), truth.cpu().numpy())
    stderr = float(influence.std(ddof=1)) / math.sqrt(len(held))
    mi = MIEstimate(float(influence.mean()), stderr, "probe", "lower", len(held))
    return ProbeResult(float(hit.mean()), float(recall.mean()), float(frequency.max()), mi)


def _train(
    model: nn.Module, z: Tensor, c: Tensor, fit: Tensor, aside: Tensor, epochs: int, generator: torch.Generator
) -> float:
    """Train on rows and keep the weights that do best aside; return their cross-entropy there."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    stopping = EarlyStopping(model, patience=6)
    for epoch in range(epochs):
        for rows in fit[torch.randperm(len(fit), generator=generator)].split(256):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(z[rows]), c[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(model(z[aside]), c[aside]))
        if stopping.observe(loss, epoch):
            break
    stopping.restore()
    return stopping.loss
