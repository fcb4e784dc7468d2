"""A user's script, which mypy reads and nothing runs.

Each `type: ignore` names the error that mypy must find there; it complains where there is none.
"""

from __future__ import annotations

import keras
import numpy as np

import tfp_glow as tg


def train(images: np.ndarray, labels: np.ndarray) -> tg.FlowModel:
    flow: tg.Flow = tg.flows.glow(
        (32, 32, 3), levels=3, steps=8, hidden_channels=64, num_classes=10
    )
    distribution = tg.Dequantized(flow, 256, noise=tg.flows.dequantization_noise((32, 32, 3)))
    model = tg.FlowModel(distribution, loss="likelihood", seed=0)
    model.initialize(images, labels)
    model.compile(keras.optimizers.Adamax(1e-3))
    model.fit(images, labels, batch_size=64, epochs=10)
    return model


def use(flow: tg.Flow, x: np.ndarray) -> None:
    z = flow.encode(x, None)
    back, log_prob = flow.decode_and_log_prob(z)
    samples = flow.sample((3, 2), temperature=0.7, seed=1)
    frames = tg.interpolate(flow, x, x[::-1], steps=5)
    direction = tg.attribute_direction(flow, x[:8], x[8:], batch_size=4)
    moved = tg.manipulate(flow, x, direction, [-1.0, 0.0, 1.0])
    with tg.evaluation(), tg.collected_penalties() as penalties:
        flow.log_prob(x)
    print(back, log_prob, samples, frames, moved, penalties)
    tg.export_saved_model(flow, "saved_model")


def build() -> list[tg.Flow]:
    parts = [tg.flows.linear(2, seed=seed, dtype="float64") for seed in range(2)]
    spline = tg.flows.maf(2, law="spline", condition_size=3, hidden_units=(64, 64))
    own = tg.Flow(tg.standard_normal(2), tg.bijectors.Chain([tg.bijectors.ActNorm(2)]))
    field = tg.flows.ffjord(2, trace="hutchinson", tolerance=1e-4)
    return [*parts, spline, own, field, tg.flows.stack(parts), tg.flows.realnvp((32, 32, 3))]


def classify(x: np.ndarray, y: np.ndarray) -> keras.Model:
    model = tg.classifiers.revnet((32, 32, 3), 10, units=(2, 2, 2), filters=(32, 32, 64, 112))
    model.fit(x, y)
    return model


def wrong(flow: tg.Flow, x: np.ndarray) -> None:
    tg.flows.glow((32, 32, 3), depth=8)  # type: ignore[call-arg]
    tg.flows.glow()  # type: ignore[call-arg]
    tg.flows.maf("2")  # type: ignore[arg-type]
    tg.flows.realnvp(2, steps=None)  # type: ignore[arg-type]
    tg.FlowModel(flow, seeds=1)  # type: ignore[call-arg]
    tg.Dequantized(flow, "256")  # type: ignore[arg-type]
    tg.bijectors.ActNorm(2, dtypes="float32")  # type: ignore[call-arg]
    tg.export_saved_model(flow, path=3)  # type: ignore[arg-type]
    tg.interpolate(flow, x)  # type: ignore[call-arg]
    flow.encode()  # type: ignore[call-arg]
    flow.decode(x, classes=x)  # type: ignore[call-arg]
    tg.bijectors.Invert(flow.bijector).forward_and_log_det()  # type: ignore[call-arg]
    tg.classifiers.revnet((32, 32, 3))  # type: ignore[call-arg]
