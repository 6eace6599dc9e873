"""Aliases of numpy arrays by kind, so that mypy finds floats given for row indices."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
