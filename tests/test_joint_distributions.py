"""Flows as parts of TFP's joint and compound distributions, and in its transformations."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize

pytestmark = pytest.mark.slow

tfb, tfd = tfp.bijectors, tfp.distributions
SEEDS = {"int": 7, "pair": (1, 2), "tensor": tf.constant([1, 2])}


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    flow = tg.flows.realnvp(2, steps=2, hidden_units=(8,), seed=0)
    randomize(flow)
    return flow


def coroutine(flow) -> tfd.JointDistribution:
    def model():
        z = yield tfd.Sample(tfd.Normal(0.0, 1.0), 2, name="z")
        x = yield flow
        yield tfd.Independent(tfd.Normal(x + z, 1.0), 1, name="y")

    return tfd.JointDistributionCoroutineAutoBatched(model)


def named(flow) -> tfd.JointDistribution:
    return tfd.JointDistributionNamed(
        {
            "z": tfd.Sample(tfd.Normal(0.0, 1.0), 2),
            "x": flow,
            "y": lambda x, z: tfd.Independent(tfd.Normal(x + z, 1.0), 1),
        }
    )


def sequential(flow) -> tfd.JointDistribution:
    return tfd.JointDistributionSequential(
        [
            tfd.Sample(tfd.Normal(0.0, 1.0), 2),
            flow,
            lambda x, z: tfd.Independent(tfd.Normal(x + z, 1.0), 1),
        ]
    )


def parts(sample) -> list:
    """z, x and y of any of the three structures."""
    return [sample[name] for name in "zxy"] if isinstance(sample, dict) else list(sample)


def part_log_prob(flow, sample):
    z, x, y = parts(sample)
    log_prob = tfd.MultivariateNormalDiag(tf.zeros(2)).log_prob(z)
    log_prob += flow.log_prob(tf.identity(x))
    return log_prob + tfd.MultivariateNormalDiag(x + z).log_prob(y)


@pytest.mark.parametrize("make", [coroutine, named, sequential])
def test_a_flow_is_a_part_of_a_joint_distribution(flow, make):
    joint = make(flow)
    # Several draws from one pair of ints are, where TFP batches by itself, a slow loop of TFP's.
    samples = [joint.sample(3, seed=SEEDS["int"]), *(joint.sample(seed=s) for s in SEEDS.values())]
    assert [parts(sample)[1].shape for sample in samples] == [(3, 2), (2,), (2,), (2,)]
    for sample in samples[:2]:
        expected = part_log_prob(flow, sample)
        np.testing.assert_allclose(joint.log_prob(sample), expected, rtol=1e-5)
    np.testing.assert_array_equal(parts(samples[2])[1], parts(samples[3])[1])


@pytest.mark.parametrize("make", [named, sequential])
def test_a_joint_distribution_finds_the_variables_of_a_flow(flow, make):
    """A coroutine's, of which TFP sees nothing, are the flow's own."""
    expected = {v.ref() for v in flow.trainable_variables}
    assert {v.ref() for v in make(flow).trainable_variables} == expected


def test_several_flows_of_a_recipe_have_no_name_in_common(flow):
    joint = tfd.JointDistributionSequential([flow, flow, lambda b, a: tfd.Sample(flow, 2)])
    assert joint._flat_resolve_names() == ("a", "b", "x")
    copied = tfd.JointDistributionSequential([copy.deepcopy(flow), flow.copy(name="end")])
    assert copied._flat_resolve_names() == ("x", "end")
    assert (flow.name, copy.deepcopy(flow).name) == ("realnvp", "realnvp")


def test_a_joint_distribution_with_a_flow_can_be_pinned(flow):
    pinned = named(flow).experimental_pin(y=[0.0, 1.0])
    x, z = normal((4, 2), "float32"), normal((4, 2), "float32", seed=1)
    expected = part_log_prob(flow, [z, x, tf.constant([0.0, 1.0])])
    np.testing.assert_allclose(pinned.unnormalized_log_prob(x=x, z=z), expected, rtol=1e-5)


def test_compound_distributions_of_flows(flow):
    other = tg.flows.planar(2, steps=2, seed=1)
    randomize(other, seed=1)
    x = normal((5, 3, 2), "float32")
    rows = flow.log_prob(x)

    sample = tfd.Sample(flow, 3)
    np.testing.assert_allclose(sample.log_prob(x), tf.reduce_sum(rows, -1), rtol=1e-5)
    assert sample.sample(4, seed=SEEDS["pair"]).shape == (4, 3, 2)
    independent = tfd.Independent(tfd.BatchBroadcast(flow, [3]), 1)
    np.testing.assert_allclose(independent.log_prob(x), tf.reduce_sum(rows, -1), rtol=1e-5)
    assert independent.sample(4, seed=SEEDS["tensor"]).shape == (4, 3, 2)

    mixture = tfd.Mixture(tfd.Categorical(probs=[0.3, 0.7]), [flow, other])
    expected = np.logaddexp(np.log(0.3) + rows, np.log(0.7) + other.log_prob(x))
    np.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-4)
    assert mixture.sample(4, seed=SEEDS["int"]).shape == (4, 2)
    variables = {v.ref() for v in (*flow.trainable_variables, *other.trainable_variables)}
    assert variables <= {v.ref() for v in mixture.trainable_variables}

    block = tfd.Blockwise([flow, other])
    both = tf.concat([x, x[::-1]], -1)
    np.testing.assert_allclose(block.log_prob(both), rows + other.log_prob(x[::-1]), rtol=1e-4)
    assert block.sample(4, seed=SEEDS["pair"]).shape == (4, 4)


def test_blockwise_bijectors_over_flow_bijectors(flow):
    block = tfb.Blockwise([flow.bijector, tfb.Exp()], block_sizes=[2, 1])
    z = normal((4, 3), "float32")
    x = block.forward(z)
    np.testing.assert_allclose(x[:, :2], flow.decode(z[:, :2]), rtol=1e-5)
    expected = flow.bijector.forward_and_log_det(z[:, :2])[1] + z[:, 2]
    np.testing.assert_allclose(block.forward_log_det_jacobian(z, 1), expected, rtol=1e-4)


def test_vectorized_map_over_densities(flow):
    x = normal((5, 2), "float32")
    np.testing.assert_allclose(tf.vectorized_map(flow.log_prob, x), flow.log_prob(x), rtol=1e-5)


def test_vectorized_map_over_samples(flow):
    seeds = tf.constant([[1, 2], [3, 4]])
    drawn = tf.vectorized_map(lambda seed: flow.sample(seed=seed), seeds)
    np.testing.assert_allclose(drawn, [flow.sample(seed=seed) for seed in seeds], atol=1e-5)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_value_and_gradient_of_a_density(flow, graph):
    def both(x):
        return tfp.math.value_and_gradient(flow.log_prob, x)

    x = normal((5, 2), "float32")
    value, gradient = (tf.function(both, autograph=False) if graph else both)(x)
    np.testing.assert_allclose(value, flow.log_prob(x), rtol=1e-5)
    step = 1e-2
    for direction in (np.array([1.0, 0.0]), np.array([0.0, 1.0])):
        change = flow.log_prob(x + step * direction) - flow.log_prob(x - step * direction)
        slope = tf.reduce_sum(gradient * direction, -1)
        np.testing.assert_allclose(slope, change / (2 * step), rtol=0.05, atol=0.05)


def test_value_and_gradient_at_a_sample(flow):
    """The sample's own pass is remembered, and must not hide the gradient."""
    x = flow.sample(5, seed=1)
    value, gradient = tfp.math.value_and_gradient(flow.log_prob, x)
    expected = tfp.math.value_and_gradient(flow.log_prob, tf.identity(x))
    np.testing.assert_allclose(value, expected[0], rtol=1e-4)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_while_loop_over_a_flow(flow, jit_compile):
    """Langevin steps: a density and its gradient in the body of a loop."""

    def step(x):
        return x + 0.01 * tfp.math.value_and_gradient(flow.log_prob, x)[1]

    @tf.function(autograph=False, jit_compile=jit_compile)
    def climb(x):
        return tf.while_loop(
            lambda count, _: count < 3,
            lambda count, x: (count + 1, step(x)),
            (tf.constant(0), x),
        )[1]

    x = normal((5, 2), "float32")
    np.testing.assert_allclose(climb(x), step(step(step(x))), rtol=1e-3, atol=1e-4)
