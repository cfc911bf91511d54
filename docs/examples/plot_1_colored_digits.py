"""
Debiasing a digit classifier
============================

In Colored MNIST the colour of a training digit gives its label away. In the test set the colours are drawn at
random. A network trained without a penalty learns the colour. This example trains the same small network with and
without the penalty and reports two numbers for each: the accuracy on the test set, and how often a fresh probe
recovers the colour from the representation.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from midebias import FeatureMap, LogitAdjustment, MIPenalty
from midebias.attributes import Categorical
from midebias.datasets import ColoredMNIST
from midebias.leakage import probe

train = ColoredMNIST(variance=0.02, limit=6000)
test = ColoredMNIST(split="test", variance=0.02, limit=2000)

figure, axes = plt.subplots(2, 10, figsize=(8, 1.9), layout="constrained")
for title, data, row in (("training", train, axes[0]), ("test", test, axes[1])):
    for axis, image in zip(row, data.images):
        axis.imshow(image.permute(1, 2, 0))
        axis.set_axis_off()
    row[0].set_title(title, loc="left", fontsize=10)

# %%
# The network has one convolution whose feature map is penalised, and a second part that ends in the
# representation z with 32 columns.
#
# `ColoredMNIST.levels` is the attribute c: the colour of each image, as one of eight levels in each of three channels.

attribute = Categorical((8, 8, 8))


def make_network():
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 16, 5, stride=2), nn.ReLU())
    second = nn.Sequential(
        nn.Conv2d(16, 32, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.ReLU(),
    )
    return first, second, nn.Linear(32, 10)


# %%
# Two things change in the training loop. `LogitAdjustment` adds log p(y|c)/p(y) to the logits during training, so
# that the network is not rewarded for reading the colour. `MIPenalty` estimates I(Z;C|Y) at the feature map and at z;
# its ``backward`` scales the gradient of the estimate to ``gradient_ratio`` times the gradient of the task and sends
# both through the network in one pass.


def train_network(debias, epochs=8, batch_size=256):
    first, second, head = make_network()
    parameters = [*first.parameters(), *second.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    penalty = MIPenalty(
        [FeatureMap(16), 32], attribute, estimator="gaussian", gradient_ratio=3.0
    )
    adjustment = LogitAdjustment(attribute, 10, rebalance=0.5).fit(
        train.levels, train.targets
    )
    weights = adjustment.sampling_weights(train.levels, train.targets)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        if debias:
            order = torch.multinomial(
                weights, len(train), replacement=True, generator=generator
            )
        else:
            order = torch.randperm(len(train), generator=generator)
        for rows in order.split(batch_size):
            x, y, c = train.images[rows], train.targets[rows], train.levels[rows]
            feature_map = first(x)
            z = second(feature_map)
            logits = head(z)
            optimizer.zero_grad()
            if debias:
                task_loss = nn.functional.cross_entropy(adjustment(logits, c, y), y)
                penalty.backward(task_loss, [feature_map, z], c, y)
            else:
                nn.functional.cross_entropy(logits, y).backward()
            optimizer.step()
    return first, second, head


# %%
# The probe is trained after the fact, on half of the test representations, and judged on the other half.

results = {}
for name, debias in (("without the penalty", False), ("with the penalty", True)):
    first, second, head = train_network(debias)
    with torch.no_grad():
        z = second(first(test.images))
        accuracy = float((head(z).argmax(1) == test.targets).float().mean())
    found = probe(z, test.colour_classes)
    results[name] = accuracy, found.accuracy
    print(
        f"{name}: test accuracy {accuracy:.2f}, probe reads the colour {found.accuracy:.2f} "
        f"(chance {found.chance:.2f}), at least {found.mi.value:.2f} nats"
    )

# %%
# The penalised network reads the shape of the digit. Some of the colour remains in z: the probe is still above chance.

figure, axis = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for i, (name, values) in enumerate(results.items()):
    bars = axis.barh(
        [x + 0.2 - 0.4 * i for x in (1, 0)], values, height=0.36, label=name
    )
    axis.bar_label(bars, fmt="%.2f", padding=3)
axis.axvline(
    found.chance, ymax=0.5, color="0.4", linestyle=":", label="probe, chance"
)
axis.set_yticks([1, 0], ["test accuracy", "probe accuracy on colour"])
axis.set_xlim(0, 1)
axis.legend(loc="upper right", frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
