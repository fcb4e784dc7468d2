"""The contract that every exported bijector keeps."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers import WITHOUT_GRADIENTS, jacobian_log_det, normal, randomize
from tests.registry import ONE_OF_EACH, REGISTRY
from tfp_glow import bijectors as tgb

tfb, tfd = tfp.bijectors, tfp.distributions
NAMES = sorted(REGISTRY)
# Three solutions of a differential equation compile long; test_continuous compiles one.
COMPILED = [
    *(name for name in ONE_OF_EACH if REGISTRY[name].kind is not tgb.ContinuousFlow),
    *("Coupling-checkerboard_odd", "Coupling-spline", "MaskedAutoregressive-spline"),
    *("Repeat-residual-reversible", "Repeat-reversible", "Sylvester-orthogonal"),
]


class Case:
    """A randomized float64 bijector, and data in its range with their conditions."""

    def __init__(self, name: str, dtype: str = "float64"):
        self.entry, self.dtype = REGISTRY[name], dtype
        self.bijector = self.entry.make(dtype)
        randomize(self.bijector)
        self.latent_shape = tuple(self.bijector.inverse_event_shape(self.entry.event_shape))

    def latents(self, batch=()) -> tf.Tensor:
        return normal((*batch, *self.latent_shape), self.dtype)

    def kwargs(self, batch=()) -> dict:
        if self.entry.condition is None:
            return {}
        return {"condition": self.entry.condition(tuple(batch), self.dtype)}

    def data(self, batch=()) -> tf.Tensor:
        return tf.identity(self.bijector.forward(self.latents(batch), **self.kwargs(batch)))


@pytest.fixture(scope="module")
def cases() -> dict:
    return {}


def mostly_quick(names) -> list:
    """Solving a differential equation takes long, compiling or not."""
    solved = {"ContinuousFlow-condition"}
    return [pytest.param(n, marks=pytest.mark.slow if n in solved else ()) for n in names]


@pytest.fixture(params=mostly_quick(NAMES))
def case(request, cases) -> Case:
    if request.param not in cases:
        cases[request.param] = Case(request.param)
    return cases[request.param]


def test_every_exported_bijector_has_an_entry():
    registered = {entry.kind.__name__ for entry in REGISTRY.values()}
    assert registered == set(tgb.__all__) - {"FlowBijector"}


@pytest.mark.parametrize(
    "batch",
    [(), (3,), pytest.param((2, 1, 2), marks=pytest.mark.slow)],
    ids=lambda batch: f"rank{len(batch)}",
)
def test_round_trips_and_log_dets(case, batch):
    b, kwargs = case.bijector, case.kwargs(batch)
    z = case.latents(batch)
    x, fldj = b.forward_and_log_det(z, **kwargs)
    z_again, ildj = b.inverse_and_log_det(tf.identity(x), **kwargs)
    x_again = b.forward(tf.identity(z_again), **kwargs)
    np.testing.assert_allclose(z_again, z, atol=case.entry.tolerance)
    np.testing.assert_allclose(x_again, x, atol=case.entry.tolerance)
    np.testing.assert_allclose(fldj, -ildj, atol=case.entry.tolerance)
    assert x.shape == (*batch, *case.entry.event_shape)
    assert x.dtype == z_again.dtype == fldj.dtype == ildj.dtype == tf.float64
    event_ndims = len(case.entry.event_shape)
    assert b.inverse_log_det_jacobian(x, event_ndims=event_ndims, **kwargs).shape == batch


def test_log_dets_equal_the_autodiff_jacobian(case):
    b, kwargs, x, z = case.bijector, case.kwargs(), case.data(), case.latents()
    x_ndims, z_ndims = len(case.entry.event_shape), len(case.latent_shape)
    ildj = b.inverse_log_det_jacobian(x, event_ndims=x_ndims, **kwargs)
    fldj = b.forward_log_det_jacobian(z, event_ndims=z_ndims, **kwargs)
    true_ildj = jacobian_log_det(lambda v: b.inverse_and_log_det(v, **kwargs)[0], x)
    true_fldj = jacobian_log_det(lambda v: b.forward_and_log_det(v, **kwargs)[0], z)
    np.testing.assert_allclose(ildj, true_ildj, atol=1e-6)
    np.testing.assert_allclose(fldj, true_fldj, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED, indirect=True)
def test_dynamic_batch_in_tf_function(case):
    """One trace with a batch of any size, compiled, gives every variable its gradient."""
    b, variables = case.bijector, case.bijector.trainable_variables
    spec = tf.TensorSpec([None, *case.entry.event_shape], "float64")
    specs = [spec]
    if case.entry.condition is not None:
        condition = case.kwargs((1,))["condition"]
        specs.append(tf.TensorSpec([None, *condition.shape[1:]], condition.dtype))

    @tf.function(input_signature=specs, jit_compile=True)
    def run(x, condition=None):
        kwargs = {} if condition is None else {"condition": condition}
        with tf.GradientTape() as tape:
            z = b.inverse(x, **kwargs)
            event_ndims = len(case.entry.event_shape)
            ildj = b.inverse_log_det_jacobian(x, event_ndims=event_ndims, **kwargs)
            loss = 0.5 * tf.reduce_sum(z**2) - tf.reduce_sum(ildj)
        return z, ildj, b.forward(tf.identity(z), **kwargs), tape.gradient(loss, variables)

    x, kwargs = case.data((3,)), case.kwargs((3,))
    z, ildj, x_again, gradients = run(x, *kwargs.values())
    event_ndims = len(case.entry.event_shape)
    eager_ildj = b.inverse_log_det_jacobian(x, event_ndims=event_ndims, **kwargs)
    np.testing.assert_allclose(z, case.latents((3,)), atol=10 * case.entry.tolerance)
    np.testing.assert_allclose(x_again, x, atol=10 * case.entry.tolerance)
    np.testing.assert_allclose(ildj, eager_ildj, atol=10 * case.entry.tolerance)
    assert all(g is not None and np.isfinite(g).all() for g in gradients)


@pytest.mark.slow
def test_float32_agrees_with_float64(case, request):
    """The same parameters and inputs in both."""
    single = Case(request.node.callspec.params["case"], "float32")
    pairs = zip(single.bijector.keras_variables, case.bijector.keras_variables, strict=True)
    for variable, exact in pairs:
        variable.assign(tf.cast(exact, variable.dtype))
    kwargs, z = case.kwargs((3,)), case.latents((3,))
    exact = (*case.bijector.forward_and_log_det(z, **kwargs), z)
    kwargs = {k: _as_float32(v) for k, v in kwargs.items()}
    x, fldj = single.bijector.forward_and_log_det(_as_float32(z), **kwargs)
    z_again, ildj = single.bijector.inverse_and_log_det(_as_float32(exact[0]), **kwargs)
    assert x.dtype == fldj.dtype == z_again.dtype == ildj.dtype == tf.float32
    for rounded, value in zip((x, fldj, z_again), exact, strict=True):
        np.testing.assert_allclose(rounded, value, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(ildj, -exact[1], atol=2e-4, rtol=1e-4)


def _as_float32(value):
    return tf.cast(value, tf.float32) if value.dtype.is_floating else value


@pytest.mark.parametrize("sigma", [10.0, pytest.param(-10.0, marks=pytest.mark.slow)])
def test_ten_sigma_inputs_stay_finite(case, sigma):
    single = case.bijector
    kwargs, variables = case.kwargs((2,)), case.bijector.trainable_variables
    z = sigma * (1.0 + tf.abs(case.latents((2,))))
    with tf.GradientTape() as tape:
        x, fldj = single.forward_and_log_det(z, **kwargs)
        z_again, ildj = single.inverse_and_log_det(x, **kwargs)
        loss = tf.reduce_sum(z_again) + tf.reduce_sum(ildj)
    gradients = tape.gradient(loss, variables)
    assert all(np.isfinite(v).all() for v in (x, fldj, z_again, ildj, *gradients))


def test_copy_repr_equality_hash_and_slicing(case):
    b = case.bijector
    other = case.entry.make("float64")
    assert b.copy() == b
    assert hash(b.copy()) == hash(b)
    assert b[0] == b
    assert b.copy(name="renamed").name == "renamed"
    assert type(b).__name__ in repr(b)
    assert type(b).__name__ in str(b)
    assert (b == other) == (not b.variables)


@pytest.mark.slow
@pytest.mark.parametrize("case", ONE_OF_EACH, indirect=True)
def test_saved_model_reloads(case, tmp_path):
    b = case.bijector
    x, kwargs = case.data((2,)), case.kwargs((2,))
    specs = [
        tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in (x, *kwargs.values())
    ]

    @tf.function(input_signature=specs)
    def inverse(x, condition=None):
        return b.inverse(x, **({} if condition is None else {"condition": condition}))

    module = tf.Module()
    module.bijector, module.inverse = b, inverse
    tf.saved_model.save(module, str(tmp_path), options=WITHOUT_GRADIENTS)
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(
        loaded.inverse(x, *kwargs.values()),
        b.inverse(x, **kwargs),
        atol=1e-3 * case.entry.tolerance,
    )


@pytest.mark.slow
def test_composes_with_tfp(case):
    """Chain, Invert, TransformedDistribution and JointDistribution of TFP."""
    b, batch = case.bijector, (2,)
    x, kwargs = case.data(batch), case.kwargs(batch)
    z = case.latents(batch)
    base = tfd.Sample(tfd.Normal(tf.zeros([], "float64"), 1.0), case.latent_shape)
    event_ndims = len(case.entry.event_shape)
    expected = base.log_prob(z) + b.inverse_log_det_jacobian(x, event_ndims, **kwargs)

    plain = tfd.TransformedDistribution(base, b)
    chained = tfd.TransformedDistribution(base, tfb.Chain([b]))
    inverted = tfb.Invert(tfb.Invert(b))
    np.testing.assert_allclose(
        plain.log_prob(x, bijector_kwargs=kwargs), expected, atol=10 * case.entry.tolerance
    )
    routed = {b.name: kwargs}
    np.testing.assert_allclose(
        chained.log_prob(x, bijector_kwargs=routed), expected, atol=10 * case.entry.tolerance
    )
    np.testing.assert_allclose(inverted.inverse(x, **kwargs), z, atol=10 * case.entry.tolerance)
    if not kwargs:
        joint = tfd.JointDistributionSequential([plain], batch_ndims=0)
        np.testing.assert_allclose(
            joint.log_prob([x[0]]), expected[0], atol=10 * case.entry.tolerance
        )
        assert joint.sample(seed=1)[0].shape == case.entry.event_shape


def test_missing_or_unwanted_condition_raises(case):
    kwargs = {} if case.entry.condition is not None else {"condition": tf.zeros([3])}
    with pytest.raises(ValueError, match="condition"):
        case.bijector.forward(case.latents(), **kwargs)


def test_wrong_rank_raises(case):
    with pytest.raises(ValueError, match="dimensions"):
        case.bijector.inverse(tf.constant(0.0, tf.float64), **case.kwargs())
