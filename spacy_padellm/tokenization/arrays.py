"""Types of arrays."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]  # token ids, positions, indices
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
