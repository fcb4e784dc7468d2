"""What is frozen as Keras freezes it does not train."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.core.freezing import trained_variables

tfd = tfp.distributions

X = normal((16, 4), "float32").numpy()


def coupling() -> tgb.Coupling:
    return tgb.Coupling(tg.networks.MLP(4, hidden_units=(3,), inputs=(2,), seed=0))


def looped(**options) -> tgb.Repeat:
    return tgb.Repeat(lambda: tgb.Chain([tgb.ActNorm(4), coupling()]), 2, **options)


def trained(model: tg.FlowModel) -> list[bool]:
    """Which of its variables three steps change."""
    model.compile(keras.optimizers.Adam(1e-2))
    before = [np.array(v) for v in model.weights]
    model.fit(X, epochs=3, batch_size=16, verbose=0)
    return [bool(np.any(v != b)) for v, b in zip(model.weights, before, strict=True)]


@pytest.fixture(scope="module")
def chain() -> tg.FlowModel:
    bijector = tgb.Chain([tgb.ActNorm(4), coupling()])
    flow = tg.Flow(tg.standard_normal(4), bijector)
    randomize(bijector)
    flow.initialize(X)
    return tg.FlowModel(flow, seed=0)


def test_a_frozen_network_stays_as_it_is_until_it_is_free_again(chain):
    network = next(chain.distribution.bijector.all_layers())
    network.trainable = False
    assert len(chain.trainable_variables) == len(chain.distribution.trainable_variables) == 2
    assert sum(trained(chain)) == 2
    network.trainable = True
    assert len(chain.trainable_variables) == len(chain.distribution.trainable_variables) == 6
    assert sum(trained(chain)) == 6


def test_parts_of_a_distribution_of_tfp_are_frozen_too():
    flow = tg.Flow(tg.standard_normal(4), coupling())
    joint = tfd.JointDistributionSequential([flow, tfd.Normal(0.0, tf.Variable(1.0))])
    next(flow.bijector.all_layers()).trainable = False
    assert len(joint.trainable_variables) == 5
    assert len(trained_variables(joint)) == 1


def test_a_frozen_parameter_of_a_bijector_stays_as_it_is(chain):
    norm, _ = chain.distribution.bijector.bijectors
    norm.shift.trainable = False
    before = norm.shift.numpy()
    assert sum(trained(chain)) == 5
    np.testing.assert_array_equal(norm.shift, before)
    norm.shift.trainable = True


def test_a_frozen_model_leaves_the_flow_free():
    flow = tg.Flow(tg.standard_normal(4), tgb.Chain([tgb.ActNorm(4), coupling()]))
    model = tg.FlowModel(flow)
    model.trainable = False
    assert model.trainable_variables == []
    assert len(flow.trainable_variables) == 6
    model.trainable = True
    assert len(model.trainable_variables) == 6


@pytest.mark.parametrize("options", [{}, {"reversible": True}], ids=["stored", "reversible"])
def test_layers_of_a_loop_are_frozen_in_every_step(options):
    repeat = looped(**options)
    randomize(repeat)
    model = tg.FlowModel(tg.Flow(tg.standard_normal(4), repeat), seed=0)
    model.initialize(X)
    with repeat.step_at(0) as step:
        next(step.all_layers()).trainable = False
    assert len(model.trainable_variables) == 2
    assert sum(trained(model)) == 2


def test_a_frozen_flow_is_saved_as_any_other(tmp_path):
    flow = tg.flows.maf(4, steps=1, hidden_units=(3,), seed=0)
    randomize(flow.bijector)
    _, step, _ = flow.bijector.bijectors
    step.bijectors[0].shift.trainable = False
    model = tg.FlowModel(flow)
    model.initialize(X)
    model.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_flow_matching_passes_over_what_is_frozen():
    flow = tg.flows.ffjord(4, hidden_units=(3,), seed=0)
    model = tg.FlowModel(flow, loss="flow_matching")
    fields = len(model.trainable_variables)
    next(flow.bijector.all_layers()).trainable = False
    assert (fields, model.trainable_variables) == (4, [])
    assert len(flow.trainable_variables) == 2  # ActNorm's, which likelihood would train.
    assert isinstance(flow.trainable_variables[0], tf.Variable)
