"""FlowModel: every way that Keras trains, evaluates, saves and restores."""

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow import bijectors as tgb
from tfp_glow.laws import AffineSoftsign, Law

tfb, tfd = tfp.bijectors, tfp.distributions

CLASSES = np.arange(23, dtype="int32") % 3
# Of two values each, which the class decides: there is something to learn.
IMAGES = np.random.default_rng(0).integers(0, 2, [23, 4, 4, 1]).astype("uint8")
IMAGES += CLASSES[:, None, None, None].astype("uint8")


def image_model(num_classes: int | None = 3) -> tg.FlowModel:
    flow = tg.flows.glow(
        (4, 4, 1), levels=1, steps=2, hidden_channels=4, num_classes=num_classes, seed=0
    )
    return tg.FlowModel(tg.Dequantized(flow, 4))


def vector_model(law: str | Law = "affine") -> tg.FlowModel:
    network = tg.networks.MLP(4, hidden_units=(8,), inputs=(2,), seed=0)
    bijector = tgb.Chain([tgb.ActNorm(4), tgb.Coupling(network, law=law)])
    return tg.FlowModel(tg.Flow(tg.standard_normal(4), bijector))


VECTORS = 1.0 + 2.0 * np.random.default_rng(1).standard_normal([50, 4]).astype("float32")


@pytest.fixture(scope="module")
def fitted() -> tuple[tg.FlowModel, dict]:
    """A class-conditional model of images after four epochs with a ragged last batch."""
    model = image_model()
    model.compile(keras.optimizers.Adamax(2e-2))
    validation = (IMAGES[:5], CLASSES[:5])
    history = model.fit(
        IMAGES, CLASSES, batch_size=8, epochs=4, validation_data=validation, verbose=0
    )
    return model, history.history


def densities(model: tg.FlowModel) -> np.ndarray:
    flow = model.distribution.flow
    y = (tf.cast(IMAGES[:5], tf.float32) + 0.5) / 4 - 0.5
    return flow.log_prob(y, condition=CLASSES[:5]).numpy()


def test_fit_reports_bits_per_dim_and_initializes(fitted):
    model, history = fitted
    assert set(history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    np.testing.assert_allclose(history["loss"], history["bits_per_dim"], rtol=1e-5)
    assert history["loss"][-1] < history["loss"][0]
    assert model.distribution.initialized


def test_evaluate_and_predict_agree_with_the_distribution(fitted):
    model, _ = fitted
    assert model.predict((IMAGES, CLASSES), batch_size=8, verbose=0).shape == (23,)
    # Often enough for the dequantization noise, which each draws anew.
    images, classes = np.tile(IMAGES, [20, 1, 1, 1]), np.tile(CLASSES, 20)
    log_prob = model.predict((images, classes), batch_size=8, verbose=0)
    result = model.evaluate(images, classes, batch_size=8, verbose=0, return_dict=True)
    bits = -log_prob.mean() / (16 * np.log(2))
    np.testing.assert_allclose(result["bits_per_dim"], bits, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [tg.Dequantized, tg.Noised])
def test_one_seed_decides_all_noise(noisy):
    x = VECTORS if noisy is tg.Noised else np.arange(200).reshape([50, 4]) % 7

    def trained() -> tg.FlowModel:
        model = tg.FlowModel(noisy(vector_model().distribution), seed=5)
        model.compile(keras.optimizers.SGD(1e-2))
        model.fit(x, batch_size=25, shuffle=False, verbose=0)
        return model

    one, other = trained(), trained()
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(*(one.predict(x, verbose=0) for _ in range(2)))


def test_loss_is_bits_per_dim_of_the_bound(fitted):
    model, _ = fitted
    distribution = model.distribution
    kwargs = {"condition": CLASSES[:5], "seed": 3}
    y = distribution.dequantize(IMAGES[:5], seed=3)
    log_p = distribution.flow.log_prob(y, condition=CLASSES[:5])
    expected = (np.log(4) * 16 - log_p) / (16 * np.log(2))
    np.testing.assert_allclose(distribution.bits_per_dim(IMAGES[:5], **kwargs), expected, rtol=1e-5)


def test_keras_file_round_trip_resumes_the_optimizer(fitted, tmp_path):
    model, _ = fitted
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.get_config() == model.get_config()
    assert loaded.distribution.initialized
    np.testing.assert_array_equal(densities(loaded), densities(model))
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 12
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_and_checkpoint_round_trips(fitted, tmp_path):
    model, _ = fitted
    model.save_weights(str(tmp_path / "model.weights.h5"))
    by_weights = image_model()
    by_weights.load_weights(str(tmp_path / "model.weights.h5"))
    np.testing.assert_array_equal(densities(by_weights), densities(model))

    path = tf.train.Checkpoint(model=model.distribution).write(str(tmp_path / "checkpoint"))
    by_checkpoint = image_model()
    tf.train.Checkpoint(model=by_checkpoint.distribution).read(path).assert_consumed()
    np.testing.assert_array_equal(densities(by_checkpoint), densities(model))


@pytest.mark.slow
def test_a_saved_model_is_not_initialized_again(fitted, tmp_path):
    model, _ = fitted
    model.save_weights(str(tmp_path / "model.weights.h5"))
    loaded = image_model()
    loaded.load_weights(str(tmp_path / "model.weights.h5"))
    before = densities(loaded)
    loaded.compile(keras.optimizers.SGD(0.0))
    loaded.fit(IMAGES, CLASSES, batch_size=23, verbose=0)
    np.testing.assert_array_equal(densities(loaded), before)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [tf.int32, tf.uint8], ids=["own", "given"])
