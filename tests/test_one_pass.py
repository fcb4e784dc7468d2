"""Networks run once, and the cache neither goes stale nor leaks."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.python.grappler import tf_optimizer

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.networks import GlowNetwork

tfb, tfd = tfp.bijectors, tfp.distributions


class Counting(keras.layers.Layer):
    """A convolution that counts how often it is evaluated."""

    def __init__(self):
        super().__init__()
        self.network = GlowNetwork(2, hidden_channels=4, inputs=(2, 2, 1), seed=0)
        self.built = True
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return self.network(x)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def coupling(counting) -> tgb.Coupling:
    return tgb.Coupling(counting, event_ndims=3)


def wrap(bijector, how: str):
    wrappers = {
        "alone": lambda b: b,
        "tfb.Chain": lambda b: tfb.Chain([tfb.Scale(2.0), b]),
        "tfb.Invert": tfb.Invert,
        "Chain": lambda b: tgb.Chain([tgb.ActNorm(2), b]),
    }
    return wrappers[how](bijector)


def optimized_convolutions(function, *args) -> int:
    """How many convolutions stay in the graph after Grappler has optimized it."""
    concrete = tf.function(function).get_concrete_function(*args)
    graph = concrete.graph.as_graph_def()
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=concrete.graph)
    fetches = meta_graph.collection_def["train_op"].node_list.value
    fetches.extend(t.name for t in tf.nest.flatten(concrete.structured_outputs))
    optimized = tf_optimizer.OptimizeGraph(tf.compat.v1.ConfigProto(), meta_graph)
    return sum("Conv2D" in node.op for node in optimized.node)


WRAPPERS = ["alone", "tfb.Chain", "tfb.Invert", "Chain"]


@pytest.mark.parametrize("how", WRAPPERS)
@pytest.mark.parametrize("what", ["log_prob", "sample_and_log_prob"])
def test_networks_run_once(counting, coupling, how, what):
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 2])
    distribution = tfd.TransformedDistribution(base, wrap(coupling, how))
    x = normal([5, 2, 2, 2], "float32")

    def log_prob(x):
        return distribution.log_prob(x)

    def sample_and_log_prob(x):
        y = distribution.sample(5, seed=1)
        return y, distribution.log_prob(y)

    function = {"log_prob": log_prob, "sample_and_log_prob": sample_and_log_prob}[what]
    # The convolutions of the network, and those of its two constant edge indicators.
    once = optimized_convolutions(lambda x: counting(x[..., :1]), x)
    for run in (function, tf.function(function)):
        counting.calls = 0
        run(x)
        assert counting.calls == 1
    assert optimized_convolutions(function, x) == once


def test_assigning_a_variable_leaves_no_stale_log_det():
    b = tgb.ActNorm(3)
    distribution = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [3]), b)
    x = normal([4, 3], "float32")
    distribution.log_prob(x)
    b.inverse_log_det_jacobian(x)
    b.log_scale.assign([1.0, 2.0, 3.0])
    scaled = tfd.Sample(tfd.Normal(0.0, 1.0), [3]).log_prob(x * tf.exp([-1.0, -2.0, -3.0]))
    np.testing.assert_allclose(distribution.log_prob(x), scaled - 6.0, rtol=1e-5)
    np.testing.assert_allclose(b.inverse_log_det_jacobian(x), -6.0)


def test_tensors_made_in_a_branch_stay_in_it(coupling):
    @tf.function
    def run(x):
        branch = tf.cond(
            tf.reduce_sum(x) > 0, lambda: coupling.inverse(x), lambda: -coupling.inverse(x)
        )
        return branch, coupling.inverse(x), coupling.inverse_log_det_jacobian(x)

    x = tf.abs(normal([2, 2, 2, 2], "float32"))
    branch, outside, _ = run(x)
    np.testing.assert_allclose(branch, outside)


def test_traced_graphs_are_freed(coupling):
    def trace():
        function = tf.function(coupling.inverse_log_det_jacobian)
        concrete = function.get_concrete_function(tf.TensorSpec([None, 2, 2, 2], tf.float32))
        return weakref.ref(concrete.graph)

    graphs = [trace() for _ in range(3)]
    gc.collect()
    assert all(graph() is None for graph in graphs)


def test_another_condition_gives_another_log_det():
    network = tg.networks.MLP(4, hidden_units=(4,), inputs=(2,), condition_size=1)
    b = tgb.Coupling(network, condition_shape=(1,))
    randomize(b)
    x, first, second = normal([3, 4], "float32"), tf.zeros([3, 1]), tf.ones([3, 1])
    one = b.inverse_log_det_jacobian(x, condition=first)
    two = b.inverse_log_det_jacobian(x, condition=second)
    np.testing.assert_allclose(two, b.inverse_and_log_det(x, second)[1])
    assert not np.allclose(one, two)


@pytest.mark.slow
def test_a_stock_solver_runs_once_in_our_flows_too():
    calls = []

    def velocity(time, x):
        calls.append(time)
        return -x

    stock = tfb.FFJORD(velocity, ode_solve_fn=tfp.math.ode.DormandPrince(atol=1e-2).solve)
    base, x = tg.standard_normal(2), normal([3, 2], "float32")
    tfd.TransformedDistribution(base, stock).log_prob(x)
    alone = len(calls)
    tg.Flow(base, stock).log_prob(tf.identity(x))
    assert len(calls) == 2 * alone
