"""FlowClassifier: density and classes of one pass, trained, saved and refused as they should be."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.fitting import LossNotFiniteError
from tfp_glow.networks import MLP, LevelClassifier

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 4, [23, 4, 4, 1]).astype("uint8")
LABELS = np.arange(23, dtype="int64") % 3
VECTORS = GENERATOR.standard_normal([48, 4]).astype("float32")
SIGNS = (VECTORS[:, 0] > 0).astype("int32")


def vector_flow(**kwargs) -> tg.Flow:
    """Without dropout, so that losses of training are those by hand."""
    return tg.flows.maf(4, steps=1, hidden_units=(8,), dropout=0.0, seed=0, **kwargs)


def image_flow(**kwargs) -> tg.Flow:
    return tg.flows.glow((4, 4, 1), levels=2, steps=1, hidden_channels=4, seed=0, **kwargs)


def vector_model(**kwargs) -> tg.FlowClassifier:
    return tg.FlowClassifier(vector_flow(), 2, seed=0, **kwargs)


def image_model(**kwargs) -> tg.FlowClassifier:
    return tg.FlowClassifier(tg.Dequantized(image_flow(), 4), 3, seed=0, **kwargs)


@pytest.fixture(scope="module")
def fitted() -> tuple[tg.FlowClassifier, dict]:
    """A model of images after two epochs with a ragged last batch."""
    model = image_model(likelihood_weight=0.1)
    model.compile(keras.optimizers.Adamax(1e-2), run_eagerly=True)
    validation = (IMAGES[:5], LABELS[:5])
    history = model.fit(
        IMAGES, LABELS, batch_size=8, epochs=2, validation_data=validation, verbose=0
    )
    return model, history.history


def cross_entropy(logits, labels) -> np.ndarray:
    logits = np.asarray(logits, "float64")
    log_sums = np.log(np.exp(logits).sum(-1))
    return log_sums - logits[np.arange(len(labels)), labels]


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 0.3, None], ids=["0", "0.3", "per dimension"])
def test_the_loss_of_vectors_is_the_weighted_sum_by_hand(weight):
    model = vector_model(likelihood_weight=weight)
    randomize(model.distribution)
    model.compile(keras.optimizers.SGD(0.0))
    flow, weights = model.distribution, np.arange(48, dtype="float32")
    entropies = cross_entropy(model.head(flow.encode(VECTORS)), SIGNS)
    nats = -flow.log_prob(VECTORS).numpy()
    expected = (0.25 if weight is None else weight) * nats + entropies
    options = {"batch_size": 48, "verbose": 0, "return_dict": True}
    result = model.evaluate(VECTORS, SIGNS, **options)
    np.testing.assert_allclose(result["loss"], expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(result["nats"], nats.mean(), rtol=1e-5)
    right = model.predict(VECTORS, verbose=0).argmax(-1) == SIGNS
    np.testing.assert_allclose(result["accuracy"], right.mean(), rtol=1e-5)
    result = model.evaluate(VECTORS, SIGNS, sample_weight=weights, **options)
    np.testing.assert_allclose(result["loss"], (weights * expected).mean(), rtol=1e-5)


@pytest.mark.slow
def test_the_loss_of_integers_is_the_weighted_sum_by_hand(fitted):
    model, _ = fitted
    distribution, seed = model.distribution, (3, 4)
    logits, log_prob = model((IMAGES, None, tf.constant(seed)))
    y = distribution.dequantize(IMAGES, seed=tf.constant(seed))
    expected_log_prob = distribution.flow.log_prob(y) - 16 * np.log(4)
    np.testing.assert_allclose(log_prob, expected_log_prob, rtol=1e-5)
    expected_logits = model.head(distribution.flow.encode(y))
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-4, atol=1e-5)
    loss = model.compute_loss(IMAGES, LABELS, (logits, log_prob))
    expected = np.mean(-0.1 * expected_log_prob + cross_entropy(expected_logits, LABELS))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_fit_reports_initializes_and_improves(fitted):
    model, history = fitted
    reported = {"loss", "accuracy", "bits_per_dim"}
    assert set(history) == reported | {f"val_{name}" for name in reported}
    assert history["loss"][1] < history["loss"][0]
    assert model.distribution.initialized


def test_the_dequantization_noise_is_that_of_a_flow_model(fitted):
    model, _ = fitted
    density = tg.FlowModel(model.distribution, seed=0)
    density.compile("sgd")
    options = {"batch_size": 8, "verbose": 0, "return_dict": True}
    bits = density.evaluate(IMAGES, **options)["bits_per_dim"]
    assert model.evaluate(IMAGES, LABELS, **options)["bits_per_dim"] == pytest.approx(bits, 1e-6)


@pytest.mark.slow
def test_predictions_are_probabilities_and_log_prob_the_density(fitted):
    model, _ = fitted
    probabilities = model.predict(IMAGES, batch_size=8, verbose=0)
    assert probabilities.shape == (23, 3)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)
    log_prob = model.log_prob(IMAGES)
    assert log_prob.shape == (23,)
    same_noise = model.distribution.log_prob(IMAGES, seed=model._fixed_seed())
    np.testing.assert_allclose(log_prob, same_noise, rtol=1e-5)
    assert model.predict(IMAGES[:0]).shape == (0, 3)
    assert model.distribution.sample(2, seed=0).dtype == tf.int32


@pytest.mark.slow
def test_it_learns_classes_and_a_density():
    model = vector_model()
    model.compile(keras.optimizers.Adam(2e-2), jit_compile=False)
    history = model.fit(VECTORS, SIGNS, batch_size=16, epochs=15, verbose=0).history
    assert history["accuracy"][-1] > 0.9
    assert history["nats"][-1] < history["nats"][0]


@pytest.mark.parametrize("make", [vector_model, image_model])
def test_gradients_reach_every_variable_of_flow_and_head(make):
    model = make(likelihood_weight=0.5)
    x, y = (VECTORS, SIGNS) if make is vector_model else (IMAGES, LABELS)
    randomize(model.distribution)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    flow, head = model.distribution.trainable_variables, model.head.trainable_variables
    assert len(model.trainable_variables) == len(flow) + len(head)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert all(gradient is not None for gradient in gradients)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert sum(np.any(gradient != 0) for gradient in gradients) >= 0.9 * len(gradients)


class Counting(keras.layers.Layer):
    """A network that counts how often it is evaluated."""

    def __init__(self):
        super().__init__()
        self.network = MLP(4, hidden_units=(4,), inputs=(2,), seed=0)
        self.built = True
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return self.network(x)


@pytest.mark.slow
@pytest.mark.parametrize("discrete", [False, True], ids=["Flow", "Dequantized"])
def test_latents_and_density_are_one_evaluation_of_the_networks(discrete):
    network = Counting()
    flow = tg.Flow(tg.standard_normal(4), tgb.Chain([tgb.Coupling(network, event_ndims=1)]))
    x = GENERATOR.integers(0, 4, [8, 4]) if discrete else VECTORS[:8]
    model = tg.FlowClassifier(tg.Dequantized(flow, 4) if discrete else flow, 2, seed=0)
    network.calls = 0
    model(x)
    assert network.calls == 1
    model.compile("sgd", jit_compile=False)
    model.fit(x, SIGNS[:8], batch_size=4, verbose=0)
    assert network.calls == 2  # Once in the only trace.
    model.evaluate(x, SIGNS[:8], verbose=0)
    model.predict(x, verbose=0)
    assert network.calls == 4


def test_latents_and_density_of_one_pass_are_those_of_two():
    flow = vector_flow()
    randomize(flow)
    z, log_prob = flow.encode_and_log_prob(VECTORS)
    np.testing.assert_allclose(z, flow.encode(VECTORS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_prob, flow.log_prob(VECTORS), rtol=1e-5)
    discrete = tg.Dequantized(flow, 4)
    x = GENERATOR.integers(0, 4, [8, 4])
    z, log_prob = discrete.encode_and_log_prob(x, seed=1)
    np.testing.assert_allclose(log_prob, discrete.log_prob(x, seed=1), rtol=1e-5)
    expected = flow.encode(discrete.dequantize(x, seed=1))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)


def dropping_head() -> keras.Sequential:
    dense = keras.layers.Dense
    return keras.Sequential([dense(8, "relu"), keras.layers.Dropout(0.5, seed=1), dense(2)])


@pytest.mark.slow
@pytest.mark.parametrize("head", [None, dropping_head], ids=["default", "unbuilt"])
def test_a_saved_model_of_vectors_predicts_and_goes_on_as_before(head, tmp_path):
    model = vector_model(head=head and head())
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    model.fit(VECTORS, SIGNS, verbose=0)
    check_round_trip(model, VECTORS, tmp_path)


@pytest.mark.slow
def test_a_saved_model_of_images_predicts_and_goes_on_as_before(fitted, tmp_path):
    loaded = check_round_trip(fitted[0], IMAGES, tmp_path)
    assert loaded.get_config() == fitted[0].get_config()


def check_round_trip(model: tg.FlowClassifier, x, folder) -> tg.FlowClassifier:
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    for mine, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(loaded.log_prob(x), model.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return loaded


@pytest.mark.slow
def test_keras_export_serves_logits_and_log_prob(fitted, tmp_path):
    model, _ = fitted
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    logits, log_prob = loaded.serve(tf.constant(IMAGES, tf.int32))
    assert (logits.shape, log_prob.shape) == ((23, 3), (23,))


def test_weights_round_trip(fitted, tmp_path):
    fitted[0].save_weights(tmp_path / "model.weights.h5")
    other = image_model()
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.log_prob(IMAGES), fitted[0].log_prob(IMAGES))


@pytest.mark.slow
def test_steps_advance_estimators_and_evaluation_takes_their_terms():
    flow = tg.flows.residual_flow(2, steps=1, hidden_units=(4,), seed=0)
    model = tg.FlowClassifier(flow, 2, seed=0)
    model.compile("sgd", jit_compile=False)
    noise = [v for v in flow.bijector.keras_variables if v.dtype.startswith(("int", "uint"))]
    before = [v.numpy() for v in noise]
    model.fit(VECTORS[:, :2], SIGNS, batch_size=16, verbose=0)
    assert any(np.any(v.numpy() != old) for v, old in zip(noise, before, strict=True))
    with tg.evaluation():
        expected = flow.log_prob(VECTORS[:, :2])
    np.testing.assert_allclose(model.log_prob(VECTORS[:, :2]), expected, rtol=1e-6)
    options = {"batch_size": 48, "verbose": 0, "return_dict": True}
    result = model.evaluate(VECTORS[:, :2], SIGNS, **options)
    np.testing.assert_allclose(result["nats"], -np.mean(expected), rtol=1e-4)


@pytest.mark.slow
def test_penalties_of_the_flow_have_the_weight_of_the_density():
    flow = tg.flows.ffjord(2, hidden_units=(4,), kinetic=2.0, tolerance=1e-3, seed=0)
    randomize(flow)
    model = tg.FlowClassifier(flow, 2, likelihood_weight=0.5, seed=0)
    model(VECTORS[:8, :2], training=True)
    with tg.collected_penalties() as penalties:
        flow.log_prob(VECTORS[:8, :2])
    expected = 0.5 * sum(np.mean(penalty) for penalty in penalties)
    assert expected > 1e-3
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-4)


def test_regularizers_of_flow_and_head_are_part_of_the_loss():
    def dense(inputs, outputs):
        regularizer = keras.regularizers.L2(0.1)
        layer = keras.layers.Dense(outputs, kernel_regularizer=regularizer)
        return keras.Sequential([keras.Input(inputs), layer])

    flow = tg.Flow(tg.standard_normal(4), tgb.Chain([tgb.Coupling(dense, event_shape=4)]))
    model = tg.FlowClassifier(flow, 2, head=dense((4,), 2), seed=0)
    model.compile("sgd", jit_compile=False)
    plain = cross_entropy(model.head(flow.encode(VECTORS)), SIGNS) - flow.log_prob(VECTORS) / 4
    kernels = [v for v in model.trainable_variables if len(v.shape) == 2]
    assert len(kernels) == 2
    expected = np.mean(plain) + 0.1 * sum(float(tf.reduce_sum(v.value**2)) for v in kernels)
    loss = model.evaluate(VECTORS, SIGNS, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_class_weights_and_metrics_of_compile():
    model = vector_model(likelihood_weight=0.0)
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
    model.compile(keras.optimizers.SGD(0.0), metrics=[top], jit_compile=False)
    model.initialize(VECTORS)
    entropies = cross_entropy(model.head(model.distribution.encode(VECTORS)), SIGNS)
    options = {"batch_size": 48, "class_weight": {0: 1.0, 1: 3.0}, "verbose": 0}
    history = model.fit(VECTORS, SIGNS, **options).history
    expected = np.mean(np.where(SIGNS == 1, 3.0, 1.0) * entropies)
    np.testing.assert_allclose(history["loss"][0], expected, rtol=1e-4)
    assert history["top"] == [1.0]


@pytest.mark.slow
def test_a_fit_compiled_by_xla():
    model = vector_model()
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    history = model.fit(VECTORS, SIGNS, batch_size=16, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_float64_flows_and_columns_of_labels():
    flow = vector_flow(dtype="float64")
    model = tg.FlowClassifier(flow, 2, seed=0)
    model.compile("sgd", jit_compile=False)
    history = model.fit(VECTORS, SIGNS[:, np.newaxis], verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.log_prob(VECTORS).dtype == tf.float64


@pytest.mark.slow
def test_iresnet_on_images_of_floats():
    flow = tg.flows.iresnet(
        (4, 4, 1), levels=1, steps=1, hidden_channels=4, alpha=None, terms=2, seed=0
    )
    model = tg.FlowClassifier(flow, 3, seed=0)
    assert isinstance(model.head, LevelClassifier)
    model.compile("adam", jit_compile=False)
    history = model.fit((IMAGES / 4.0).astype("float32"), LABELS, batch_size=8, verbose=0).history
    assert set(history) == {"loss", "accuracy", "nats"}


def test_the_default_head_reads_levels_as_images():
    head = image_model().head
    assert isinstance(head, LevelClassifier)
    assert [tuple(c.kernel.shape[:3]) for c in head.convolutions] == [(3, 3, 2), (3, 3, 8)]
    assert isinstance(vector_model().head, MLP)
    z = normal([5, 16], "float32")
    fine, coarse = tg.split_levels(image_flow(), z)
    parts = zip((fine, coarse), head.convolutions, head.norms, strict=True)
    features = [tf.reduce_mean(tf.nn.relu(norm(conv(part))), [1, 2]) for part, conv, norm in parts]
    np.testing.assert_allclose(head(z), head.last(tf.concat(features, -1)), rtol=1e-5)


BAD_LABELS = {
    "floats": (SIGNS.astype("float32"), TypeError, r"y must hold integer class ids; convert them"),
    "too large": (SIGNS + 1, ValueError, "y must hold class ids from 0 to 1. Received: ids"),
    "negative": (SIGNS - 1, ValueError, "y must hold class ids from 0 to 1. Received: ids"),
    "missing": (None, ValueError, r"y must hold the class id of each example.*Received: None"),
    "one too few": (SIGNS[:-1], ValueError, "y must hold one class id.*47 ids for 48 examples"),
    "one-hot": (np.eye(2, dtype=int)[SIGNS], ValueError, r"y must have shape \[N\].*argmax"),
}


@pytest.mark.parametrize(("labels", "error", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_named(labels, error, message):
    model = vector_model()
    model.compile("sgd")
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(error, match=message):
            call(VECTORS, labels)


@pytest.mark.slow
def test_bad_labels_of_data_sets_are_named_or_end_the_training():
    def data(labels) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((VECTORS, labels)).batch(16)

    model = vector_model()
    model.compile("sgd", jit_compile=False)
    with pytest.raises(LossNotFiniteError, match="class ids out of range"):
        model.fit(data(SIGNS + 1), verbose=0)
    with pytest.raises(TypeError, match="y must hold integer class ids"):
        vector_model_compiled().fit(data(SIGNS.astype("float32")), verbose=0)
    with pytest.raises(ValueError, match="y must hold the class id"):
        vector_model_compiled().fit(data(SIGNS).map(lambda x, y: x), verbose=0)


def vector_model_compiled() -> tg.FlowClassifier:
    model = vector_model()
    model.compile("sgd", jit_compile=False)
    return model


def test_a_loss_that_is_nan_ends_the_training():
    model = vector_model_compiled()
    data = VECTORS.copy()
    data[7, 1] = np.nan
    with pytest.raises(LossNotFiniteError, match="The loss is nan in step"):
        model.fit(data, SIGNS, batch_size=16, epochs=2, verbose=0)


def test_a_weight_of_0_is_rid_of_densities_that_are_not_finite():
    flow = tg.Flow(tg.standard_normal(4), tgb.Chain([tgb.ActNorm(4)]))
    model = tg.FlowClassifier(flow, 2, likelihood_weight=0, seed=0)
    logits = tf.zeros([2, 2])
    loss = model.compute_loss(None, SIGNS[:2], (logits, tf.constant([-np.inf, np.nan])))
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


BAD_ARGUMENTS = {
    "flow": (lambda: tg.FlowClassifier(3, 2), TypeError, "flow must be a Flow"),
    "stock": (
        lambda: tg.FlowClassifier(tg.Dequantized(tg.standard_normal(4), 4), 2),
        TypeError,
        "flow must be a Flow, or Dequantized of one",
    ),
    "condition": (
        lambda: tg.FlowClassifier(tg.Dequantized(image_flow(num_classes=3), 4), 3),
        ValueError,
        "flow must take no condition.*num_classes",
    ),
    "classes": (lambda: tg.FlowClassifier(vector_flow(), 1), ValueError, "num_classes must be at"),
    "no int": (lambda: tg.FlowClassifier(vector_flow(), 2.0), TypeError, "num_classes must be"),
    "weight": (lambda: vector_model(likelihood_weight=-1.0), ValueError, "likelihood_weight must"),
    "no number": (lambda: vector_model(likelihood_weight="1"), TypeError, "likelihood_weight must"),
    "head": (lambda: vector_model(head=lambda z: z), TypeError, "head must be a Keras layer"),
    "logits": (
        lambda: vector_model(head=keras.layers.Dense(3)),
        ValueError,
        r"head must give logits \[N, 2\].*\(1, 3\)",
    ),
    "no level": (lambda: LevelClassifier(2, level_shapes=[]), ValueError, "level_shapes must"),
    "level": (lambda: LevelClassifier(2, level_shapes=[(0, 1, 1)]), ValueError, "level_shapes"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_name_themselves(make, error, message):
    with pytest.raises(error, match=message):
        make()
