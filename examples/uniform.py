"""A flow as a cumulative distribution function: z = F(x) is uniform.

With the uniform distribution on a square as its base, an autoregressive flow is the map
x -> (F(x_1), F(x_2 | x_1)).

    python examples/uniform.py --output uniform.png
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow_probability as tfp
from densities import trained
from targets import TARGETS

from tfp_glow import Flow, flows
from tfp_glow.app.density_plots import scatter_pair
from tfp_glow.app.plots import save_figure
from tfp_glow.bijectors import Chain

tfb, tfd = tfp.bijectors, tfp.distributions


def main() -> None:
    """Draws the data and where the flow puts them."""
    options = _options()
    generator = np.random.default_rng(0)
    draw = TARGETS[options.target]
    train, test = (draw(count, generator).astype("float32") for count in (20000, 4000))
    flow = cdf_flow()
    trained(flow, train, options.epochs)
    z = flow.encode(test).numpy()
    print(f"mean {z.mean(0)}, variance {z.var(0)}; of the uniform: 0.5, {1 / 12:.4f}")
    figure = scatter_pair(test, z, titles=(options.target, "z = F(x)"), colors=np.arctan2(*test.T))
    save_figure(figure, options.output)


def cdf_flow() -> Flow:
    """A spline MAF whose normal latents go through the normal distribution function."""
    maf = flows.maf(2, steps=3, hidden_units=(128, 128), law="spline", seed=0)
    to_uniform = tfb.Invert(tfb.NormalCDF())
    uniform = tfd.Sample(tfd.Uniform(0.0, 1.0), 2)
    return Flow(uniform, Chain([maf.bijector, to_uniform]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, default="two moons")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", default="uniform.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
