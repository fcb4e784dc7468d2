"""Maps between two domains: exact both ways, densities against closed forms, and trainings."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tests.helpers import jacobian_log_det, normal, randomize
from tfp_glow import flows
from tfp_glow.domains import ByClass, ClassMap, Correlated
from tfp_glow.fitting import LossNotFiniteError

tfb, tfd = tfp.bijectors, tfp.distributions
GENERATOR = np.random.default_rng(0)
UNITS = {"steps": 1, "hidden_units": (8,)}


def vectors(size: int, seed: int = 0, dtype: str = "float32", **kwargs) -> tg.Flow:
    return flows.realnvp(size, seed=seed, dtype=dtype, **{**UNITS, **kwargs})


def affine(size: int, dtype: str = "float32") -> tg.Flow:
    """What learns a linear map is soon traced."""
    return flows.linear(size, seed=0, dtype=dtype)


def fit(model: tg.DomainMapModel, *data, **kwargs) -> dict:
    return model.fit(*data, **{"batch_size": 32, "verbose": 0, **kwargs}).history


@pytest.fixture(scope="module")
def correlated() -> tg.DomainMap:
    """Of 3 values x and 2 values y, in float64, with correlations of either sign."""
    # Randomized splines of marginals have densities that are narrower than the grid.
    options = {"dtype": "float64", "marginal_bins": None}
    sides = vectors(3, **options), vectors(2, seed=1, **options)
    domain_map = tg.DomainMap(*sides, tie=Correlated())
    randomize(domain_map, scale=0.5)
    domain_map.tie._raw.assign([0.9, -0.4])
    return domain_map


def test_the_way_back_is_exact_with_the_rest_that_was_kept(correlated):
    x, y = normal([5, 3]), normal([2, 5, 2], seed=1)
    there = tf.identity(correlated.translate(x))
    z = correlated.flow_x.encode(x)[:, 1:] * [1.0, -1.0]
    np.testing.assert_allclose(there, correlated.flow_y.decode(z), atol=1e-12)
    rest = correlated.rest_x(x)
    assert rest.shape == (5, 1)
    np.testing.assert_allclose(correlated.translate_back(there, rest=rest), x, atol=1e-9)
    drawn = [tf.identity(correlated.translate_back(y, seed=seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(np.abs(drawn[0] - drawn[2]) > 1e-3)
    np.testing.assert_allclose(correlated.translate(drawn[0]), y, atol=1e-9)
    cold = correlated.translate_back(y, temperature=0.0)
    np.testing.assert_allclose(correlated.rest_x(tf.identity(cold)), 0.0, atol=1e-9)
    assert correlated.rest_y(y).shape == (2, 5, 0)


def test_the_density_of_y_given_x_is_that_of_the_joint_normal_latents(correlated):
    """log p(x, y) by a normal of all five latents and the Jacobians by autodiff."""
    x, y = normal([1, 3]), normal([1, 2], seed=1)
    covariance = np.eye(5)
    covariance[[1, 2, 3, 4], [3, 4, 1, 2]] = np.tanh([0.9, -0.4, 0.9, -0.4])
    sides = (correlated.flow_x, x), (correlated.flow_y, y)
    z = tf.concat([flow.encode(data) for flow, data in sides], -1)
    log_dets = [jacobian_log_det(flow.encode, data[0]) for flow, data in sides]
    joint = tfd.MultivariateNormalTriL(scale_tril=np.linalg.cholesky(covariance))
    expected = joint.log_prob(np.concatenate([z]).astype("float32"))
    expected = tf.cast(expected, tf.float64) + tf.add_n(log_dets)
    given_x = correlated.conditional_log_prob(y, x)
    np.testing.assert_allclose(given_x + correlated.flow_x.log_prob(x), expected, atol=1e-4)
    # It integrates to one.
    axis = np.linspace(-30.0, 30.0, 401)
    grid = tf.constant(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    cells = np.exp(correlated.conditional_log_prob(grid, x)) * (axis[1] - axis[0]) ** 2
    assert np.sum(cells) == pytest.approx(1.0, abs=1e-3)
    # Samples have that density: their latents are normal as they should be.
    many = tf.repeat(x, 4000, 0)
    drawn = tf.identity(correlated.sample_given(many, seed=3))
    latents = correlated.flow_y.encode(drawn).numpy()
    mean = correlated.tie.correlation * correlated.flow_x.encode(x)[0, 1:]
    np.testing.assert_allclose(latents.mean(0), mean, atol=0.06)
    np.testing.assert_allclose(latents.std(0), 1 / np.cosh([0.9, -0.4]), atol=0.04)
    center = correlated.sample_given(x, temperature=0.0)
    np.testing.assert_allclose(center, correlated.flow_y.decode(mean[tf.newaxis]), atol=1e-9)


def test_the_first_batch_starts_the_correlations():
    tie, z = Correlated(), normal([500, 2])
    tie.build(2, tf.float64)
    assert not tie.initialized
    tie.initialize(z, z * [1.0, -1.0] + [0.0, 2.0] * normal([500, 2], seed=1))
    assert tie.initialized
    # cov / (std std): 1, of which 0.9 is left, and -1 / sqrt(1 + 2^2).
    np.testing.assert_allclose(tie.correlation, [0.9, -0.447], atol=0.1)


def test_a_rotation_between_the_latents_is_found_and_undone():
    tie, z = Correlated(rotated=True), normal([500, 3])
    tie.build(3, tf.float64)
    assert tie.rows_to_start == 24
    rotation = np.linalg.qr(normal([3, 3], seed=1))[0]
    tie.initialize(z, z @ rotation.T + 0.5 * normal([500, 3], seed=2))
    np.testing.assert_allclose(tie.conditional(z)[0] / tie.correlation, z @ rotation.T, atol=0.2)
    np.testing.assert_allclose(tie.carry_back(tie.carry(z)), z, atol=1e-12)
    np.testing.assert_allclose(tie.correlation, 1 / np.sqrt(1.25), atol=0.05)
    # log p(z_y given z_x) - log p(z_y) by the normal of all six, whose margins are standard.
    found = np.stack([tie.conditional(unit)[0] for unit in np.eye(3)], -1)
    covariance = np.block([[np.eye(3), found.T], [found, np.eye(3)]])
    joint = tfd.MultivariateNormalTriL(scale_tril=np.linalg.cholesky(covariance))
    z_y, single = normal([500, 3], seed=3), tg.standard_normal(3, "float64")
    expected = joint.log_prob(np.concatenate([z, z_y], -1)) - single.log_prob(z)
    np.testing.assert_allclose(tie.log_ratio(z, z_y), expected - single.log_prob(z_y), atol=1e-9)
    assert Correlated.from_config(tie.get_config()).get_config() == {"rotated": True}


def test_classes_are_normals_at_equal_distances():
    tie = ByClass(3, separation=2.0)
    tie.build(4, tf.float64)
    distances = np.linalg.norm(tie.means[:, None] - tie.means[None], axis=-1)
    np.testing.assert_allclose(distances, 2.0 * (1 - np.eye(3)), atol=1e-9)
    z = normal([5, 4])
    given_class = tfd.MultivariateNormalDiag(tie.means, tf.ones_like(tie.means))
    expected = (
        given_class.log_prob(z[:, tf.newaxis])
        - tg.standard_normal(4, "float64").log_prob(z)[:, tf.newaxis]
    )
    np.testing.assert_allclose(tie.logits(z), expected, atol=1e-9)
    again = ByClass.from_config(tie.get_config())
    again.build(4, tf.float64)
    np.testing.assert_array_equal(again.means, tie.means)


@pytest.fixture(scope="module")
def paired() -> tuple:
    """Integers x and the integers y = 15 - x, fitted under XLA."""
    x = np.clip(GENERATOR.normal([[4, 9]], [[1, 2]], [256, 2]).round(), 0, 15).astype("int32")
    sides = [tg.Dequantized(affine(2), num_bins=16) for _ in range(2)]
    model = tg.DomainMapModel(tg.DomainMap(*sides, tie=Correlated()), seed=0)
    model.compile(keras.optimizers.Adam(2e-2, global_clipnorm=1.0), jit_compile=True)
    history = fit(model, (x, 15 - x), epochs=20)
    return model, history, x


@pytest.mark.slow
def test_pairs_are_learned(paired, tmp_path):
    model, history, x = paired
    assert set(history) == {"loss", "bits_per_dim_x", "bits_per_dim_y_given_x"}
    single = model.domain_map.flow_y.bits_per_dim(15 - x, seed=0)
    assert history["bits_per_dim_y_given_x"][-1] < np.mean(single) - 0.5
    # The bound of dequantized pairs, with noise of its own for either side.
    given_x = model.domain_map.conditional_log_prob(15 - x, x, seed=0)
    bits = -np.mean(given_x) / (2 * np.log(2))
    assert bits == pytest.approx(history["bits_per_dim_y_given_x"][-1], abs=0.2)
    with pytest.raises(ValueError, match="has no export"):
        model.export(str(tmp_path / "served"))
    translated = model.predict(x, verbose=0)
    assert translated.dtype == "int32"
    constant = np.mean((x - x.mean(0)) ** 2)
    assert np.mean((translated + x - 15) ** 2) < 0.5 * constant
    numbers = model.domain_map.continuous
    real = tf.cast((x + 0.5) / 16 - 0.5, "float32")
    back = numbers.translate_back(tf.identity(numbers.translate(real)))
    np.testing.assert_allclose(back, real, atol=1e-4)
    model.save(tmp_path / "map.keras")
    loaded = keras.saving.load_model(tmp_path / "map.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), translated)


def test_the_loss_of_pairs_is_the_joint_likelihood_by_hand(correlated):
    x, y = normal([8, 3]), normal([8, 2], seed=1)
    model = tg.DomainMapModel(correlated, likelihood_weight=0.5)
    model.compile("sgd", jit_compile=False)
    loss = model.evaluate((x, y), verbose=0, return_dict=True)["loss"]
    log_x = correlated.flow_x.log_prob(x)
    expected = 0.5 * log_x / 3 + correlated.conditional_log_prob(y, x) / 2
    assert loss == pytest.approx(-np.mean(expected), rel=1e-5)


def labelled(count: int, size: int, sign: float) -> tuple:
    """Two classes, to the left and to the right."""
    labels = GENERATOR.integers(0, 2, count)
    data = GENERATOR.standard_normal([count, size]) * 0.5
    data[:, 0] += sign * (4.0 * labels - 2.0)
    return data.astype("float32"), labels


@pytest.mark.slow
def test_classes_are_carried_over_between_sides_of_other_sizes_and_numbers():
    (x, labels_x), (y, labels_y) = labelled(300, 3, 1.0), labelled(130, 2, -1.0)
    domain_map = tg.DomainMap(
        tg.Noised(affine(3), sigma=0.1), affine(2), tie=ByClass(2, separation=6.0)
    )
    model = tg.DomainMapModel(domain_map, seed=0)
    model.compile(keras.optimizers.Adam(5e-2, global_clipnorm=1.0), jit_compile=False)
    data = (x, y), (labels_x, labels_y)
    history = fit(model, *data, epochs=25, validation_data=data)
    losses = {"loss", "nats_x", "nats_y", "accuracy_x", "accuracy_y"}
    assert set(history) == losses | {f"val_{name}" for name in losses}
    assert min(history["val_accuracy_x"][-1], history["val_accuracy_y"][-1]) > 0.97
    there = domain_map.translate(x, seed=0).numpy()
    back = domain_map.translate_back(y, seed=0).numpy()
    assert np.mean((there[:, 0] < 0) == labels_x) > 0.95
    assert np.mean((back[:, 0] > 0) == labels_y) > 0.95
    _check_class_map(domain_map, x, labels_x, y, labels_y)
    # Of data sets the labels are not read in advance.
    wrong = tf.data.Dataset.from_tensors(((x[:9], y[:9]), (labels_x[:9], labels_y[:9] + 2)))
    with pytest.raises(LossNotFiniteError):
        model.fit(wrong, verbose=0)


def _check_class_map(domain_map, x, labels_x, y, labels_y) -> None:
    """Latents by class are normal with the data's own means and covariances, the tied n kept."""
    class_map = ClassMap(domain_map, x, labels_x, y, labels_y, shrinkage=1e-9)
    there = class_map.translate_back(y, seed=0)  # To the side with latents that are not tied.
    right = (there[:, 0] > 0) == labels_y
    assert right.mean() > 0.95
    encoded = domain_map.flow_x.flow.encode(x).numpy()[:, ::-1]
    source, target = (
        flow.encode(data).numpy()[:, ::-1]
        for flow, data in ((domain_map.flow_y, y), (domain_map.flow_x.flow, there))
    )
    for label in range(2):
        own, theirs = source[labels_y == label], encoded[labels_x == label]
        away = own - own.mean(0), target[labels_y == label] - theirs.mean(0)
        factors = (np.linalg.cholesky(np.cov(rows.T)) for rows in (own, theirs))
        noise = [np.linalg.solve(f, rows.T).T for f, rows in zip(factors, away, strict=True)]
        kept = right[labels_y == label]
        np.testing.assert_allclose(noise[0][kept], noise[1][kept][:, :2], atol=1e-2)
        assert np.std(noise[1][:, 2]) == pytest.approx(1.0, abs=0.3)


