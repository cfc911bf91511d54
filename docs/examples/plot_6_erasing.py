"""
Erasing a scanner from embeddings
=================================

The embeddings in this example are the 64 hidden units of somebody's digit network, which nobody is going to train
again. Half of the images came from a scanner that blurs, and the embeddings tell which. Two erasers take the scanner
out: the linear one in closed form, and the nonlinear one.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from torch import nn

from midebias import MIEraser, audit
from midebias.datasets import read_file

n = 8000
pixels = np.frombuffer(
    read_file("mnist/train-images-idx3-ubyte"), np.uint8, n * 784, offset=16
)
digits = np.frombuffer(
    read_file("mnist/train-labels-idx1-ubyte"), np.uint8, n, offset=8
).astype(int)
images = torch.tensor(pixels.reshape(n, 1, 28, 28) / 255, dtype=torch.float32)
images = nn.functional.avg_pool2d(images, 2)
scanner = np.random.default_rng(0).integers(0, 2, n)
blurs = torch.tensor(scanner == 1)
images[blurs] = nn.functional.avg_pool2d(images[blurs], 3, stride=1, padding=1)

torch.manual_seed(0)
network = nn.Sequential(
    nn.Flatten(), nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, 10)
)
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(5):
    for rows in torch.randperm(n // 2).split(128):
        loss = nn.functional.cross_entropy(
            network(images[rows]), torch.tensor(digits[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
with torch.no_grad():
    z = network[:3](images).numpy()

# %%
# The erasers are fitted on half of the rows and judged on the other half. On the rows of the fit the embeddings would
# look cleaner than new ones.

train, test = np.arange(n // 2), np.arange(n // 2, n)
versions = {"as it was": z}
for method in ("linear", "nonlinear"):
    eraser = MIEraser(method=method, random_state=0)
    eraser.fit(z[train], sensitive_features=scanner[train])
    versions[method] = eraser.transform(z)

# %%
# Three fresh probes are asked for the scanner. Two figures say what is lost: the accuracy of a classifier of the
# digits, and how many of the ten nearest neighbours of an image are still among its ten nearest.


def find_neighbours(points):
    search = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(points)
    return search.kneighbors(return_distance=False)


before = find_neighbours(z[test])
probes, kept = {}, {}
for name, points in versions.items():
    result = audit(
        points[test],
        {"scanner": scanner[test]},
        probes=["linear", "boosted trees", "mlp"],
        n_folds=2,
    )
    probes[name] = {f.probe: f.balanced_accuracy for f in result.findings}
    classifier = LogisticRegression(max_iter=2000).fit(points[train], digits[train])
    same = [
        len(set(a) & set(b)) for a, b in zip(before, find_neighbours(points[test]))
    ]
    kept[name] = {
        "digits\nclassified": classifier.score(points[test], digits[test]),
        "neighbours\nkept": np.mean(same) / 10,
    }
    print(f"{name}: leakage {result.leakage:.3f} nats")

# %%
# After the linear map a linear probe guesses, and the others still read nearly everything. After the nonlinear map they
# read less, but boosted trees far from nothing, and a tenth of the neighbours is lost. Audit your own embeddings before
# you hand them on.

figure, axes = plt.subplots(
    1, 2, figsize=(8, 3), layout="constrained", width_ratios=[3, 2]
)
colours = {"as it was": "0.6", "linear": "C0", "nonlinear": "C3"}
for axis, figures in zip(axes, (probes, kept)):
    for i, (name, values) in enumerate(figures.items()):
        places = np.arange(len(values)) + 0.27 * (i - 1)
        bars = axis.bar(
            places, values.values(), 0.25, color=colours[name], label=name
        )
        axis.bar_label(bars, fmt="%.2f", fontsize=8)
    axis.set_xticks(range(len(values)), list(values))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylim(0.4, 1.05)
axes[0].axhline(0.5, color="0.4", linestyle=":")
axes[0].set_ylabel("balanced accuracy for the scanner")
axes[1].set_ylim(0, 1.05)
axes[1].set_ylabel("share")
axes[0].legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.2))
plt.show()

# %%
# Leakage is a lower bound: another probe may read more. ``midebias erase`` does the same with embeddings in a file,
# and writes a page with these figures.
