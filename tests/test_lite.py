"""Flows of which LiteRT has all operations answer there as they do live."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal, randomize
from tfp_glow import flows


@pytest.mark.slow
@pytest.mark.parametrize("make", [flows.maf, flows.realnvp])
def test_a_converted_density_is_the_live_one(make):
    flow, x = make(3, steps=1, hidden_units=(8,), seed=0), normal([4, 3], "float32")
    flow.initialize(x)
    randomize(flow.bijector)
    spec = tf.TensorSpec(x.shape, tf.float32)
    density = tf.function(flow.log_prob, input_signature=[spec], autograph=False)
    functions = [density.get_concrete_function()]
    content = tf.lite.TFLiteConverter.from_concrete_functions(functions, flow).convert()
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, flow.log_prob(x), rtol=1e-5)
