"""
Auditing a representation
=========================

`audit` asks what frozen embeddings tell about an attribute. They can come from any model. This example plants three
attributes in random embeddings: one that a linear probe sees, one that shows only in the product of two columns, and
one that is not there at all.
"""

import matplotlib.pyplot as plt
import numpy as np

from midebias import audit

rng = np.random.default_rng(0)
n = 4000
site, batch, noise = rng.integers(0, 2, (3, n))
embeddings = rng.normal(size=(n, 8))
embeddings[:, 0] += 0.7 * site  # linear
sign = np.where(batch == 1, 1, -1) * np.where(embeddings[:, 1] > 0, 1, -1)
follow = rng.random(n) < 0.4
embeddings[follow, 2] = (
    np.abs(embeddings[follow, 2]) * sign[follow]
)  # shows in the product of columns 1 and 2

result = audit(embeddings, {"site": site, "batch": batch, "noise": noise})
print(result)

# %%
# The leakage of an attribute is the largest lower estimate of I(Z;C) that a probe reached on held-out rows. Its
# interval allows for having taken the largest. It is a lower bound: another probe might read more. Whether an
# attribute leaks is decided by a permutation test, corrected for the number of probes and attributes.
#
# `AuditResult.to_frame` has one row for each probe and attribute. A linear probe reads the site and misses the batch,
# which the quadratic probe and the trees find.

frame = result.to_frame()
table = frame.pivot(index="probe", columns="attribute", values="balanced_accuracy")[
    ["site", "batch", "noise"]
]
axis = table.plot.barh(figsize=(7, 3.6), width=0.75)
axis.axvline(0.5, color="0.4", linestyle=":", label="chance")
axis.set_xlim(0.4, 0.8)
axis.set_xlabel("balanced accuracy of the probe on held-out rows")
axis.set_ylabel("")
axis.legend(title="attribute", frameon=False, loc="lower right")
axis.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
plt.show()

# %%
# ``result.to_html("report.html")`` writes the same result as one self-contained page, and
# ``result.exceeds(0.05)`` says whether some attribute leaks more than 0.05 nats.