def test_keras_export_serves_log_prob(fitted, tmp_path, dtype):
    model, _ = fitted
    given = [(tf.TensorSpec([None, 4, 4, 1], dtype), tf.TensorSpec([None], tf.int32))]
    path = str(tmp_path / "exported")
    model.export(path, input_signature=None if dtype is tf.int32 else given, verbose=False)
    loaded = tf.saved_model.load(path)
    served = loaded.serve((tf.constant(IMAGES[:5], dtype), tf.constant(CLASSES[:5]))).numpy()
    assert served.shape == (5,)
    assert np.isfinite(served).all()


@pytest.mark.slow
def test_keras_export_serves_what_predict_gives(tmp_path):
    model = vector_model()
    model.initialize(VECTORS)
    randomize(model.distribution)
    model.compile("adam")
    model.export(str(tmp_path / "exported"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    served = loaded.serve(tf.constant(VECTORS[:7]))
    np.testing.assert_allclose(served, model.predict(VECTORS[:7], verbose=0), rtol=1e-5)


@pytest.mark.slow
def test_data_frames_are_arrays():
    results = []
    for x in (VECTORS, pandas.DataFrame(VECTORS), tf.constant(VECTORS)):
        model = vector_model()
        model.compile(keras.optimizers.SGD(1e-2))
        model.fit(x, shuffle=False, verbose=0)
        results.append([model.evaluate(x, verbose=0), *model.predict(x, verbose=0)])
    np.testing.assert_allclose(results[1:], [results[0]] * 2, rtol=1e-5)


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
def test_fit_on_tf_data_with_and_without_xla(jit_compile):
    model = vector_model()
    dataset = tf.data.Dataset.from_tensor_slices(VECTORS).batch(16)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    losses = model.fit(dataset, epochs=3, verbose=0, validation_data=dataset).history
    assert losses["loss"][-1] < losses["loss"][0]
    assert losses["val_loss"][-1] < losses["val_loss"][0]
    expected = -tf.reduce_mean(model.distribution.log_prob(VECTORS))
    np.testing.assert_allclose(model.evaluate(dataset, verbose=0), expected, rtol=1e-4)


def test_sample_weights_weigh_examples(fitted):
    model, _ = fitted
    nearly_first = np.where(np.arange(23) == 0, 23.0, 0.0).astype("float32")
    options = {"batch_size": 23, "verbose": 0, "return_dict": True}
    loss = model.evaluate(IMAGES, CLASSES, sample_weight=nearly_first, **options)["loss"]
    expected = model.distribution.bits_per_dim(IMAGES[:1], CLASSES[:1])
    # Two draws of the dequantization noise.
    np.testing.assert_allclose(loss, expected[0], rtol=0.3)
    with pytest.raises(ValueError, match="sample_weight needs y"):
        model.evaluate(IMAGES, sample_weight=nearly_first)
    with pytest.raises(ValueError, match="sample_weight needs y"):
        model.fit(IMAGES, sample_weight=nearly_first)


def test_sample_weights_reach_the_loss_through_tf_data():
    model = vector_model()
    model.initialize(VECTORS)
    model.compile(keras.optimizers.SGD(0.0))
    weights = np.arange(50, dtype="float32")
    dataset = tf.data.Dataset.from_tensor_slices((VECTORS, weights)).batch(50)
    loss = model.evaluate(dataset.map(lambda x, w: (x, None, w)), verbose=0)
    log_prob = model.predict(VECTORS, verbose=0)
    np.testing.assert_allclose(loss, -np.mean(weights * log_prob), rtol=1e-4)


def test_class_weights_are_rejected():
    with pytest.raises(ValueError, match="class_weight"):
        vector_model().fit(VECTORS, class_weight={0: 1.0})


def test_callbacks_ema_and_steps_per_execution(tmp_path):
    model = vector_model()
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_overwrite_frequency=None)
    model.compile(optimizer, steps_per_execution=2)
    checkpoint = str(tmp_path / "best.weights.h5")
    callbacks = [
        keras.callbacks.ModelCheckpoint(checkpoint, save_weights_only=True),
        keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    ]
    history = model.fit(VECTORS, batch_size=16, epochs=2, callbacks=callbacks, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    restored = vector_model()
    restored.load_weights(checkpoint)
    assert np.isfinite(restored.distribution.log_prob(VECTORS)).all()


class Averaged(keras.callbacks.Callback):
    """The moving average of the weights after each batch, as the formula has it."""

    def on_train_batch_end(self, batch, logs=None):
        weights = [v.numpy() for v in self.model.trainable_variables]
        if batch == 0:
            self.average = weights
        pairs = zip(self.average, weights, strict=True)
        self.average = [0.95 * average + 0.05 * weight for average, weight in pairs]


def test_without_an_optimizer_fit_leaves_averaged_weights(tmp_path):
    model, averaged = vector_model(), Averaged()
    model.compile()
    model.fit(VECTORS, batch_size=10, verbose=0, callbacks=[averaged])
    for variable, average in zip(model.trainable_variables, averaged.average, strict=True):
        np.testing.assert_allclose(variable, average, rtol=1e-5, atol=1e-7)

    model.save(str(tmp_path / "model.keras"))
    loaded = keras.saving.load_model(str(tmp_path / "model.keras"))
    for again in (model, loaded):
        again.fit(VECTORS, batch_size=10, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_backup_and_restore_goes_on_after_an_interruption(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(model, *callbacks):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        model.compile(keras.optimizers.Adam(1e-2))
        return model.fit(VECTORS, epochs=4, verbose=0, callbacks=[backup, *callbacks])

    with pytest.raises(KeyboardInterrupt):
        fit(vector_model(), Interrupt())
    resumed = vector_model()
    assert fit(resumed).epoch == [2, 3]
    assert int(resumed.optimizer.iterations) == 8


def test_nan_ends_the_training_at_its_step():
    model = vector_model()
    model.initialize(VECTORS)
    data = VECTORS.copy()
    data[7, 1] = np.nan
    model.compile(keras.optimizers.SGD(0.0))
    with pytest.raises(ValueError, match="The loss is nan in step 2 of the epoch"):
        model.fit(data, batch_size=5, epochs=3, shuffle=False, verbose=0)


def dense(units: int, inputs: int) -> keras.Sequential:
    return keras.Sequential([keras.Input([inputs]), keras.layers.Dense(units)])


def real_nvp(tracked: bool) -> tfd.Distribution:
    network = dense(4, 2)

    def shift_and_log_scale(x, units):
        return tf.split(network(x), 2, -1)

    if tracked:
        shift_and_log_scale = tg.Tracked(shift_and_log_scale, [network])
    bijector = tfb.RealNVP(num_masked=2, shift_and_log_scale_fn=shift_and_log_scale)
    return tfd.TransformedDistribution(tg.standard_normal(4), bijector)


def maf(tracked: bool) -> tfd.Distribution:
    network = dense(8, 4)
    mask = np.kron(np.triu(np.ones([4, 4]), 1), np.ones([1, 2])).astype("float32")

    def shift_and_log_scale(x):
        y = tf.reshape(x @ (network.layers[0].kernel * mask) + network.layers[0].bias, [-1, 4, 2])
        return tf.unstack(y, axis=-1)

    if tracked:
        shift_and_log_scale = tg.Tracked(shift_and_log_scale, [network])
    bijector = tfb.MaskedAutoregressiveFlow(shift_and_log_scale)
    return tfd.TransformedDistribution(tg.standard_normal(4), bijector)


@pytest.mark.slow
@pytest.mark.parametrize("make", [real_nvp, maf])
def test_stock_bijectors_over_keras_networks_train_save_and_export(make, tmp_path):
    model = tg.FlowModel(make(tracked=True))
    assert len(model.trainable_variables) == 2
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(VECTORS[:48], batch_size=16, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    model.save_weights(str(tmp_path / "stock.weights.h5"))
    other = tg.FlowModel(make(tracked=True))
    other.load_weights(str(tmp_path / "stock.weights.h5"))
    expected = model.distribution.log_prob(VECTORS[:3])
    np.testing.assert_allclose(other.distribution.log_prob(VECTORS[:3]), expected)
    tg.export_saved_model(model.distribution, str(tmp_path / "exported"))
    signatures = tf.saved_model.load(str(tmp_path / "exported")).signatures
    served = signatures["log_prob"](x=tf.constant(VECTORS[:3]))["log_prob"]
    np.testing.assert_allclose(served, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [real_nvp, maf])
def test_untracked_networks_are_refused(make):
    model = tg.FlowModel(make(tracked=False))
    model.compile(keras.optimizers.Adam(1e-2))
    with pytest.raises(ValueError, match=r"tfp_glow\.Tracked"):
        model.fit(VECTORS, verbose=0)


def test_a_network_hidden_beside_tracked_variables_is_refused():
    distribution = real_nvp(tracked=False)
    visible = tfd.TransformedDistribution(
        distribution, tfb.Shift(tf.Variable(tf.zeros([4]), name="visible"))
    )
    model = tg.FlowModel(visible)
    model.compile(keras.optimizers.Adam(1e-2))
    with pytest.raises(ValueError, match=r"tfp_glow\.Tracked"):
        model.fit(VECTORS, verbose=0)


def test_any_layers_can_be_tracked_and_misuse_raises():
    network = dense(2, 3)
    assert len(tg.Tracked(network).trainable_variables) == 2
    with pytest.raises(TypeError, match="function must be callable"):
        tg.Tracked(3, [network])
    with pytest.raises(ValueError, match="networks must name"):
        tg.Tracked(lambda x: x)
    with pytest.raises(ValueError, match="built"):
        tg.Tracked(keras.layers.Dense(2))
    with pytest.raises(ValueError, match=r"network must be built.*Call it once"):
        tgb.Coupling(keras.layers.Dense(2))


def test_a_hand_made_flow_of_our_parts_saves_whole(tmp_path):
    model = vector_model(AffineSoftsign(bound=3.0))
    randomize(model.distribution, scale=2.0)
    model.save(str(tmp_path / "hand.keras"))
    loaded = keras.saving.load_model(str(tmp_path / "hand.keras"))
    x = normal([3, 4], "float32")
    np.testing.assert_array_equal(loaded.distribution.log_prob(x), model.distribution.log_prob(x))
    assert loaded.get_config() == model.get_config()


def test_a_flow_that_cannot_be_rebuilt_names_the_part(tmp_path):
    repeat = tgb.Repeat(lambda: tgb.ActNorm(4), 2)
    model = tg.FlowModel(tg.Flow(tg.standard_normal(4), tgb.Chain([tfb.Exp(), repeat])))
    path = tmp_path / "hand.keras"
    with pytest.raises(ValueError, match=r"bijector\.bijectors\[1\]\.make_step"):
        model.save(str(path))
    assert not path.exists()
    with pytest.raises(ValueError, match="shift_and_log_scale_fn"):
        tg.FlowModel(real_nvp(tracked=True)).get_config()


def compiled_with_a_loss() -> tg.FlowModel:
    model = vector_model()
    model.compile("adam", loss="mse")
    return model


@pytest.fixture
def check_numerics():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.slow
def test_the_search_for_nan_finds_none_where_there_is_none(check_numerics):
    model = image_model(num_classes=None)
    model.compile("adam")
    model.fit(IMAGES, verbose=0)
    flow = model.distribution.flow
    flow.decode(tf.zeros([2, 16]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Detected Infinity or NaN"):
        flow.log_prob(np.full([1, 4, 4, 1], np.nan, "float32"))


def test_distributions_side_by_side_have_no_likelihood():
    two = tg.flows.stack([tg.flows.linear(4, seed=seed) for seed in range(2)])
    for several in (two, tfd.Normal(tf.Variable(tf.zeros(4)), 1.0)):
        model = tg.FlowModel(several)
        model.compile("sgd")
        for use in (model.fit, model.evaluate, model.train_on_batch):
            with pytest.raises(ValueError, match=r"distribution must have batch shape \(\): make"):
                use(VECTORS)
        with pytest.raises(ValueError, match="distribution must have batch shape"):
            tg.export_saved_model(several, "exported")


def test_bad_arguments_name_themselves():
    with pytest.raises(TypeError, match="distribution must be"):
        tg.FlowModel(tgb.ActNorm(3))
    for seed, error in ((-1, ValueError), ("x", TypeError)):
        with pytest.raises(error, match="seed must be"):
            tg.FlowModel(tg.flows.linear(3), seed=seed)
    with pytest.raises(ValueError, match="no trainable variables"):
        tg.FlowModel(tg.standard_normal(2)).fit(VECTORS[:, :2])
    with pytest.raises(TypeError, match="x must be an array, a data set or an iterable"):
        vector_model().fit(3)
    with pytest.raises(TypeError, match=r"x must be an array.* mapping of \['x'\]"):
        vector_model().fit({"x": VECTORS})
    with pytest.raises(TypeError, match="x must hold numbers"):
        vector_model().fit(pandas.DataFrame({"a": ["red"], "b": [1.0]}))
    with pytest.raises(ValueError, match=r"loss must not be given to compile.*mse"):
        compiled_with_a_loss().fit(VECTORS)
    with pytest.raises(ValueError, match="empty"):
        vector_model().fit(VECTORS[:0])
    with pytest.raises(ValueError, match=r"filepath must end in .keras.*'model.h5'"):
        vector_model().save("model.h5")


def test_a_missing_or_wrong_condition_is_named():
    model = image_model()
    model.compile("adam")
    with pytest.raises(ValueError, match="condition"):
        model.fit(IMAGES, verbose=0)
    with pytest.raises(ValueError, match="class ids from 0 to 2"):
        model.initialize(IMAGES, CLASSES + 1)
    with pytest.raises(TypeError, match="integer class ids"):
        model.initialize(IMAGES, CLASSES.astype("float32"))


def regularized(inputs, outputs):
    """A network of two Keras layers, one of them with a regularizer."""
    first = keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.1))
    return keras.Sequential([keras.Input(inputs), first, keras.layers.Dense(outputs)])


def stock() -> tfb.Bijector:
    network = regularized((2,), 4)
    function = tg.Tracked(lambda x, units: tf.split(network(x), 2, -1), [network])
    return tfb.RealNVP(num_masked=2, shift_and_log_scale_fn=function)


def loop() -> tgb.FlowBijector:
    return tgb.Repeat(lambda: tgb.Coupling(regularized, event_shape=4), 3)


@pytest.mark.parametrize("make", [loop, stock])
def test_regularizers_of_networks_are_part_of_the_loss(make):
    flow = tg.Flow(tg.standard_normal(4), tgb.Chain([make()]))
    kernels = [v for v in flow.trainable_variables if v.shape[-2:] == (2, 4)]
    penalty = 0.1 * sum(tf.reduce_sum(kernel**2) for kernel in kernels)
    assert penalty > 0.01
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    x = normal((8, 4), "float32")
    likelihood = -tf.reduce_mean(flow.log_prob(x))
    loss = model.fit(x, batch_size=8, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, likelihood + penalty, rtol=1e-5)


def test_a_step_is_traced_once():
    class Counted(tg.FlowModel):
        traces = 0

        def train_step(self, data):
            Counted.traces += 1
            return super().train_step(data)

    model = Counted(tg.flows.maf(2, steps=1, hidden_units=(4,), seed=0))
    model.compile(keras.optimizers.Adam(), jit_compile=False)
    model.fit(normal((8, 2), "float32"), batch_size=4, epochs=2, verbose=0)
    assert Counted.traces == 1
