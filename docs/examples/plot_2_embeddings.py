"""
Removing an attribute from embeddings
=====================================

The embeddings in this example are the 64 pixel values of scikit-learn's digits. An attribute is planted in them: the
site where an image was taken, which shifts some of the columns. In the training rows the site agrees with the label
in four of five cases; in the test rows it does not depend on the label. A small network is trained on top, without
and with one added line.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from midebias import MIPenalty, audit
from midebias.attributes import Categorical

rng = np.random.default_rng(0)
pixels, digits = load_digits(return_X_y=True)
y = (digits >= 5).astype(int)
test = rng.random(len(y)) < 0.4
site = np.where(rng.random(len(y)) < 0.8, y, 1 - y)
site[test] = rng.integers(0, 2, test.sum())
shift = rng.normal(size=64) * (rng.random(64) < 0.33)
embeddings = (pixels - pixels.mean(axis=0)) / 8 + np.outer(site, shift)

x, y, c = (
    torch.tensor(embeddings, dtype=torch.float32),
    torch.tensor(y),
    torch.tensor(site),
)
test = torch.tensor(test)

# %%
# The training loop is an ordinary one. With a weight of zero the penalty is left out.


def train_encoder(mi_weight):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    head = nn.Linear(8, 2)
    penalty = MIPenalty(8, Categorical(2), estimator="gaussian")
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    rows_of_training = torch.nonzero(~test).squeeze(1)
    for _ in range(30):
        for rows in rows_of_training[torch.randperm(len(rows_of_training))].split(
            256
        ):
            z = encoder(x[rows])
            loss = nn.functional.cross_entropy(head(z), y[rows])
            if mi_weight > 0:
                loss = loss + mi_weight * penalty(
                    z, c[rows], y[rows]
                )  # the added line
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return encoder, head


# %%
# `audit` fits fresh probes to the new representation of the test rows. Its leakage is the largest lower estimate of
# I(Z;C) that a probe reached on held-out rows, in nats, with a 95% interval.

weights = (0.0, 0.03, 0.1, 0.3)
leakages, intervals, accuracies = [], [], []
for mi_weight in weights:
    encoder, head = train_encoder(mi_weight)
    with torch.no_grad():
        z = encoder(x[test])
        accuracies.append(float((head(z).argmax(1) == y[test]).float().mean()))
    result = audit(z.numpy(), {"site": c[test].numpy()}, probes=["linear", "mlp"])
    leakages.append(result.leakage)
    intervals.append(result.interval)
    print(
        f"mi_weight {mi_weight}: accuracy {accuracies[-1]:.3f}, leakage {leakages[-1]:.3f} nats"
    )

# %%
# A small weight removes most of the site. It costs no accuracy here, because the site is not needed for the label.

errors = np.abs(np.array(intervals).T - np.array(leakages))
figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.6), layout="constrained")
places = range(len(weights))
axes[0].bar(places, leakages, yerr=errors, color="C3", capsize=4)
axes[0].set_ylabel("leakage of the site, nats")
axes[1].bar(places, accuracies)
axes[1].set_ylim(0.5, 1)
axes[1].set_ylabel("test accuracy")
for axis in axes:
    axis.set_xticks(places, [f"{weight:g}" for weight in weights])
    axis.set_xlabel("mi_weight")
    axis.spines[["top", "right"]].set_visible(False)
plt.show()
