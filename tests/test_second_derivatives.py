"""Second derivatives of every bijector against differences of first ones, or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal, randomize
from tests.registry import REGISTRY
from tfp_glow import bijectors as tgb
from tfp_glow.networks import GroupNorm, LayerNorm

STEP = 1e-4
QUICK = ("Planar", "Sylvester-orthogonal", "Coupling-spline", "ResidualBlock")
REVERSIBLE = [name for name in REGISTRY if "reversible" in name]
# Their values are found by iteration, whose gradients are those of the implicit function.
ITERATED = [name for name in REGISTRY if "esidual" in name and name not in REVERSIBLE]


def names() -> list:
    first_alone = {*REVERSIBLE, "ContinuousFlow-condition"}
    kept = [name for name in sorted(REGISTRY) if name not in first_alone]
    return [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in kept]


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("name", names())
def test_hessian_vector_products_equal_differences_of_gradients(name, direction):
    if direction == "forward" and name in ITERATED:
        pytest.skip("Refused, in the test below.")
    entry = REGISTRY[name]
    bijector = entry.make("float64")
    randomize(bijector)
    z = normal((2, *bijector.inverse_event_shape(entry.event_shape)))
    kwargs = {} if entry.condition is None else {"condition": entry.condition((2,), "float64")}
    start = z if direction == "forward" else bijector.forward(z, **kwargs)
    run = getattr(bijector, f"{direction}_and_log_det")
    along = normal(start.shape, seed=1)

    def gradient(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            output, log_det = run(value, **kwargs)
            loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(log_det)
        return tape.gradient(loss, value)

    def product(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            slope = tf.reduce_sum(gradient(value) * along)
        return tape.gradient(slope, value, unconnected_gradients="zero")

    rise = gradient(start + STEP * along) - gradient(start - STEP * along)
    tolerance = max(1e-5, 100 * entry.tolerance)
    np.testing.assert_allclose(product(start), rise / (2 * STEP), rtol=1e-4, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape", "direction", "message"),
    [
        *(
            (REGISTRY[name].make, REGISTRY[name].event_shape, "inverse", "A loop with reversible")
            for name in REVERSIBLE
        ),
        (REGISTRY["ResidualBlock"].make, (3,), "forward", "The solution of a fixed point"),
    ],
    ids=[*REVERSIBLE, "ResidualBlock"],
)
def test_what_has_first_derivatives_alone_says_so(make, shape, direction, message):
    bijector, x = make("float64"), normal((2, *shape))

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value, _ = getattr(bijector, f"{direction}_and_log_det")(x)
                loss = tf.reduce_sum(value**2)
            slope = tf.reduce_sum(inner.gradient(loss, x))
        return outer.gradient(slope, x)

    with pytest.raises(NotImplementedError, match=f"{message}.* has first derivatives alone"):
        second(x)


@pytest.mark.slow
def test_a_continuous_flow_has_first_derivatives_alone():
    """Without tapes, each of which would differentiate the solver's loops as they are made."""
    flow = tgb.ContinuousFlow(lambda inputs: -inputs[0], tolerance=1e-1, dtype="float64")

    @tf.function(autograph=False)
    def second(x):
        (slope,) = tf.gradients(flow.inverse_and_log_det(x)[0] ** 2, x)
        return tf.gradients(slope, x)

    with pytest.raises(NotImplementedError, match=r"continuous_flow.* has first derivatives alone"):
        second(normal((2, 1)))


@pytest.mark.parametrize("reversible", [False, True])
def test_forward_mode(reversible):
    bijector = tgb.Repeat(lambda: tgb.Planar(2, seed=0, dtype="float64"), 2, reversible=reversible)
    x, along = normal((3, 2)), normal((3, 2), seed=1)

    def pushed():
        with tf.autodiff.ForwardAccumulator(x, along) as accumulator:
            return accumulator.jvp(bijector.inverse_and_log_det(x)[1])

    def pulled():
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_det = bijector.inverse_and_log_det(x)[1]
        return tf.reduce_sum(tape.gradient(log_det, x) * along, -1)

    np.testing.assert_allclose(pushed(), pulled(), atol=1e-10)


@pytest.mark.parametrize(
    ("layer", "shape"), [(LayerNorm(), (2, 3, 4)), (GroupNorm(2), (2, 2, 1, 4))]
)
def test_normalization_layers_are_keras_and_have_right_second_derivatives(layer, shape):
    (theirs,) = (kind for kind in type(layer).__mro__[1:2])
    x, along = normal(shape), normal(shape, seed=1)
    layer = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    keras_layer = theirs.from_config(layer.get_config())
    layer.build(shape), keras_layer.build(shape)
    for one, other in zip(layer.weights, keras_layer.weights, strict=True):
        one.assign(normal(one.shape, seed=2))
        other.assign(one)
    np.testing.assert_allclose(layer(x), keras_layer(x), atol=1e-12)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x)))
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = tf.reduce_sum(gradient(x) * along)
    rise = gradient(x + STEP * along) - gradient(x - STEP * along)
    np.testing.assert_allclose(tape.gradient(slope, x), rise / (2 * STEP), rtol=1e-5, atol=1e-6)
