"""The invertible residual block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import tensorflow as tf

from tfp_glow.core.checks import check_callable, check_number, check_positive_int
from tfp_glow.core.conditioner import hold_network
from tfp_glow.core.noise import NoisyBijector
from tfp_glow.core.second_order import refuse_wrong_second_derivatives
from tfp_glow.core.shapes import split_condition, with_one_batch_dimension
from tfp_glow.solvers.fixed_point import solve_fixed_point
from tfp_glow.solvers.log_det_estimators import Exact, LogDetEstimator, get_estimator

__all__ = ["ResidualBlock"]


class ResidualBlock(NoisyBijector):
    """Adds a contraction g, a network of Lipschitz constant below 1.

        inverse:  z = x + g(x)                     log|det dz/dx| = log det(I + dg/dx)
        forward:  x = z - g(x), by iteration       log|det dx/dz| = -log det(I + dg/dx)

    Encoding is explicit. Generation iterates x <- z - g(x) until no value of an example moves by
    more than `tolerance` relative to 1 + |x|, each example for itself; its gradients are those of
    the implicit function theorem, and need no more memory than one evaluation of g.

    | log_det | what |
    | --- | --- |
    | `"exact"` | from the whole Jacobian, for events of up to 64 values |
    | `"power_series"` | a truncated series, biased: i-ResNet |
    | `"unbiased"` | a series of random length: Residual Flow |

    The noise of the estimators is that of a `NoisyBijector`; `advance` also moves the network's
    norms on.

    Args:
      network: A built Keras layer or model, or any callable, from `[batch, *event]` to the same
        shape, such as `LipschitzMLP`. With a condition it is called on the list `[x, condition]`.
      log_det: Name of an estimator, or one of `tfp_glow.solvers.log_det_estimators`.
      event_ndims: 1 for vectors, 3 for images.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      tolerance: Where the iteration stops; 1e-6 in float32 and 1e-11 in float64 when omitted.
      max_iterations: Iterations after which it is given up.
      seed: Seed of the noise.
      dtype: dtype of the values.
      name: Name of the bijector.

    Shapes: `[..., *event]` both ways, the log-det `[...]`.

    Raises:
      ValueError: If the network is not built, changes the shape, or normalizes by layers of Keras,
        whose second derivatives are wrong.
      TypeError: If `network` is not callable.
      tf.errors.InvalidArgumentError: If the iteration of an example does not come to an end, as
        it need not where the network is no contraction. In code compiled by XLA, where no
        error can be raised, such an example is NaN.

    Example:

        block = ResidualBlock(LipschitzMLP(2), log_det="exact")
        z = block.inverse(x)

    References:
      Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, "Invertible Residual Networks",
      arXiv:1811.00995.
      Chen, Behrmann, Duvenaud and Jacobsen, "Residual Flows for Invertible Generative Modeling",
      arXiv:1906.02735.
    """

    def __init__(
        self,
        network: Callable,
        *,
        log_det: Literal["unbiased", "power_series", "exact"] | LogDetEstimator = "unbiased",
        event_ndims: int = 1,
        condition_shape: Iterable[int] | None = None,
        tolerance: float | None = None,
        max_iterations: int = 500,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_callable(network, "network")
        refuse_wrong_second_derivatives(network)
        check_positive_int(event_ndims, "event_ndims")
        check_positive_int(max_iterations, "max_iterations")
        if tolerance is not None:
            check_number(tolerance, "tolerance", above=0)
        super().__init__(
            forward_min_event_ndims=event_ndims,
            condition_shape=condition_shape,
            dtype=dtype,
            name=name,
        )
        self._estimator = get_estimator(log_det)
        self._tolerance = tolerance or (1e-11 if self.dtype == tf.float64 else 1e-6)
        self._max_iterations = max_iterations
        self.add_noise_seed(seed)
        hold_network(self, network)

    @property
    def network(self) -> Callable:
        """The contraction g."""
        return self._network

    @property
    def log_det_is_estimate(self) -> bool:
        return not isinstance(self._estimator, Exact)

    def _inverse_and_log_det(self, x, condition=None):
        y, log_det = self._contraction_and_log_det(x, condition)
        return x + y, log_det

    def _forward_and_log_det(self, z, condition=None):
        def solve(inputs):
            z, condition = split_condition(inputs)
            return solve_fixed_point(
                lambda x: self._contraction(x, condition),
                z,
                tolerance=self._tolerance,
                max_iterations=self._max_iterations,
                name=self.name,
            )

        x = with_one_batch_dimension(solve, z, self.forward_min_event_ndims, condition)
        return x, -self._contraction_and_log_det(x, condition)[1]

    def _contraction_and_log_det(self, x, condition):
        """g(x) and log det(I + dg/dx), with the batch in any shape."""

        def estimate(inputs):
            x, condition = split_condition(inputs)
            return self._estimator(lambda v: self._contraction(v, condition), x, self.drawn_seed())

        return with_one_batch_dimension(estimate, x, self.forward_min_event_ndims, condition)

    def _contraction(self, x, condition):
        y = tf.cast(self._network(x if condition is None else [x, condition]), x.dtype)
        if not y.shape[1:].is_compatible_with(x.shape[1:]):
            raise ValueError(
                f"network of {self.name} must keep the shape {tuple(x.shape[1:])}. "
                f"Received: {tuple(y.shape[1:])}."
            )
        return y
