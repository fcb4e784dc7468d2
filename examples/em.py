"""Fits a mixture to curved clusters by EM: with Gaussian components, and with flows.

python examples/em.py --output em.png
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.cluster import KMeans

from tfp_glow import flows
from tfp_glow.app.plots import require_matplotlib, save_figure
from tfp_glow.inference import expectation_maximization

tfd = tfp.distributions
COMPONENTS, LIMIT = 5, 3.5
COMPONENT = {
    "Gaussians": flows.linear,
    "flows": lambda size, **kwargs: flows.maf(size, steps=2, hidden_units=(16,), **kwargs),
}


def main() -> None:
    """Draws a column a kind of component: responsibilities, density, and likelihood by step."""
    options = _options()
    x = pinwheel(120, np.random.default_rng(0))
    figure = require_matplotlib().Figure(figsize=(12, 4), dpi=100, layout="constrained")
    *maps, curve = figure.subplots(1, 3)
    for axes, (label, component) in zip(maps, COMPONENT.items(), strict=True):
        mixture = started_apart(component, x)
        history = expectation_maximization(mixture, x, num_steps=options.steps)
        print(f"mixture of {label}: {history[0]:.3f} -> {history[-1]:.3f} nats", flush=True)
        draw(axes, mixture, x)
        axes.set_title(f"{COMPONENTS} {label}: {history[-1]:.2f} nats")
        curve.plot(history, marker=".", label=label)
    curve.set(xlabel="step of EM", ylabel="mean log-likelihood, nats", title="it never falls")
    curve.legend()
    save_figure(figure, options.output)


def pinwheel(count: int, generator: np.random.Generator) -> np.ndarray:
    """Curved arms around the origin, `[count * COMPONENTS, 2]`."""
    arm = generator.normal([1.5, 0.0], [0.5, 0.12], (COMPONENTS, count, 2))
    start = 2 * np.pi * np.arange(COMPONENTS) / COMPONENTS
    angle = start[:, None] + 0.9 * arm[..., 0]
    c, s = np.cos(angle), np.sin(angle)
    turned = [c * arm[..., 0] - s * arm[..., 1], s * arm[..., 0] + c * arm[..., 1]]
    return np.stack(turned, -1).reshape(-1, 2)


def started_apart(component, x: np.ndarray) -> tfd.MixtureSameFamily:
    """A mixture whose components are initialized from the clusters that k-means finds."""
    cluster = KMeans(COMPONENTS, n_init=10, random_state=0).fit_predict(x)
    parts = [component(2, seed=seed, dtype="float64") for seed in range(COMPONENTS)]
    for index, flow in enumerate(parts):
        flow.initialize(x[cluster == index])
    logits = tf.Variable(tf.zeros(COMPONENTS, tf.float64))
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), flows.stack(parts))


def draw(axes, mixture: tfd.MixtureSameFamily, x: np.ndarray) -> None:
    """The density, and the data in the colors of their components."""
    axis = np.linspace(-LIMIT, LIMIT, 200)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    density = np.exp(mixture.log_prob(grid)).reshape(200, 200)
    axes.imshow(density, extent=[-LIMIT, LIMIT] * 2, origin="lower", cmap="Greys", vmax=0.25)
    shares = mixture.posterior_marginal(x).probs_parameter().numpy()
    axes.scatter(*x.T, c=shares.argmax(-1), cmap="tab10", vmax=9, s=4)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--output", default="em.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
