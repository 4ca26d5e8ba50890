"""Types of the arrays that token ids, positions and indices are held in."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
