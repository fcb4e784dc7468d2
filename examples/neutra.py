"""Runs HMC on Neal's funnel, by itself and through a flow, and draws what each finds.

python examples/neutra.py --output neutra.png
"""

from __future__ import annotations

import argparse
import functools

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.figure import Figure

from tfp_glow import Flow, flows, standard_normal
from tfp_glow.app.plots import save_figure
from tfp_glow.inference import Chains, fit_surrogate_posterior, neutra, surrogate_posterior

tfb, tfd = tfp.bijectors, tfp.distributions
SIZE, STEPS = 10, 4000


def funnel():
    """v ~ N(0, 3), and nine x ~ N(0, exp(v / 2)); what is pinned depends on nothing."""
    model = tfd.JointDistributionNamed(
        {
            "v": tfd.Sample(tfd.Normal(0.0, 3.0), 1),
            "x": lambda v: tfd.Independent(tfd.Normal(tf.zeros(SIZE - 1), tf.exp(v / 2)), 1),
            "nothing": tfd.Normal(0.0, 1.0),
        }
    )
    return model.experimental_pin(nothing=0.0)


def main() -> None:
    """Fits the flow, runs both kernels and draws their chains."""
    options = _options()
    joint = funnel()
    flow = functools.partial(flows.iaf, steps=3, law="affine_exp")
    fitted = surrogate_posterior(joint, flow=flow, seed=0)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, STEPS)
    optimizer = keras.optimizers.Adam(rate, clipnorm=10.0)
    fit_surrogate_posterior(
        joint, fitted, optimizer=optimizer, num_steps=STEPS, sample_size=128, seed=0
    )
    plain = surrogate_posterior(joint, flow=Flow(standard_normal(SIZE), tfb.Identity()))
    rows = {}
    for name, surrogate in {"HMC": plain, "NeuTra-HMC": fitted}.items():
        chains = neutra(joint, surrogate, num_chains=16, seed=0).sample(1000, seed=1)
        size, rhat = chains.effective_sample_size()["v"], chains.rhat()["v"]
        print(f"{name:12s} effective samples of v {size[0]:.0f}, R-hat {rhat[0]:.3f}", flush=True)
        rows[name] = chains
    save_figure(picture(rows), options.output)


def picture(rows: dict[str, Chains]) -> Figure:
    """A row for each kernel: v against an x, a chain's v, and all v beside the truth."""
    figure = Figure(figsize=(12, 3 * len(rows)), layout="constrained")
    values = np.linspace(-12, 12, 200)
    for (scatter, trace, marginal), (name, chains) in zip(
        figure.subplots(len(rows), 3), rows.items(), strict=True
    ):
        v, x = (chains.samples[part].numpy()[..., 0] for part in ("v", "x"))
        scatter.plot(x.ravel(), v.ravel(), ",")
        scatter.set(xlim=(-30, 30), ylim=(-12, 12), xlabel="x", ylabel="v", title=name)
        trace.plot(v[:, 0], linewidth=0.7)
        trace.set(ylim=(-12, 12), xlabel="draw of one chain", ylabel="v")
        marginal.hist(v.ravel(), 80, range=(-12, 12), density=True)
        marginal.plot(values, tfd.Normal(0.0, 3.0).prob(values.astype("float32")), "k")
        marginal.set(xlabel="v; line: the truth")
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="neutra.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