def _loss_of_critic(critic, real, fake):
    with tf.GradientTape() as tape:
        tape.watch(real)
        score = critic(real)
    slope = tape.gradient(score, real)
    losses = tf.nn.softplus(-score) + tf.nn.softplus(critic(fake))
    return losses[:, 0] + 0.5 * tf.reduce_sum(slope**2, -1)


@pytest.mark.slow
def test_critics_and_flows_each_descend_their_own_loss(tmp_path):
    x, y = normal([64, 2], "float32"), normal([96, 2], "float32", seed=1) * 2.0 + 1.0
    domain_map = tg.DomainMap(affine(2), affine(2))
    model = tg.DomainMapModel(domain_map, likelihood_weight=0.0, seed=0)
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), jit_compile=False)
    names = {"loss", "nats_x", "nats_y", "realism_x", "realism_y"}
    assert set(fit(model, (x, y), epochs=1)) == names
    seed = tf.constant([1, 2])
    critics = [v.value for c in model.objective.critics for v in c.trainable_variables]
    own = list(domain_map.trainable_variables)
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(((x[:8], y[:8]), None, seed))
        loss = model.compute_loss(None, None, outputs)
        fakes, reals = outputs[2], (x[:8], y[:8])
        sides = list(zip(model.objective.critics, reals, fakes, strict=True))
        of_critics = sum(tf.reduce_mean(_loss_of_critic(*side)) for side in sides)
        of_flows = sum(tf.reduce_mean(tf.nn.softplus(-critic(fake))) for critic, _, fake in sides)
    for variables, expected in ((critics, of_critics), (own, of_flows)):
        found = tape.gradient(loss, variables, unconnected_gradients="zero")
        wanted = tape.gradient(expected, variables, unconnected_gradients="zero")
        for gradient, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(gradient, other, atol=1e-5)
    model.save(tmp_path / "map.keras")
    loaded = keras.saving.load_model(tmp_path / "map.keras")
    for variable, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(variable, other)


