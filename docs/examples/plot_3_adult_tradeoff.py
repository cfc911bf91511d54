"""
Accuracy and disparity on Adult
===============================

How much accuracy does a smaller difference between groups cost? This example fits the classifier on the census
table Adult with several weights of the penalty and measures, on the official test file, the accuracy, fairlearn's
demographic parity difference, and how much the representation tells about sex.
"""

import matplotlib.pyplot as plt
from fairlearn.metrics import demographic_parity_difference

from midebias import audit
from midebias.datasets import fetch_adult
from midebias.sklearn import MIDebiasClassifier

train, test = fetch_adult(), fetch_adult(split="test")
sex = test.sensitive_features["sex"]  # not among the features

weights = (0, 0.3, 1, 8)
points = []
for mi_weight in weights:
    model = MIDebiasClassifier(
        criterion="independence", mi_weight=mi_weight, epochs=6, random_state=0
    )
    model.fit(train.data, train.target, sensitive_features=train.sensitive_features)
    decisions = model.predict(test.data)
    accuracy = float((decisions == test.target).mean())
    difference = demographic_parity_difference(
        test.target, decisions, sensitive_features=sex
    )
    leakage = audit(
        model.transform(test.data), {"sex": sex}, probes=["linear"]
    ).leakage
    points.append((accuracy, difference, leakage))
    print(
        f"mi_weight {mi_weight}: accuracy {accuracy:.3f}, parity difference {difference:.3f}, {leakage:.3f} nats"
    )

# %%
# Each point is one fit of six epochs with one seed. The weight is the only thing that changes. On this table the
# label itself depends on sex, so independence has a price in accuracy, and which point to take is your decision.
# `midebias sweep` tries weights on held-out training rows and takes the largest whose accuracy stays within a
# tolerance that you set.

figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharey=True)
accuracies, differences, leakages = zip(*points)
for axis, values, label in zip(
    axes,
    (differences, leakages),
    ("demographic parity difference", "leakage of sex, nats"),
):
    axis.plot(values, accuracies, "o-")
    axis.set_xlabel(label)
    axis.spines[["top", "right"]].set_visible(False)
    for weight, value, accuracy in zip(weights, values, accuracies):
        axis.annotate(
            f"{weight:g}",
            (value, accuracy),
            xytext=(5, -11),
            textcoords="offset points",
            fontsize=9,
        )
    axis.locator_params(axis="x", nbins=5)
    axis.margins(0.1)
axes[0].set_ylabel("accuracy on the test file")
axes[0].set_title("numbers: mi_weight", fontsize=9, loc="left")
plt.show()
