"""A continuous flow."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core import modes
from tfp_glow.core.checks import check_callable, check_choice, check_number, check_sizes
from tfp_glow.core.conditioner import hold_network
from tfp_glow.core.conditions import check_condition
from tfp_glow.core.noise import NoisyBijector, noise_like
from tfp_glow.core.once_differentiable import differentiated_once
from tfp_glow.core.passes import FORWARD, INVERSE, Pass
from tfp_glow.core.penalties import add_penalty, penalties_wanted
from tfp_glow.core.second_order import refuse_wrong_second_derivatives
from tfp_glow.core.shapes import of_any_batch, split_condition, with_one_batch_dimension
from tfp_glow.core.substitution import refuse_assignments, substituted
from tfp_glow.core.validity import valid_or_nan
from tfp_glow.solvers.log_det_estimators import LARGEST_EXACT, value_and_jacobian

__all__ = ["ContinuousFlow"]

# Where a path ends, and the steps after which the solver gives up.
FAR, MAX_STEPS = 1e9, 10_000


class ContinuousFlow(NoisyBijector):
    """Moves values along the vector field f of a network, from time 0 to time 1.

        dx/dt = f(x, t),   x(0) = z,   x(1) = x
        forward:  log|det dx/dz| =  integral of tr(df/dx) dt along the path
        inverse:  log|det dz/dx| = -integral of tr(df/dx) dt, along the same path backwards

    The path is solved by TFP's adaptive Runge-Kutta method of Dormand and Prince, its gradients by
    the adjoint method, which stores no activations. It differs from `tfb.FFJORD` in that it takes
    a condition, batches of any rank and a loop over depth, solves once for a value and its log-det,
    and repeats its noise.

    | trace | cost of tr(df/dx) |
    | --- | --- |
    | `"exact"` | a gradient for each value of an event, of which there may be up to 64 |
    | `"hutchinson"` | one gradient, v^T (df/dx) v with Rademacher noise v, without bias |

    In training the flow can be held to short and even paths, which take the solver fewer steps, by
    a penalty, collected by `collected_penalties` and added to the loss by `FlowModel`:

        integral of kinetic |f|^2 + jacobian |df/dx|_F^2 dt,   in nats an example

    Args:
      network: A built Keras layer or model, or any callable, called on the list `[x, t]` with x
        `[batch, size]` and t `[batch, 1]`, or `[batch, 1 + k]` with a condition behind the time.
        It returns the velocity `[batch, size]` and should be smooth.
      trace: How the trace is found.
      kinetic: Weight of the penalty on the velocity.
      jacobian: Weight of the penalty on its Jacobian, by the trace's noise where that has any.
      condition_shape: Event shape `(k,)` of the condition, or None for no condition.
      network_shape: Shape in which the network reads an event and returns its velocity, `(H, W, C)`
        of images for instance; a vector when omitted.
      tolerance: Relative and absolute error that the solver allows itself in a step. TFP rounds the
        method's coefficients to float32, so that a path errs by about 1e-7 in float64 too.
      seed: Seed of the noise.
      dtype: dtype of the values.
      name: Name of the bijector.

    Shapes: `[..., size]` both ways, the log-det `[...]`.

    Raises:
      ValueError: If the network is not built or normalizes by layers of Keras, whose second
        derivatives are wrong, or an argument is out of its range.
      TypeError: If `network` is not callable.
      tf.errors.InvalidArgumentError: If the solver takes more than 10,000 steps.

    A path on which the velocity is not finite, or that goes beyond 1e9, is NaN.

    Example:

        network = MLP(2, activation="tanh", input_shape=(2,), condition_size=1)
        flow = ContinuousFlow(network, kinetic=0.01)
        velocity = flow.velocity(x, 0.5)

    References:
      Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, "FFJORD: Free-form Continuous Dynamics
      for Scalable Reversible Generative Models", arXiv:1810.01367.
      Finlay, Jacobsen, Nurbekyan and Oberman, "How to train your neural ODE: the world of Jacobian
      and kinetic regularization", arXiv:2002.02798, for the penalties.
    """

    def __init__(
        self,
        network: Callable,
        *,
        trace: Literal["exact", "hutchinson"] = "exact",
        kinetic: float = 0.0,
        jacobian: float = 0.0,
        condition_shape: Iterable[int] | None = None,
        network_shape: Sequence[int] | None = None,
        tolerance: float = 1e-5,
        seed: int | None = None,
        dtype: str = "float32",
        name: str | None = None,
    ):
        check_callable(network, "network")
        refuse_wrong_second_derivatives(network)
        check_number(kinetic, "kinetic", least=0)
        check_number(jacobian, "jacobian", least=0)
        check_number(tolerance, "tolerance", above=0)
        super().__init__(
            forward_min_event_ndims=1,
            condition_shape=condition_shape,
            dtype=dtype,
            name=name,
        )
        self._trace = check_choice(trace, ("exact", "hutchinson"), "trace")
        self._kinetic, self._jacobian = kinetic, jacobian
        if network_shape is not None:
            network_shape = check_sizes(network_shape, "network_shape")
        self._network_shape = network_shape
        self._solver = tfp.math.ode.DormandPrince(
            rtol=tolerance, atol=tolerance, max_num_steps=MAX_STEPS
        )
        self._solve_once_traced = _OnceTraced(self._solve)
        self.add_noise_seed(seed)
        hold_network(self, network)

    def velocity(self, x, time, condition=None):
        """f(x, t), `[..., size]`, at a time from 0 to 1, or at times `[...]`, one an example."""
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        time = tf.cast(time, x.dtype)
        if time.shape.rank:
            time = tf.reshape(tf.broadcast_to(time, tf.shape(x)[:-1]), [-1])

        def on_batch(inputs):
            x, condition = split_condition(inputs)
            return self._velocity(x, time, condition)

        return with_one_batch_dimension(
            on_batch, x, 1, check_condition(condition, self.condition_shape, self.dtype, self.name)
        )

    def _forward_and_log_det(self, z, condition=None):
        return self._move(FORWARD, z, condition)

    def _inverse_and_log_det(self, x, condition=None):
        return self._move(INVERSE, x, condition)

    def _move(self, direction: Pass, value, condition):
        passed = modes.current().fields
        if passed is not None:
            passed.append((self, direction, value, condition))
            return value, tf.zeros_like(value[..., 0])
        weights = [tf.convert_to_tensor(v) for v in self.keras_variables]
        seed = self.drawn_seed()
        traced_for = (modes.current().backend, self.phase())

        def on_batch(inputs):
            given = (*split_condition(inputs), weights, seed)
            return self._solve_once_traced(traced_for, direction, *given, self._is_penalized)

        moved, log_det, cost = with_one_batch_dimension(on_batch, value, 1, condition)
        if self._is_penalized:
            add_penalty(cost, self.name)
        return moved, log_det

    @property
    def log_det_is_estimate(self) -> bool:
        return self._trace == "hutchinson"

    @property
    def has_penalty(self) -> bool:
        """Whether training is to be held to short or even paths."""
        return self._kinetic > 0 or self._jacobian > 0

    @property
    def _is_penalized(self) -> bool:
        return penalties_wanted() and self.has_penalty

    def _solve(self, direction: Pass, value, condition, weights, seed, penalized: bool):
        """Where values `[batch, size]` get to, the log-det and the penalty."""
        # The adjoint method's gradients are differentiated no further.
        value, weights, condition = differentiated_once((value, weights, condition), self.name)
        sign = 1.0 if direction is FORWARD else -1.0
        noise = noise_like(value, "rademacher", seed)
        trained = [index for index, v in enumerate(self.keras_variables) if v.trainable]

        def derivative(time, state, trained_weights, condition=None):
            time = time if direction is FORWARD else 1.0 - time
            current = dict(enumerate(weights)) | dict(zip(trained, trained_weights, strict=True))
            with substituted(self.keras_variables, list(current.values())) as assigned:
                velocity, trace, cost = self._rates(state[0], time, condition, noise, penalized)
            refuse_assignments(assigned, self.keras_variables, (), self.name)
            return _while_it_lasts(state[0], sign * velocity, sign * trace, cost)

        # The solver's gradients reach the constants that it is told of, not what is closed over.
        constants = {"trained_weights": [weights[index] for index in trained]}
        if condition is not None:
            constants["condition"] = condition
        nothing = tf.zeros_like(value[:, 0])
        start = (value, nothing, nothing, nothing)
        solved = self._solver.solve(
            derivative, 0.0, start, solution_times=[1.0], constants=constants
        )
        moved, log_det, cost, broken = (
            tf.ensure_shape(states[-1], first.shape)
            for states, first in zip(solved.states, start, strict=True)
        )
        lasted = tf.stop_gradient(broken) == 0.0
        return valid_or_nan(lasted, moved), valid_or_nan(lasted, log_det), cost

    def _rates(self, x, time, condition, noise, penalized: bool):
        """The velocity, its divergence and the penalty's growth."""
        if self._trace == "exact":
            velocity, rows = value_and_jacobian(lambda x: self._velocity(x, time, condition), x)
            trace, squares = tf.linalg.trace(rows), tf.reduce_sum(rows**2, [1, 2])
        else:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                velocity = self._velocity(x, time, condition)
            row = tape.gradient(velocity, x, noise)
            trace, squares = tf.reduce_sum(row * noise, -1), tf.reduce_sum(row**2, -1)
        cost = tf.zeros_like(trace)
        if penalized:
            cost = self._kinetic * tf.reduce_sum(velocity**2, -1) + self._jacobian * squares
        return velocity, trace, cost

    def _velocity(self, x, time, condition):
        if self._trace == "exact" and x.shape[-1] > LARGEST_EXACT:
            raise ValueError(
                f"trace='exact' is for events of up to {LARGEST_EXACT} values; take 'hutchinson'. "
                f"Received: {x.shape[-1]}."
            )
        time = time[:, tf.newaxis] if time.shape.rank else tf.fill([tf.shape(x)[0], 1], time)
        given = time if condition is None else tf.concat([time, condition], -1)
        seen = x if self._network_shape is None else self._as_network_sees(x)
        velocity = tf.cast(self._network([seen, given]), x.dtype)
        if not velocity.shape[1:].is_compatible_with(seen.shape[1:]):
            raise ValueError(
                f"network of {self.name} must return velocities of shape {tuple(seen.shape[1:])}. "
                f"Received: {tuple(velocity.shape[1:])}."
            )
        if self._network_shape is None:
            return velocity
        return tf.reshape(velocity, [-1, math.prod(self._network_shape)])

    def _as_network_sees(self, x):
        if x.shape[-1] not in (None, math.prod(self._network_shape)):
            raise ValueError(
                f"network_shape of {self.name} must hold as many values as an event. "
                f"Received: {self._network_shape} for events of {x.shape[-1]} values."
            )
        return tf.reshape(x, [-1, *self._network_shape])


