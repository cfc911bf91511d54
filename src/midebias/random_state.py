"""A seed from scikit-learn's ``random_state``."""

import numpy as np
from sklearn.utils import check_random_state

from .errors import InputError


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Draw a seed; scikit-learn's global generator is left alone.

    Raises
    ------
    InputError
        What is neither a seed, nor a generator, nor None.
    """
    fresh = np.random.RandomState() if random_state is None else random_state
    try:
        return int(check_random_state(fresh).randint(2**31 - 1))
    except ValueError as error:
        raise InputError(f"random_state cannot be used: {error}") from error
