"""What a trained model of tables says about itself."""

from abc import ABC, abstractmethod
from typing import Any

from .networks import TabularNetwork


class TableModel(ABC):
    """A model of tables, with ``network_`` once it is fitted, that can be served."""

    network_: TabularNetwork

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return inputs and outputs as plain JSON; see `midebias.serving.ServedTable`."""
