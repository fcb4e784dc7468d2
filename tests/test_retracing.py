"""TensorFlow warns of functions that are traced again and again, which no flow is at fault for."""

import pytest

from tests.helpers import normal
from tfp_glow import FlowModel, flows
from tfp_glow.inference import calibration_ranks

X = normal((4, 2), "float32")
CONDITIONAL = flows.maf(2, steps=1, hidden_units=(4,), condition_size=2, seed=0)
RESIDUAL = flows.residual_flow(2, steps=1, hidden_units=(4,), seed=0)


def initialize():
    FlowModel(flows.realnvp(2, steps=2, hidden_units=(4,))).initialize(X)


def rank():
    calibration_ranks(CONDITIONAL, X, X, num_samples=2)


def estimate_moments():
    RESIDUAL.log_prob_moments(X, draws=2)


@pytest.mark.slow
@pytest.mark.parametrize("call", [initialize, rank, estimate_moments])
def test_a_few_calls_in_one_program_are_not_warned_of(call, caplog):
    for _ in range(6):
        call()
    assert not [r for r in caplog.records if "retracing" in r.getMessage()]
