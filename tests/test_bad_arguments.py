"""Constructors name the argument that is wrong and what they received."""

import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tfp_glow import bijectors as tgb

tfb = tfp.bijectors


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: tgb.ActNorm(0), ValueError, "channels must be at least 1. Received: 0"),
        (lambda: tgb.ActNorm(2.0), TypeError, "channels must be an int. Received: 2.0"),
        (lambda: tgb.Squeeze(True), TypeError, "factor must be an int"),
        (lambda: tgb.Invertible1x1Conv(2, parameterization="qr"), ValueError, "'qr'"),
        (lambda: tgb.Invertible1x1Conv(2, start="zeros"), ValueError, "start must be one of"),
        (lambda: tgb.Coupling("relu"), TypeError, "network must be callable"),
        (lambda: tgb.Coupling(abs, law="cubic"), ValueError, "law"),
        (lambda: tgb.Coupling(abs, law=3), TypeError, "law must be a name"),
        (lambda: tgb.Coupling(abs, mask="thirds"), ValueError, "mask must be one of"),
        (lambda: tgb.DiagonalScaling(0), ValueError, "channels must be at least 1"),
        (lambda: tgb.DiagonalScaling(2, std=0), ValueError, "std must be above 0"),
        (lambda: tgb.Logit(0.5), ValueError, "alpha must lie between 0 and 0.5. Received: 0.5"),
        (lambda: tgb.Logit(low=1.0), ValueError, "low must be below high"),
        (lambda: tgb.ClassConditional(tgb.ActNorm(2), 3), ValueError, r"condition shape \(3,\)"),
        (lambda: tgb.GaussianPrior(2, num_classes=0), ValueError, "num_classes"),
        (lambda: tgb.Chain([]), ValueError, "at least one"),
        (lambda: tgb.Chain([tgb.ActNorm]), TypeError, "tfb.Bijector instances"),
        (lambda: tgb.MultiScale([], (4, 4, 1)), ValueError, "blocks"),
        (lambda: tgb.MultiScale([tgb.Squeeze()], (3, 4, 1)), ValueError, "height 3"),
        (lambda: tgb.Repeat(lambda: tgb.ActNorm(2), 0), ValueError, "depth"),
        (lambda: tgb.Repeat(lambda: tfb.Exp(), 2), TypeError, "make_step must return"),
        (lambda: tg.networks.MLP(0, inputs=(2,)), ValueError, "outputs"),
        (
            lambda: tg.networks.GlowNetwork(2, hidden_channels=0, inputs=(2, 2, 1)),
            ValueError,
            "hidden_channels must be at least 1",
        ),
    ],
)
def test_constructors(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tgb.ActNorm(3).inverse(tf.zeros([2, 4])), r"3 channels.*\(2, 4\)"),
        (lambda: tgb.Invertible1x1Conv(3).forward(tf.zeros([2, 4])), "3 channels"),
        (lambda: tgb.Coupling(abs).forward(tf.zeros([2, 1])), "to keep and channels to transform"),
        (lambda: tgb.Coupling(lambda x: x).forward(tf.zeros([2, 4])), "must give 4 channels"),
        (
            lambda: tgb.MultiScale([tgb.Squeeze()], (4, 4, 1)).inverse(tf.zeros([2, 4, 4, 3])),
            r"event shape \(4, 4, 1\)",
        ),
        (
            lambda: tgb.MultiScale([tgb.Squeeze()], (4, 4, 1)).forward(tf.zeros([2, 5])),
            "16 values",
        ),
    ],
)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_repeat_refuses_what_it_cannot_loop_over():
    sizes = iter([2, 3])
    with pytest.raises(ValueError, match="equal structure"):
        tgb.Repeat(lambda: tgb.ActNorm(next(sizes)), 2)

    def with_tf_variable():
        return tgb.Chain([tgb.ActNorm(2), tfb.Shift(tf.Variable([0.0, 0.0], name="plain"))])

    with pytest.raises(ValueError, match="plain"):
        tgb.Repeat(with_tf_variable, 2)


class Counting(tgb.FlowBijector):
    """Counts its passes, which a bijector must not."""

    def __init__(self):
        super().__init__(forward_min_event_ndims=1, dtype="float32")
        self.passes = self.add_variable(0.0, name="passes", trainable=False)

    def _forward_and_log_det(self, z, condition=None):
        self.passes.assign_add(1.0)
        return z + 0.0, self.full_log_det(z, 0.0)

    def _inverse_and_log_det(self, x, condition=None):
        return self._forward_and_log_det(x)


def test_repeat_refuses_bijectors_that_change_when_they_are_evaluated():
    for reversible in (False, True):
        with pytest.raises(ValueError, match=r"changed its variable .*passes"):
            tgb.Repeat(Counting, 2, reversible=reversible).inverse(tf.ones([3, 2]))


class Named(Counting):
    """Has variables of these names, the last of which an attribute keeps too."""

    def __init__(self, *names, attribute="shift"):
        super().__init__()
        for name in names:
            variable = self.add_variable(0.0, name=name)
        setattr(self, attribute, variable)


def test_no_attribute_hides_a_variable():
    assert len(Named("shift").trainable_variables) == 1
    with pytest.raises(ValueError, match=r"'_shift' must stay.*self.shift = "):
        Named("shift", attribute="_shift")
    for names in (["shift", "shift"], ["dtype"]):
        with pytest.raises(ValueError, match=f"'_{names[-1]}' is free.*'{names[-1]}', and Named"):
            Named(*names)


def test_conditions_of_parts_must_agree():
    def coupling(size):
        network = tg.networks.MLP(4, inputs=(2,), condition_size=size)
        return tgb.Coupling(network, condition_shape=(size,))

    with pytest.raises(ValueError, match=r"\[\(2,\), \(3,\)\]"):
        tgb.Chain([coupling(2), coupling(3)])