@pytest.mark.slow
def test_sides_with_conditions():
    sides = vectors(2, num_classes=3), vectors(2, seed=1, condition_size=1)
    domain_map = tg.DomainMap(*sides, tie=Correlated())
    randomize(domain_map)
    x, y = normal([12, 2], "float32"), normal([12, 2], "float32", seed=1)
    conditions = np.arange(12) % 3, x[:, :1].numpy()
    given = {"condition_x": conditions[0], "condition_y": conditions[1]}
    there = tf.identity(domain_map.translate(x, **given))
    np.testing.assert_allclose(domain_map.translate_back(there, **given), x, atol=1e-5)
    model = tg.DomainMapModel(domain_map)
    model.compile("sgd", jit_compile=False)
    loss = model.evaluate((x, y), conditions, verbose=0, return_dict=True)["loss"]
    log_x = sides[0].log_prob(x, condition=conditions[0])
    expected = (log_x + domain_map.conditional_log_prob(y, x, **given)) / 2
    assert loss == pytest.approx(-np.mean(expected), rel=1e-5)
    with pytest.raises(ValueError, match="condition must be the pair of what x and what y"):
        model.evaluate((x, y), conditions[0], verbose=0)
    with pytest.raises(ValueError, match="predict gives conditions to no flow"):
        model.predict(x)