class _OnceTraced:
    """A function whose one trace, which takes seconds, serves eager calls and graphs of any batch.

    It stands for the tf.function, which a SavedModel would export beside its signatures, and which
    cannot be copied.
    """

    def __init__(self, solve: Callable):
        self._solve = solve
        self._function = tf.function(lambda traced_for, *others: solve(*others), autograph=False)

    def __deepcopy__(self, memo: dict) -> _OnceTraced:
        return _OnceTraced(copy.deepcopy(self._solve, memo))

    def __call__(self, traced_for: tuple, direction: Pass, value, condition, *others) -> tuple:
        batches = of_any_batch(value), of_any_batch(condition)
        traced = self._function.get_concrete_function(traced_for, direction, *batches, *others)
        return traced(traced_for, direction, value, condition, *others)


def _while_it_lasts(x, velocity, trace, cost) -> tuple:
    """The rates, and that of breaking off, at which a path stops: far away, or not finite."""
    finite = tf.reduce_all(tf.math.is_finite(velocity) & (tf.abs(x) < FAR), -1)
    lasts = finite & tf.math.is_finite(trace) & tf.math.is_finite(cost)
    nothing = tf.zeros_like(trace)
    rates = (tf.where(lasts, rate, nothing) for rate in (trace, cost))
    moving = tf.where(lasts[:, tf.newaxis], velocity, tf.zeros_like(velocity))
    return moving, *rates, tf.where(lasts, nothing, tf.ones_like(trace))
