"""The SavedModel: four signatures, TensorFlow alone."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tests.test_recipes import CONDITIONAL
from tfp_glow import flows
from tfp_glow.columns import Column

SCRIPT = """
import sys
import numpy as np
import tensorflow as tf

signatures = tf.saved_model.load(sys.argv[1]).signatures
assert set(signatures) == {"log_prob", "sample", "encode", "decode", "serving_default"}
scalars = lambda n, t, s: dict(
    num_samples=tf.constant(n), temperature=tf.constant(t), seed=tf.constant(s))
classes = tf.constant([0, 1, 2])
x = signatures["sample"](**scalars(3, 1.0, 7), condition=classes)["x"]
cold = signatures["sample"](**scalars(3, 0.0, 7), condition=classes)["x"]
other = signatures["sample"](**scalars(3, 1.0, 8), condition=classes)["x"]
z = signatures["encode"](x=x, condition=classes)["z"]
back = signatures["decode"](z=z, condition=classes)["x"]
one = signatures["log_prob"](x=x[:1], condition=classes[:1])["log_prob"]
log_prob = signatures["log_prob"](x=x, condition=classes)["log_prob"]
assert not any(m.split(".")[0] in ("tfp_glow", "tensorflow_probability") for m in sys.modules)
np.savez(sys.argv[2], x=x, cold=cold, other=other, z=z, back=back, one=one, log_prob=log_prob)
"""


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    flow = tg.flows.glow((4, 4, 1), levels=1, steps=2, hidden_channels=4, num_classes=3, seed=0)
    randomize(flow, scale=0.1)
    return flow


@pytest.mark.slow
def test_tensorflow_alone_answers_all_signatures(flow, tmp_path):
    path = tmp_path / "new" / "saved_model"
    tg.export_saved_model(flow, str(path))
    answers = tmp_path / "answers.npz"
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(answers)], check=True, cwd=tmp_path
    )
    got = np.load(answers)
    classes = tf.constant([0, 1, 2])
    np.testing.assert_allclose(
        got["log_prob"], flow.log_prob(got["x"], condition=classes), rtol=1e-4
    )
    np.testing.assert_allclose(got["one"], got["log_prob"][:1], rtol=1e-4)
    np.testing.assert_allclose(got["z"], flow.encode(got["x"], classes), atol=1e-4)
    np.testing.assert_allclose(got["back"], got["x"], atol=1e-4)
    expected = flow.sample(3, seed=7, condition=classes)
    np.testing.assert_allclose(got["x"], expected, atol=1e-4)
    mode = flow.decode(tf.zeros([3, 16]), classes)
    np.testing.assert_allclose(got["cold"], mode, atol=1e-4)
    assert not np.allclose(got["other"], got["x"])
    assert list(path.parent.iterdir()) == [path]


SMALL = {"hidden_units": (8,), "seed": 0}
COLUMNS = [Column("a", 1.0, 2.0, False), Column("b", -1.0, 0.5, False)]
AROUND = {
    "linear": lambda: flows.linear(2, seed=0),
    "autoregressive_prior": lambda: flows.autoregressive_prior(
        flows.realnvp(2, steps=1, **SMALL), **SMALL
    ),
    "gaussian_base": lambda: flows.gaussian_base(
        flows.planar(2, steps=1, condition_size=3, **SMALL), seed=1
    ),
    "dequantization_noise": lambda: flows.dequantization_noise(2, couplings=2, **SMALL),
    "tabular": lambda: flows.tabular(flows.maf(2, steps=1, **SMALL), COLUMNS),
    "conditioned": lambda: flows.conditioned(
        flows.maf(2, steps=1, condition_size=3, **SMALL), keras.layers.Dense(3), condition_shape=5
    ),
    "stack": lambda: tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=tf.Variable([0.0, 1.0])),
        flows.stack([flows.linear(2, seed=seed) for seed in range(2)]),
    ),
}


def test_every_recipe_is_exported_here_or_among_the_hostile():
    hostile = {name.removesuffix("-images") for name in CONDITIONAL}
    assert set(AROUND) | hostile == set(flows.RECIPES)


@pytest.mark.slow
@pytest.mark.parametrize("name", AROUND)
def test_recipes_around_flows_answer_as_they_do_live(name, tmp_path, without_gradients):
    distribution = AROUND[name]()
    randomize(distribution, scale=0.1)
    x = tf.random.stateless_uniform([4, 2], [0, 1])
    shape = getattr(distribution, "condition_shape", None)
    kwargs = {} if shape is None else {"condition": normal((4, *shape), "float32")}
    tg.export_saved_model(distribution, tmp_path / "exported")
    answer = tf.saved_model.load(str(tmp_path / "exported")).signatures["log_prob"]
    with tg.evaluation():
        expected = distribution.log_prob(x, **kwargs)
    np.testing.assert_allclose(answer(x=x, **kwargs)["log_prob"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_integers_and_plain_distributions_export(flow, tmp_path, without_gradients):
    tg.export_saved_model(tg.Dequantized(flow, 4), str(tmp_path / "integers"))
    sample = tf.saved_model.load(str(tmp_path / "integers")).signatures["sample"]
    scalars = {"num_samples": 2, "temperature": 1.0, "seed": 1}
    x = sample(**{k: tf.constant(v) for k, v in scalars.items()}, condition=tf.constant([1, 2]))[
        "x"
    ]
    assert x.dtype == tf.int32

    tg.export_saved_model(tfp.distributions.Normal(1.0, 2.0), str(tmp_path / "normal"))
    signatures = tf.saved_model.load(str(tmp_path / "normal")).signatures
    assert set(signatures) == {"log_prob", "sample", "serving_default"}


@pytest.mark.slow
def test_nothing_is_overwritten_or_half_written(flow, tmp_path, monkeypatch):
    target = tmp_path / "exported"
    with monkeypatch.context() as patch:
        patch.setattr(
            tf.saved_model, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("full"))
        )
        with pytest.raises(OSError, match="full"):
            tg.export_saved_model(flow, str(target))
    assert not list(tmp_path.iterdir())
    target.mkdir()
    with pytest.raises(ValueError, match="path must not exist"):
        tg.export_saved_model(flow, str(target))
    with pytest.raises(TypeError, match="distribution must be"):
        tg.export_saved_model(flow.bijector, str(tmp_path / "other"))