ROWS = np.zeros([6, 2], "float32")
IDS = np.zeros(6, int)
TIE = Correlated()


def small(**kwargs) -> tg.DomainMap:
    return tg.DomainMap(vectors(2), vectors(3), **kwargs)


def model(**kwargs) -> tg.DomainMapModel:
    made = tg.DomainMapModel(tg.DomainMap(vectors(2), vectors(2, 1), **kwargs))
    made.compile("sgd", jit_compile=False)
    return made


WRONG = {
    "no flow": (lambda: tg.DomainMap(abs, vectors(2)), TypeError, "flow_x must be a Flow"),
    "base": (
        lambda: tg.DomainMap(vectors(2), flows.nice(2, base="logistic", hidden_units=(8,))),
        ValueError,
        "flow_y must have standard normal latents",
    ),
    "dtype": (
        lambda: tg.DomainMap(vectors(2), vectors(2, dtype="float64")),
        ValueError,
        "must have one dtype. Received: float32 and float64",
    ),
    "too large": (
        lambda: small(shared=3),
        ValueError,
        "shared must be at most 2.*Received: 3, with 2 latents of x and 3 of y",
    ),
    "shared": (lambda: small(shared=0), ValueError, "shared must be at least 1"),
    "tie": (lambda: small(tie="paired"), TypeError, "tie must be Correlated"),
    "classes": (
        lambda: small(tie=ByClass(3)),
        ValueError,
        "shared must be at least num_classes=3.*Received: 2",
    ),
    "a tie of others": (
        lambda: [tg.DomainMap(vectors(2), vectors(2), shared=n, tie=TIE) for n in (2, 1)],
        ValueError,
        "tie must be one of its own for 1 latents.*Received: the one of a map with 2",
    ),
    "tie of a class map": (
        lambda: ClassMap(small(), ROWS, [0] * len(ROWS), ROWS, [0] * len(ROWS)),
        ValueError,
        "domain_map must have the tie ByClass",
    ),
    "one class": (lambda: ByClass(1), ValueError, "num_classes must be at least 2"),
    "separation": (lambda: ByClass(2, separation=0), ValueError, "separation must be above 0"),
    "no density": (
        lambda: small().conditional_log_prob(ROWS, ROWS),
        ValueError,
        "conditional_log_prob needs a map with tie=Correlated",
    ),
    "rest": (
        lambda: small().translate(ROWS, rest=ROWS),
        ValueError,
        r"rest must hold the 1 latents of flow_y.*Received: shape \(6, 2\)",
    ),
    "temperature": (
        lambda: small().translate(ROWS, temperature=-1.0),
        ValueError,
        "temperature must be at least 0",
    ),
    "event": (lambda: small().translate(ROWS[:, :1]), ValueError, "x must have event shape"),
    "no map": (lambda: tg.DomainMapModel(vectors(2)), TypeError, "domain_map must be a DomainMap"),
    "weight": (
        lambda: tg.DomainMapModel(small(), likelihood_weight=-1),
        ValueError,
        "likelihood_weight must be at least 0",
    ),
    "critics of pairs": (
        lambda: tg.DomainMapModel(small(tie=Correlated()), critics=(abs, abs)),
        ValueError,
        "critics need a map without a tie",
    ),
    "critics": (
        lambda: tg.DomainMapModel(small(), critics=(abs, abs)),
        TypeError,
        "critics must be Keras models",
    ),
    "conditional": (
        lambda: tg.DomainMapModel(
            tg.DomainMap(vectors(2, num_classes=2), vectors(2), tie=ByClass(2))
        ),
        ValueError,
        r"flow_x must take no condition with tie=ByClass",
    ),
    "no pairs": (
        lambda: model(tie=Correlated()).fit((ROWS, ROWS[:4])),
        ValueError,
        "x and y must be pairs.*Received: 6 of x and 4 of y",
    ),
    "one domain": (
        lambda: model().fit(ROWS),
        ValueError,
        "x must be the pair of both domains' data",
    ),
    "nothing": (
        lambda: model().fit((ROWS, ROWS[:0])),
        ValueError,
        "y must hold at least one example",
    ),
    "labels in one domain": (
        lambda: model(tie=ByClass(2)).fit((ROWS, ROWS), (IDS, None)),
        ValueError,
        "labels must be given for both domains",
    ),
    "no labels": (
        lambda: model(tie=ByClass(2)).fit((ROWS, ROWS)),
        ValueError,
        "labels must be given for both domains",
    ),
    "labels out of range": (
        lambda: model(tie=ByClass(2)).fit((ROWS, ROWS), (IDS, IDS + 2)),
        ValueError,
        "labels_y: y must hold class ids from 0 to 1",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_meet_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
