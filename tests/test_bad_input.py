"""Any argument of a recipe, replaced by nonsense: an error that names it, or a flow that works."""

from __future__ import annotations

import inspect
import re

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tfp_glow as tg
from tests.test_recipes import SMALL, data, event_shape
from tfp_glow import bijectors as tgb
from tfp_glow import flows, networks

NONSENSE = [None, -1, 0, 1.5, np.nan, np.inf, "x", "", (), [], {}, object(), True, b"x", [0], [1.5]]
# Arguments that an error may name in the place of another, which says the same.
ALSO = {"steps": "depth", "order": "order", "law": "law", "conv": "parameterization"}


def arguments_of(name: str) -> list[str]:
    return list(inspect.signature(flows.RECIPES[name.removesuffix("-images")]).parameters)


CASES = [(name, argument) for name in sorted(SMALL) for argument in arguments_of(name)]


def attempt(recipe, arguments: dict) -> tuple:
    """What a recipe gives, or the error by which it refuses."""
    try:
        return recipe(**arguments), None
    except (ValueError, TypeError) as error:
        return None, error


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(CASES), st.sampled_from(NONSENSE))
@example(("maf", "event_shape"), 1.5)
@example(("glow", "factor_out"), np.nan)
@example(("coupling_spline", "bound"), np.inf)
def test_recipes(case, value):
    name, argument = case
    recipe = flows.RECIPES[name.removesuffix("-images")]
    shape = event_shape(name)
    first = arguments_of(name)[0]
    arguments = {first: shape, "seed": 0, **SMALL[name], argument: value}
    flow, error = attempt(recipe, arguments)
    if error is not None:
        assert re.search(f"{argument}|{ALSO.get(argument, argument)}", str(error)), error
        return
    x = data(name, 2)
    if flow.condition_shape is not None or tuple(flow.event_shape) != tuple(x.shape[1:]):
        return
    assert np.isfinite(flow.log_prob(x)).all()


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    return flows.realnvp(3, steps=1, hidden_units=(4,), seed=0)


@pytest.mark.parametrize("argument", ["sample_shape", "temperature", "seed"])
@pytest.mark.parametrize("value", ["x", -1.5, np.nan, [1.5]], ids=repr)
def test_samples(flow, argument, value):
    with pytest.raises((ValueError, TypeError), match=argument):
        flow.sample(**{"sample_shape": 2, argument: value})


@pytest.mark.parametrize(
    ("build", "argument"),
    [
        (lambda: tgb.Chain(None), "bijectors"),
        (lambda: tgb.Repeat(5, 2), "make_step"),
        (lambda: tgb.ActNorm(3, dtype="int32"), "dtype"),
        (lambda: tgb.ActNorm(3, dtype="foo"), "dtype"),
        (lambda: tgb.Logit("x"), "alpha"),
        (lambda: tgb.Logit(low=np.nan), "low"),
        (lambda: tgb.Coupling(networks.MLP, mask=5, event_shape=4), "mask"),
        (lambda: tgb.Coupling(networks.MLP), "event_shape"),
        (lambda: tgb.Planar(3, condition_shape=(2,)), "network and condition_shape"),
        (lambda: tgb.ResidualBlock(abs, tolerance=-1.0), "tolerance"),
        (lambda: tgb.ResidualBlock(abs, tolerance=np.inf), "tolerance"),
        (lambda: tgb.ContinuousFlow(abs, kinetic="x"), "kinetic"),
        (lambda: networks.MLP(3, inputs=3), "inputs"),
        (lambda: networks.GlowNetwork(3, hidden_channels=2, inputs=3), "inputs"),
        (lambda: networks.MADE(3, outputs=4), "outputs"),
        (lambda: tg.standard_normal("x"), "event_shape"),
        (lambda: tg.standard_normal(2, dtype="int32"), "dtype"),
    ],
)
def test_constructors(build, argument):
    with pytest.raises((ValueError, TypeError), match=argument):
        build()


@pytest.mark.parametrize("x", [None, np.array([None, "a"], object)], ids=["None", "objects"])
def test_models(flow, x):
    model = tg.FlowModel(flow)
    model.compile(keras.optimizers.SGD())
    for function in (model.fit, model.predict, model.evaluate):
        with pytest.raises(TypeError, match="x must hold numbers"):
            function(x)
