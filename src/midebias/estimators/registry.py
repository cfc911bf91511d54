"""The estimators with a network of their own, by the names that `MIPenalty` and `estimate_mi` know them by."""

from __future__ import annotations

from typing import Literal

from .critic_estimator import CriticEstimator
from .donsker_varadhan import DonskerVaradhan
from .f_divergence import NWJ, SMILE, JensenShannon
from .info_nce import InfoNCE
from .variational import CLUB, BarberAgakov

__all__ = ["CRITICS", "DECODERS", "NetworkName"]

NetworkName = Literal["donsker_varadhan", "nwj", "jensen_shannon", "smile", "info_nce", "club", "barber_agakov"]

CRITICS: dict[str, type[CriticEstimator]] = {
    "donsker_varadhan": DonskerVaradhan,
    "nwj": NWJ,
    "jensen_shannon": JensenShannon,
    "smile": SMILE,
    "info_nce": InfoNCE,
}
"""Built from the columns of z and of the encoded attribute."""

DECODERS: dict[str, type[CLUB] | type[BarberAgakov]] = {"club": CLUB, "barber_agakov": BarberAgakov}
"""Built from the columns of z and the attribute itself."""
