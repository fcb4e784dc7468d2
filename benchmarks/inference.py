"""Flows as posteriors and as preconditioners, against long runs and closed forms.

    python -m benchmarks.inference

Eight schools: surrogate posteriors beside a long run of NUTS. The funnel and the banana: NeuTra-HMC
beside HMC in the space of the model, equally tuned, by effective samples per gradient.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.common import report
from tfp_glow import Flow, flows, standard_normal
from tfp_glow.inference import (
    Chains,
    diagnose,
    fit_surrogate_posterior,
    neutra,
    surrogate_posterior,
)

tfb, tfd = tfp.bijectors, tfp.distributions
EFFECTS = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
ERRORS = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
NORMAL_95 = 1.6448536269514722
Joint = tfp.experimental.distributions.JointDistributionPinned


def main() -> None:
    """Runs the parts asked for."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for part in options.parts:
        PARTS[part](options)


def eight_schools() -> Joint:
    """mu ~ N(0, 5), tau ~ half-Cauchy(5), eta ~ N(0, 1), theta = mu + tau eta, pinned."""

    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Normal(0.0, 5.0, name="mu")
        tau = yield tfd.HalfCauchy(0.0, 5.0, name="tau")
        eta = yield tfd.Sample(tfd.Normal(0.0, 1.0), 8, name="eta")
        yield tfd.Independent(tfd.Normal(mu + tau * eta, ERRORS), 1, name="y")

    return model.experimental_pin(y=tf.constant(EFFECTS))


def funnel() -> Joint:
    """v ~ N(0, 3), x ~ N(0, exp(v / 2)) in 9 dimensions; what is pinned depends on nothing."""
    model = tfd.JointDistributionNamed(
        {
            "v": tfd.Sample(tfd.Normal(0.0, 3.0), 1),
            "x": lambda v: tfd.Independent(tfd.Normal(tf.zeros(9), tf.exp(v / 2)), 1),
            "nothing": tfd.Normal(0.0, 1.0),
        }
    )
    return model.experimental_pin(nothing=0.0)


def banana() -> Joint:
    """v ~ N(0, 10), x ~ N(0.03 (v^2 - 100), 1); what is pinned depends on nothing."""
    model = tfd.JointDistributionNamed(
        {
            "v": tfd.Sample(tfd.Normal(0.0, 10.0), 1),
            "x": lambda v: tfd.Independent(tfd.Normal(0.03 * (v**2 - 100.0), 1.0), 1),
            "nothing": tfd.Normal(0.0, 1.0),
        }
    )
    return model.experimental_pin(nothing=0.0)


def compare_surrogates(options: argparse.Namespace) -> None:
    """One row a surrogate: bounds, and the worst errors of moments of mu, tau and theta."""
    joint = eight_schools()
    reference = _reference(joint)
    known = moments(reference.samples)
    rows = []
    for name, make in SURROGATES.items():
        surrogate = make(joint, options.seed)
        cpu_seconds = fitted(joint, surrogate, steps=3000, learning_rate=5e-3, seed=options.seed)
        found = diagnose(joint, surrogate, num_samples=50000, seed=options.seed)
        means, deviations = moments(surrogate.sample(200000, seed=options.seed))
        rows.append(
            {
                "surrogate": name,
                "seed": options.seed,
                "elbo": round(found.elbo, 4),
                "importance_bound_100": round(found.importance_bound, 4),
                "pareto_k": found.pareto_k,
                "mean_error": float(np.max(np.abs(means - known[0]) / known[1])),
                "deviation_error": float(np.max(np.abs(deviations - known[1]) / known[1])),
                "fit_cpu_seconds": cpu_seconds,
            }
        )
    report("inference_eight_schools", rows, keys=("surrogate", "seed"))


def compare_chains(options: argparse.Namespace) -> None:
    """One row a target, kernel and number of leapfrog steps; see `chain_figures`."""
    rows = []
    for name, (joint, deviation, arguments) in CHAINS.items():
        target = joint()
        flow = functools.partial(flows.iaf, law="affine_exp", **arguments)
        surrogate = surrogate_posterior(target, flow=flow, seed=options.seed)
        fit_seconds = fitted(target, surrogate, steps=4000, learning_rate=3e-3, seed=options.seed)
        kernels = {"hmc": identity(target, options.seed), "neutra": surrogate}
        for kernel, steps in itertools.product(kernels, options.leapfrog_steps):
            start = time.process_time()
            sampler = neutra(
                target,
                kernels[kernel],
                num_chains=32,
                num_burnin_steps=1000,
                num_leapfrog_steps=steps,
                seed=options.seed,
            )
            row = {"target": name, "kernel": kernel, "leapfrog_steps": steps, "seed": options.seed}
            row |= chain_figures(sampler.sample(4000, seed=options.seed + 1), deviation)
            row["cpu_seconds"] = time.process_time() - start
            row["fit_cpu_seconds"] = fit_seconds if kernel == "neutra" else 0.0
            rows.append(row)
    report("inference_chains", rows, keys=("target", "kernel", "leapfrog_steps", "seed"))


