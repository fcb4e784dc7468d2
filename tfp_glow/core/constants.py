"""Numbers that more than one module needs."""

import math

__all__ = ["SOFTPLUS_INVERSE_OF_ONE"]

SOFTPLUS_INVERSE_OF_ONE = math.log(math.e - 1.0)
