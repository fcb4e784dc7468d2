"""Loop, unrolled and reversible are one flow: equal values and gradients."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal, randomize
from tfp_glow import Flow
from tfp_glow import bijectors as tgb
from tfp_glow.bijectors import FlowBijector
from tfp_glow.flow import standard_normal
from tfp_glow.networks import MLP, GlowNetwork


class Cubic(FlowBijector):
    """A hand-written step with no cheap gradient: x = sinh(scale * z)."""

    def __init__(self, dtype: str):
        super().__init__(forward_min_event_ndims=1, dtype=dtype)
        self.scale = self.add_variable(np.ones(4), name="scale")

    def _forward_and_log_det(self, z, condition=None):
        x = tf.sinh(self.scale * z)
        log_det = tf.math.log(tf.abs(self.scale * tf.cosh(self.scale * z)))
        return x, tf.reduce_sum(log_det, -1)

    def _inverse_and_log_det(self, x, condition=None):
        z = tf.asinh(x) / self.scale
        return z, -self._forward_and_log_det(z)[1]


def glow_step(dtype: str) -> tgb.GlowStep:
    network = GlowNetwork(4, hidden_channels=4, inputs=(2, 2, 2), seed=0, dtype=dtype)
    return tgb.GlowStep(4, network, seed=0, dtype=dtype)


def conditional_step(dtype: str) -> tgb.GlowStep:
    network = MLP(4, hidden_units=(6,), inputs=(2,), condition_size=3, seed=0, dtype=dtype)
    options = {"event_ndims": 1, "condition_shape": (3,), "seed": 0, "dtype": dtype}
    return tgb.GlowStep(4, network, **options)


def hand_written_step(dtype: str) -> tgb.Chain:
    return tgb.Chain([Cubic(dtype), tgb.Invertible1x1Conv(4, seed=0, dtype=dtype)])


STEPS = {
    "glow": (glow_step, (2, 2, 4), None),
    "condition": (conditional_step, (4,), (3,)),
    "hand-written": (hand_written_step, (4,), None),
}
MODES = [{"unroll": True}, {"reversible": True}]


def values_and_gradients(make_step: Callable, depth: int, x, condition, dtype: str, **mode):
    """Both directions' values and all gradients of a randomized flow, in graph mode."""
    flow = tgb.Repeat(lambda: make_step(dtype), depth, **mode)
    randomize(flow, scale=0.1 / np.sqrt(depth))
    sources = [x] if condition is None else [x, condition]

    @tf.function
    def run(*sources):
        kwargs = {} if len(sources) == 1 else {"condition": sources[1]}
        results = []
        for direction in (flow.forward_and_log_det, flow.inverse_and_log_det):
            with tf.GradientTape() as tape:
                tape.watch(sources)
                y, log_det = direction(sources[0], **kwargs)
                loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det**2)
            gradients = tape.gradient(loss, [*sources, *flow.trainable_variables])
            results.append((y, log_det, gradients))
        return results

    return run(*sources)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("glow", "condition")),
        "hand-written",
    ],
)
def test_modes_agree(name):
    dtype = "float64"
    make_step, shape, condition_shape = STEPS[name]
    x = 0.5 * normal((3, *shape), dtype)
    condition = None if condition_shape is None else normal((3, *condition_shape), dtype)
    loop = tf.nest.flatten(values_and_gradients(make_step, 3, x, condition, dtype))
    for mode in MODES:
        other = values_and_gradients(make_step, 3, x, condition, dtype, **mode)
        for expected, actual in zip(loop, tf.nest.flatten(other), strict=True):
            scale = np.max(np.abs(expected))
            np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-10)


@pytest.mark.slow
def test_modes_agree_at_depth_64():
    x = normal((2, 2, 2, 4))
    loop = tf.nest.flatten(values_and_gradients(glow_step, 64, x, None, "float64"))
    reversible = values_and_gradients(glow_step, 64, x, None, "float64", reversible=True)
    for expected, actual in zip(loop, tf.nest.flatten(reversible), strict=True):
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-10)


@pytest.mark.slow
def test_modes_agree_in_float32_after_training_at_depth_64():
    x = normal((64, 4), "float32") ** 3
    loop, reversible = (
        tgb.Repeat(lambda: vector_step("float32"), 64, reversible=reversible)
        for reversible in (False, True)
    )
    start, end = train(loop, x)
    assert end < start - 1.0
    for variable, value in zip(reversible.variables, loop.variables, strict=True):
        variable.assign(value)
    expected, actual = (log_prob_sample_and_gradients(b, x) for b in (loop, reversible))
    for one, another in zip(expected, actual, strict=True):
        scale = np.max(np.abs(one))
        np.testing.assert_allclose(another / scale, one / scale, atol=1e-4)


