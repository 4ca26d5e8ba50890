"""The type of arrays of token ids, positions and indices."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
