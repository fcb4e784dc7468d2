"""Reversible classifiers as Keras models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal
from tfp_glow import classifiers
from tfp_glow.domains.critic import critic

IMAGE = (8, 8, 3)
SMALL = {
    "revnet": {"units": (2, 2), "filters": (4, 4, 8)},
    "revnet-bottleneck": {"units": (3,), "filters": (8, 16), "bottleneck": True},
    "irevnet": {"units": (1, 2), "strides": (2, 2)},
    "irevnet-injective": {"units": (2, 1), "strides": (1, 2), "added_channels": 5},
    "revvit": {
        **{"depth": 2, "width": 8, "heads": 2, "patch_size": 4},
        **{"dropout": 0.1, "drop_path": 0.1},
    },
}


def build(name: str, **options) -> keras.Model:
    make = getattr(classifiers, name.split("-")[0])
    return make(IMAGE, 3, seed=0, **{**SMALL[name], **options})


def compiled(model: keras.Model, **options) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"], **options)
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is the color that is brightest."""
    x = normal((60, *IMAGE), "float32").numpy()
    y = np.arange(60) % 3
    x[np.arange(60), :, :, y] += 1.0
    return x, y


slow = pytest.mark.slow


def velocity() -> tg.networks.UNet:
    return tg.networks.UNet(3, hidden_channels=4, levels=2, inputs=IMAGE, seed=0)


NETWORKS = {
    **{name: lambda name=name: build(name) for name in ("revnet", "irevnet-injective", "revvit")},
    "critic": lambda: critic(IMAGE, seed=0),
    "head": lambda: tg.networks.LevelClassifier(3, level_shapes=[IMAGE], seed=0),
    "unet": lambda: lambda x: velocity()((x, tf.zeros([5, 1]))),
}


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_are_last_whatever_keras_is_told(name, channels_first):
    x = normal((5, *IMAGE), "float32")
    x = tf.reshape(x, [5, -1]) if name == "head" else x
    told = NETWORKS[name]()(x)
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(told, NETWORKS[name]()(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["revvit", "revnet-bottleneck"])
def test_training_saving_and_exporting(name, tmp_path):
    x, y = data()
    model = compiled(build(name))
    losses = model.fit(x, y, batch_size=20, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(x[:5], verbose=0)
    np.testing.assert_array_equal(loaded.predict(x[:5], verbose=0), expected)
    if name != "revvit":
        return  # What is exported is the model's call, which the other one's is too.
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x[:5]), expected, atol=1e-4)


@slow
def test_the_stored_network_trains_to_the_same_weights():
    x, y = data()
    small = {"units": (2,), "filters": (4, 8)}
    models = [
        compiled(build("revnet", store_activations=stored, **small)) for stored in (True, False)
    ]
    for model in models:
        model.optimizer = keras.optimizers.SGD(1e-2)
        model.compile(model.optimizer, model.loss)
        model.fit(x, y, batch_size=20, epochs=1, shuffle=False, verbose=0)
    for one, other in zip(*(model.variables for model in models), strict=True):
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        np.testing.assert_allclose(other, one, atol=1e-5 + 1e-5 * np.abs(one).max())


