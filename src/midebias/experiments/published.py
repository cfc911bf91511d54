"""Test accuracies others have published, to stand beside ours and be marked as theirs."""

SOURCES = {
    "colored-mnist": "README of the repository of Kim et al., Learning Not to Learn, CVPR 2019, on their own network",
    "biased-mnist": "table 1 of Tartaglione et al., EnD, CVPR 2021, on another network",
}

_COLORED = {
    "plain": (0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450),
    "BlindEye": (0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159),
    "Gray": (0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596),
    "LNL": (0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618),
}
_BIASED = {
    "plain": (0.104, 0.334, 0.721, 0.891),
    "ReBias": (0.227, 0.642, 0.760, 0.881),
    "RUBi": (0.137, 0.430, 0.904, 0.936),
    "EnD": (0.523, 0.837, 0.939, 0.960),
}
_VARIANCES = ("0.020", "0.025", "0.030", "0.035", "0.040", "0.045", "0.050")
_RHOS = ("0.999", "0.997", "0.995", "0.990")

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "colored-mnist": {
        name: {f"variance={v}": a for v, a in zip(_VARIANCES, row, strict=True)} for name, row in _COLORED.items()
    },
    "biased-mnist": {name: {f"rho={r}": a for r, a in zip(_RHOS, row, strict=True)} for name, row in _BIASED.items()},
}
"""data set -> method -> setting -> accuracy on the unbiased test."""
