"""Numbers that more than one module needs."""

__all__ = ["SOFTPLUS_INVERSE_OF_ONE"]

SOFTPLUS_INVERSE_OF_ONE = 0.5413248546129181  # log(e - 1)