@slow
def test_xla_and_half_precision():
    x, y = data()
    small = {"units": (2,), "filters": (4, 4), "network_dtype": "mixed_bfloat16"}
    model = compiled(build("revnet", **small), jit_compile=True)
    losses = model.fit(x, y, batch_size=20, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(x[:2], verbose=0).dtype == "float32"


@pytest.mark.slow
def test_seeds_make_the_same_model_again():
    for name in SMALL:
        one, again = (build(name) for _ in range(2))
        for variable, same in zip(one.trainable_variables, again.trainable_variables, strict=True):
            np.testing.assert_array_equal(variable, same)


def test_revnet_38_has_the_published_size():
    parameters = classifiers.revnet((32, 32, 3), 10).count_params()
    assert 0.45e6 < parameters < 0.48e6  # 0.46 million, table 2 of the paper.


@pytest.mark.parametrize(("name", "zeros"), [("revnet", 0), ("irevnet", 4)])
def test_units_of_irevnets_alone_start_as_the_identity(name, zeros):
    kernels = [v for v in build(name).trainable_variables if "kernel" in v.path]
    assert sum(not np.any(kernel) for kernel in kernels) == zeros  # Of f and g in two stages.


@slow
def test_images_come_back_through_48_units_after_training():
    x, y = data()
    model = compiled(build("irevnet", units=(48,), strides=(2,)))
    # In graphs, since a loop of so many units takes longer operation by operation.
    encode, decode = tf.function(model.features), tf.function(model.invert)
    np.testing.assert_allclose(decode(encode(x)), x, atol=1e-4)
    model.fit(x, y, batch_size=20, epochs=3, verbose=0)
    features = encode(x)
    np.testing.assert_allclose(decode(features), x, atol=1e-4)
    head = keras.Model(model.get_layer("head_normalization").input, model.output)
    np.testing.assert_allclose(head(features), model(x, training=False), atol=1e-4)


def test_the_bijective_network_is_a_flow_of_volume_one():
    model = build("irevnet")
    flow, x = model.flow(), normal((2, *IMAGE), "float32")
    z = flow.encode(x)
    np.testing.assert_allclose(z, tf.reshape(model.features(x), [2, -1]), atol=1e-5)
    expected = -0.5 * np.sum(z**2, -1) - 0.5 * z.shape[-1] * np.log(2 * np.pi)
    np.testing.assert_allclose(flow.log_prob(x), expected, rtol=1e-5)
    np.testing.assert_allclose(flow.decode(tf.identity(z)), x, atol=1e-5)
    stages = [v for v in model.trainable_variables if "stage" in v.path]
    assert len(flow.trainable_variables) == len(stages)
    with pytest.raises(ValueError, match="added_channels must be 0"):
        build("irevnet-injective").flow()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classifiers.revnet((8, 8), 3), r"image_shape must be \(H, W, C\)"),
        (lambda: classifiers.revnet(IMAGE, 1), "num_classes must be at least 2"),
        (lambda: classifiers.revnet(IMAGE, 3, filters=(4, 5, 8, 8)), "filters must be even"),
        (lambda: classifiers.revnet(IMAGE, 3, filters=(8, 4, 8, 8)), "never become fewer"),
        (lambda: classifiers.revnet(IMAGE, 3, units=(1, 1)), "filters must hold one number more"),
        (lambda: classifiers.revnet(IMAGE, 3, units=(1, 0, 1)), r"units\[1\] must be at least 1"),
        (lambda: classifiers.irevnet((7, 7, 1), 3), "strides must divide the images of 7 x 7"),
        (lambda: classifiers.irevnet(IMAGE, 3, units=(1,)), "strides must hold one number"),
        (
            lambda: classifiers.irevnet(IMAGE, 3, units=(1,), strides=(1,)),
            "make the channels of each stage even",
        ),
        (lambda: classifiers.revvit(IMAGE, 3, patch_size=3), "patch_size must divide the sides"),
        (lambda: classifiers.revvit(IMAGE, 3, width=10, heads=4), "heads must divide the width 10"),
        (lambda: classifiers.revvit(IMAGE, 3, depth=0), "depth must be at least 1"),
        (lambda: classifiers.revvit(IMAGE, 3, dropout=1.0), "dropout must"),
        (lambda: classifiers.revvit(IMAGE, 3, network_dtype="half"), "network_dtype must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_that_are_none_are_refused():
    x, y = data()
    model = compiled(build("revvit"))
    for labels, error, message in (
        (y + 1, ValueError, "y must hold class ids from 0 to 2. Received: ids from 1 to 3"),
        (y - 1, ValueError, "ids from -1 to 1"),
        (y.astype("float32"), TypeError, "y must hold integer class ids"),
        (y[:-1], ValueError, "one class id for each example"),
    ):
        for call in (model.fit, model.evaluate):
            with pytest.raises(error, match=message):
                call(x, labels, verbose=0)


def test_losses_of_other_labels_than_ids():
    x, y = data()
    model = build("revvit")
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    rows = keras.utils.to_categorical(y, 3)
    assert np.isfinite(model.evaluate(x, rows, verbose=0))


def test_classifiers_are_public():
    assert tg.classifiers.__all__ == ["irevnet", "revnet", "revvit"]
