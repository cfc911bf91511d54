"""Methods as pictures, pages and tables call them."""

METHOD_TITLES = {
    "ceiling": "ceiling (no bias)",
    "plain": "plain training",
    "reference": "reference recipe",
    "mib": "MI backpropagation",
    "balanced": "group-balanced sampling",
    "group_dro": "group DRO",
    "domain_independent": "domain-independent heads",
    "bias_contrastive": "BiasCon and BiasBal",
    "fair_kl": "FairKL",
    "grl": "gradient reversal",
    "end": "EnD",
    "hsic": "HSIC",
    "club": "CLUB",
    "gray": "Gray",
    "blind_eye": "BlindEye",
    "lnl": "LNL",
}
"""Key on the command line and in results -> title."""


def title_method(key: str) -> str:
    """Title of a method with its options.

    Examples
    --------
    >>> title_method("mib"), title_method("hsic:weight=1:ramp_steps=50")
    ('MI backpropagation', 'HSIC, weight 1, ramp steps 50')
    """
    name, *options = key.split(":")
    return ", ".join((METHOD_TITLES.get(name, name), *(o.replace("_", " ").replace("=", " ") for o in options)))