def vector_step(dtype: str) -> tgb.GlowStep:
    network = MLP(4, hidden_units=(8,), inputs=(2,), seed=0, dtype=dtype)
    return tgb.GlowStep(4, network, event_ndims=1, seed=0, dtype=dtype)


def train(bijector: FlowBijector, x) -> tuple[float, float]:
    """The negative log-likelihood before and after thirty steps of Adam."""
    bijector.initialize(x)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(bijector.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            z, log_det = bijector.inverse_and_log_det(x)
            loss = tf.reduce_mean(tf.reduce_sum(z**2, -1) / 2 - log_det)
        variables = bijector.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = [float(step()) for _ in range(30)]
    return losses[0], losses[-1]


def log_prob_sample_and_gradients(bijector: FlowBijector, x) -> list:
    flow = Flow(standard_normal(4, x.dtype), bijector)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            log_prob = flow.log_prob(x)
        gradients = tape.gradient(log_prob, flow.trainable_variables)
        return [log_prob, flow.sample(8, seed=1), *gradients]

    return run()


@pytest.mark.parametrize("draw", [tf.random.normal, tf.random.uniform])
def test_a_reversible_step_with_random_numbers_is_refused(draw):
    def noisy(x):
        return x + draw(tf.shape(x), dtype=x.dtype)

    step = functools.partial(tgb.Coupling, noisy, law="additive")
    x = normal((3, 4), "float32")
    assert np.isfinite(tgb.Repeat(step, 2).inverse(x)).all()
    with pytest.raises(ValueError, match="random numbers"):
        tgb.Repeat(step, 2, reversible=True).inverse(x)


def test_a_reversible_step_may_draw_replayable_numbers():
    def noisy(x):
        return x + tf.random.stateless_normal(tf.shape(x), seed=[1, 2], dtype=x.dtype)

    flow = tgb.Repeat(functools.partial(tgb.Coupling, noisy, law="additive"), 2, reversible=True)
    x = normal((3, 4), "float32")
    np.testing.assert_allclose(flow.forward(tf.identity(flow.inverse(x))), x, atol=1e-5)


def test_the_graph_does_not_grow_with_depth():
    def nodes(depth):
        flow = tgb.Repeat(lambda: tgb.ActNorm(2), depth)
        concrete = tf.function(flow.inverse).get_concrete_function(tf.zeros([1, 2]))
        graph = concrete.graph.as_graph_def()
        return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)

    assert nodes(2) == nodes(20)


def test_a_step_begins_when_the_one_before_has_ended():
    """Otherwise steps that are rebuilt ahead of their gradients keep all that these need."""
    flow = tgb.Repeat(lambda: tgb.ActNorm(2), 3, reversible=True)

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.inverse(x) ** 2)
        return tape.gradient(loss, flow.trainable_variables)

    graph = run.get_concrete_function(tf.zeros([1, 2])).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    loops = [node for node in nodes if node.op in ("While", "StatelessWhile")]
    assert len(loops) == 2
    assert [node.attr["parallel_iterations"].i for node in loops] == [1, 1]


@pytest.mark.slow
def test_reversible_gradients_compile_under_xla_with_a_dynamic_batch():
    flow = tgb.Repeat(lambda: conditional_step("float64"), 3, reversible=True)
    randomize(flow, scale=0.1)
    specs = [tf.TensorSpec([None, 4], "float64"), tf.TensorSpec([None, 3], "float64")]

    def run(x, condition):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.inverse_and_log_det(x, condition)[0] ** 2)
        return tape.gradient(loss, flow.trainable_variables)

    x, condition = normal((3, 4)), normal((3, 3))
    compiled = tf.function(run, input_signature=specs, jit_compile=True)
    for expected, actual in zip(run(x, condition), compiled(x, condition), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-10)


def half_precision_step() -> tgb.GlowStep:
    options = {"hidden_channels": 4, "inputs": (2, 2, 2), "seed": 0}
    return tgb.GlowStep(4, GlowNetwork(4, dtype="mixed_bfloat16", **options), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("reversible", [False, True])
def test_networks_in_bfloat16_keep_latents_and_log_dets_in_float32(reversible):
    flow = tgb.Repeat(half_precision_step, 3, reversible=reversible)
    exact = tgb.Repeat(lambda: glow_step("float32"), 3)
    randomize(flow, scale=0.1)
    randomize(exact, scale=0.1)
    x = normal((3, 2, 2, 4), "float32")
    with tf.GradientTape() as tape:
        z, log_det = flow.inverse_and_log_det(x)
        loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
    gradients = tape.gradient(loss, flow.trainable_variables)
    assert all(np.isfinite(g).all() and g.dtype == tf.float32 for g in gradients)
    assert z.dtype == log_det.dtype == tf.float32
    np.testing.assert_allclose(z, exact.inverse(x), atol=0.1)
    np.testing.assert_allclose(log_det, exact.inverse_and_log_det(x)[1], atol=0.3)
