"""Fits surrogate posteriors to the eight schools and draws them beside a run of NUTS.

python examples/eight_schools.py --output eight_schools.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.figure import Figure

from tfp_glow import Flow, standard_normal
from tfp_glow.app.plots import save_figure
from tfp_glow.inference import diagnose, fit_surrogate_posterior, neutra, surrogate_posterior

tfb, tfd = tfp.bijectors, tfp.distributions
# Effects of coaching on the scores of eight schools, and their standard errors.
EFFECTS = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
ERRORS = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
STEPS, DRAWS = 3000, 20000


@tfd.JointDistributionCoroutineAutoBatched
def model():
    """Schools whose effects theta = mu + tau eta scatter by tau about mu."""
    mu = yield tfd.Normal(0.0, 5.0, name="mu")
    tau = yield tfd.HalfCauchy(0.0, 5.0, name="tau")
    eta = yield tfd.Sample(tfd.Normal(0.0, 1.0), 8, name="eta")
    yield tfd.Independent(tfd.Normal(mu + tau * eta, ERRORS), 1, name="y")


def main() -> None:
    """Prints a diagnosis of each surrogate and draws mu against log tau, and the effects."""
    options = _options()
    pinned = model.experimental_pin(y=tf.constant(EFFECTS))
    surrogates = {
        "mean field": tfp.experimental.vi.build_factored_surrogate_posterior(
            event_shape=pinned.event_shape_tensor(),
            bijector=pinned.experimental_default_event_space_bijector(),
            seed=0,
        ),
        **{name: surrogate_posterior(pinned, flow=name, seed=0) for name in options.flows},
    }
    draws = {}
    for name, surrogate in surrogates.items():
        rate = keras.optimizers.schedules.CosineDecay(5e-3, STEPS)
        optimizer = keras.optimizers.Adam(rate, clipnorm=10.0)
        fit_surrogate_posterior(
            pinned, surrogate, optimizer=optimizer, num_steps=STEPS, sample_size=64, seed=0
        )
        found = diagnose(pinned, surrogate, seed=1)
        print(f"{name:16s} ELBO {found.elbo:.2f} nats, Pareto k {found.pareto_k:.2f}", flush=True)
        draws[name] = surrogate.sample(DRAWS, seed=2)
    draws["NUTS"] = nuts(pinned)
    save_figure(picture(draws), options.output)


def nuts(pinned):
    """Draws of many chains in unconstrained space, as one row."""
    plain = surrogate_posterior(pinned, flow=Flow(standard_normal(10), tfb.Identity()))
    sampler = neutra(pinned, plain, method="nuts", num_chains=40, target_accept_prob=0.95, seed=0)
    samples = sampler.sample(DRAWS // 40, seed=1).samples
    return tf.nest.map_structure(lambda x: tf.reshape(x, [DRAWS, *x.shape[2:]]), samples)


def picture(draws: dict) -> Figure:
    """A column for each posterior: mu against log tau above, the schools' effects below."""
    figure = Figure(figsize=(3 * len(draws), 6), layout="constrained")
    axes = figure.subplots(2, len(draws), sharex="row", sharey="row")
    for column, (name, x) in zip(axes.T, draws.items(), strict=True):
        log_tau = np.log(np.maximum(x.tau, 1e-6))
        column[0].hist2d(x.mu, log_tau, 50, range=[[-8, 16], [-4, 4]], cmap="viridis")
        column[0].set(title=name, xlabel="mu")
        theta = x.mu[:, tf.newaxis] + x.tau[:, tf.newaxis] * x.eta
        low, middle, high = np.quantile(theta, [0.05, 0.5, 0.95], axis=0)
        schools = np.arange(8)
        column[1].errorbar(middle, schools, xerr=[middle - low, high - middle], fmt="o")
        column[1].plot(EFFECTS, schools, "x", color="gray")
        column[1].set(xlabel="effect, 5 to 95 %; x: data")
    axes[0, 0].set_ylabel("log tau")
    axes[1, 0].set_ylabel("school")
    return figure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flows", nargs="+", default=["planar", "coupling_spline", "iaf"])
    parser.add_argument("--output", default="eight_schools.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
