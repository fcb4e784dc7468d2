"""Variational autoencoders of MNIST: with normal latents, and with flows as posterior and prior.

    python examples/vae.py mnist.npz --output vae.png

The flows are an inverse autoregressive posterior and a RealNVP prior. The file holds `x_train` and
`x_test` as Keras has them; pixels are made 0 or 1. The picture shows test images, what the latents
of both models keep of them, and images of latents drawn from the prior, in means of p(x|z).
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

from tfp_glow import VAE, Flow, flows
from tfp_glow.app.plots import image_grid, save_figure

LATENTS, HIDDEN, COLUMNS = 40, 300, 16


def main() -> None:
    """Trains both and draws."""
    options = _options()
    with np.load(options.data) as file:
        train, test = ((file[f"x_{part}"] > 127).reshape(-1, 784) for part in ("train", "test"))
    iaf = flows.iaf(LATENTS, hidden_units=(HIDDEN,), condition_size=HIDDEN, seed=0)
    latents = {
        "normal": (flows.gaussian(LATENTS, condition_size=HIDDEN, seed=0), None),
        "flows": (
            flows.gaussian_base(iaf, seed=0),
            flows.realnvp(LATENTS, marginal_bins=None, seed=0),
        ),
    }
    rows, found = {"x": test[:COLUMNS]}, []
    for name, (posterior, prior) in latents.items():
        model = trained(posterior, prior, train, options.epochs)
        nats = model.evaluate(test, batch_size=500, verbose=0, return_dict=True)["nats"]
        log_prob = model.importance_weighted_bound(test[:100], 1000)
        found.append(f"{name} {nats:.1f}")
        print(f"{name}: -ELBO {nats:.2f} nats, -log p of 100 images {-log_prob.mean():.2f}")
        rows[f"{name}, decoded"] = model.reconstruct(test[:COLUMNS])
        rows[f"{name}, drawn"] = model.decode(model.prior.sample(COLUMNS, seed=0))
    images = [np.reshape(row, [-1, 28, 28, 1]) for row in rows.values()]
    title = f"Minus the bound of the test images in nats: {', '.join(found)}"
    save_figure(image_grid(images, num_bins=2, row_labels=list(rows), title=title), options.output)


def trained(posterior: Flow, prior: Flow | None, images: np.ndarray, epochs: int) -> VAE:
    """A model with one hidden layer of encoder and decoder, and those latents."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    encoder = keras.Sequential([keras.Input([784]), dense(HIDDEN, "relu")])
    decoder = keras.Sequential([keras.Input([LATENTS]), dense(HIDDEN, "relu"), dense(784)])
    steps = epochs * (len(images) // 100)
    options = {"posterior": posterior, "prior": prior, "warmup_steps": steps // 4}
    model = VAE(encoder, decoder, seed=0, **options)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    model.fit(images, batch_size=100, epochs=epochs, verbose=2)
    return model


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="An .npz file of grey images of 28x28 pixels.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", default="vae.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