def chain_figures(chains: Chains, deviation: float) -> dict:
    """What a row says of chains whose v is normal with that deviation."""
    sizes = [np.min(size) for size in tf.nest.flatten(chains.effective_sample_size())]
    gradients = float(np.sum(chains.stats["n_steps"]))
    quantiles = np.quantile(chains.samples["v"], [0.05, 0.95]) / (deviation * NORMAL_95)
    return {
        "step_size": float(chains.stats["step_size"][-1, 0]),
        "acceptance": float(np.mean(chains.stats["acceptance_rate"])),
        "divergences": float(np.mean(chains.stats["diverging"])),
        "rhat_v": float(chains.rhat()["v"][0]),
        "least_ess": float(np.min(sizes)),
        "ess_per_1000_gradients": 1e3 * float(np.min(sizes)) / gradients,
        "quantile_5": round(float(-quantiles[0]), 4),
        "quantile_95": round(float(quantiles[1]), 4),
    }


def fitted(joint: Joint, surrogate, *, steps: int, learning_rate: float, seed: int) -> float:
    """Fits a surrogate and returns the CPU seconds."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    start = time.process_time()
    fit_surrogate_posterior(
        joint,
        surrogate,
        optimizer=keras.optimizers.Adam(schedule, clipnorm=10.0),
        num_steps=steps,
        sample_size=128,
        seed=seed,
    )
    return time.process_time() - start


def moments(samples) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of mu, tau and the eight theta."""
    mu, tau = (x.numpy().astype("float64")[..., np.newaxis] for x in (samples.mu, samples.tau))
    values = np.concatenate([mu, tau, mu + tau * samples.eta], -1).reshape(-1, 10)
    return values.mean(0), values.std(0)


def identity(joint: Joint, seed: int):
    """The surrogate through which NeuTra is plain HMC in unconstrained space."""
    size = sum(shape.num_elements() for shape in tf.nest.flatten(joint.event_shape))
    flow = Flow(standard_normal(size), tfb.Identity())
    return surrogate_posterior(joint, flow=flow, seed=seed)


def mean_field(joint: Joint, seed: int):
    """Independent normals in unconstrained space, by TFP."""
    return tfp.experimental.vi.build_factored_surrogate_posterior(
        event_shape=joint.event_shape_tensor(),
        bijector=joint.experimental_default_event_space_bijector(),
        seed=seed,
    )


def full_rank(joint: Joint, seed: int):
    """One normal of any covariance in unconstrained space, by TFP."""
    return tfp.experimental.vi.build_affine_surrogate_posterior(
        event_shape=joint.event_shape_tensor(),
        bijector=joint.experimental_default_event_space_bijector(),
        operators="tril",
        seed=seed,
    )


def _reference(joint: Joint) -> Chains:
    """A long run of NUTS in unconstrained space, whose errors are a tenth of those asked for."""
    sampler = neutra(
        joint,
        identity(joint, 0),
        method="nuts",
        num_chains=100,
        num_burnin_steps=1000,
        target_accept_prob=0.95,
        seed=0,
    )
    chains = sampler.sample(5000, seed=1)
    means, deviations = moments(chains.samples)
    rows = [
        {
            "latent": name,
            "mean": mean,
            "deviation": deviation,
            "ess": float(np.min(getattr(chains.effective_sample_size(), name))),
            "rhat": round(float(np.max(getattr(chains.rhat(), name))), 4),
            "divergences": float(np.mean(chains.stats["diverging"])),
        }
        for name, mean, deviation in zip(("mu", "tau"), means, deviations, strict=False)
    ]
    report("inference_reference", rows, keys=("latent",))
    return chains


def _flow(name: str) -> Callable:
    return lambda joint, seed: surrogate_posterior(joint, flow=name, seed=seed)


SURROGATES = {
    "mean field": mean_field,
    "full rank": full_rank,
    **{name: _flow(name) for name in ("planar", "realnvp", "coupling_spline", "iaf")},
}
CHAINS = {
    "funnel": (funnel, 3.0, {"steps": 3}),
    "banana": (banana, 10.0, {"steps": 2, "activation": "softplus"}),
}
PARTS = {"surrogates": compare_surrogates, "chains": compare_chains}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--leapfrog-steps", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
