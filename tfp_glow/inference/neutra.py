"""NeuTra: Markov chains in the space where a flow makes the posterior simple."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.core.checks import check_bool, check_choice, check_number, check_positive_int
from tfp_glow.core.compat import innermost
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.inference.chains import Chains
from tfp_glow.inference.surrogate_posterior import SurrogatePosterior
from tfp_glow.inference.target import check_finite, check_structure
from tfp_glow.inference.unconstrained import Joint, check_pinned

__all__ = ["Neutra", "neutra"]

# Energy errors beyond which NUTS and Stan call a trajectory divergent.
_DIVERGENCE = 1000.0


@dataclasses.dataclass(frozen=True)
class Neutra:
    """A kernel over unconstrained vectors and where its chains begin; `neutra` makes it.

    Attributes:
      kernel: A `tfp.mcmc.TransformedTransitionKernel` through the flow, as `tfp.mcmc.sample_chain`
        takes it; `surrogate.bijector.forward` takes its states to the joint's structure.
      initial_state: `[chains, size]`, draws of the surrogate's flow.
      joint: The pinned joint distribution.
      surrogate: The surrogate posterior.
      num_burnin_steps: Steps of each chain before its draws, in the first 4/5 of which
        the step size adapts.
    """

    kernel: tfp.mcmc.TransitionKernel
    initial_state: tf.Tensor
    joint: Joint
    surrogate: SurrogatePosterior
    num_burnin_steps: int

    def sample(
        self, num_results: int = 1000, *, seed: int | None = None, jit_compile: bool = False
    ) -> Chains:
        """Runs the chains and returns their draws after the burn-in.

        Args:
          num_results: Draws of each chain.
          seed: Seed of the chains, an int or a pair of ints.
          jit_compile: Whether XLA compiles them.

        Raises:
          ValueError, TypeError: If an argument is out of its range.
        """
        check_positive_int(num_results, "num_results")
        check_bool(jit_compile, "jit_compile")

        @tf.function(autograph=False, jit_compile=jit_compile)
        def run(state, results, seed):
            return tfp.mcmc.sample_chain(
                num_results,
                state,
                previous_kernel_results=results,
                kernel=self.kernel,
                num_burnin_steps=self.num_burnin_steps,
                trace_fn=lambda _, results: _stats(results),
                seed=seed,
            )

        # Eager, where the flow remembers the latents of its own samples.
        results = self.kernel.bootstrap_results(self.initial_state)
        seed = tfp.random.sanitize_seed(stateless_seed(seed))
        states, stats = run(self.initial_state, results, seed)
        return Chains(self.joint, self.surrogate.bijector.forward(states), stats)


def neutra(
    joint: Joint,
    surrogate: SurrogatePosterior,
    *,
    method: Literal["hmc", "nuts"] = "hmc",
    num_chains: int = 8,
    num_burnin_steps: int = 500,
    num_leapfrog_steps: int = 4,
    step_size: float = 0.1,
    target_accept_prob: float = 0.8,
    seed: int | None = None,
) -> Neutra:
    """Hamiltonian Monte Carlo of the latents z of a surrogate posterior's flow.

        log p(z) = log p(x, data) + log|det dx/dz|,   x = bijector.forward(flow.decode(z))

    The better the surrogate fits, the closer p(z) is to the standard normal, for which HMC
    is made; the chains are exact however well it fits. Each gradient is one pass of the flow's
    networks and one back. Flows that generate in one pass suit it: IAF, couplings, planar.

    A surrogate over the identity, `Flow(standard_normal(size), tfb.Identity())`, gives plain HMC
    in unconstrained space.

    Args:
      joint: A joint distribution pinned at its data.
      surrogate: What `surrogate_posterior` made of it, after its fit; not amortized.
      method: `"hmc"` or `"nuts"`.
      num_chains: Number of chains, which run as one batch.
      num_burnin_steps: Steps of each chain before its draws; in the first 4/5 of them dual
        averaging adapts the step size, which all chains share.
      num_leapfrog_steps: Gradients of an HMC step. In a standard normal, trajectories whose length,
        that number times the step size, is near a multiple of pi come back to z or -z.
      step_size: The first step size.
      target_accept_prob: The mean acceptance probability that the step size is adapted to.
      seed: Seed of the initial state, an int or a pair of ints.

    Returns:
      The kernel, its initial state, and a method `sample` that runs them.

    Raises:
      TypeError: If an argument is of another type, or the surrogate is amortized.
      ValueError: If an argument is out of its range, the surrogate's structure is not the
        joint's, or the joint's density is not finite where the surrogate draws.

    Example:

        chains = neutra(pinned, surrogate, method="nuts", seed=0).sample(1000, seed=1)
        chains.samples.tau, chains.rhat().tau

    References:
      Hoffman, Sountsov, Dillon, Langmore, Tran and Vasudevan, "NeuTra-lizing Bad Geometry in
      Hamiltonian Monte Carlo Using Neural Transport", arXiv:1903.03704.
      Parno and Marzouk, "Transport map accelerated Markov chain Monte Carlo", arXiv:1412.5492.
    """
    _check_surrogate(check_pinned(joint), surrogate)
    check_choice(method, ("hmc", "nuts"), "method")
    check_positive_int(num_chains, "num_chains")
    check_positive_int(num_burnin_steps, "num_burnin_steps")
    check_positive_int(num_leapfrog_steps, "num_leapfrog_steps")
    check_number(step_size, "step_size", above=0)
    check_number(target_accept_prob, "target_accept_prob", above=0, below=1)
    state = surrogate.flow.sample(num_chains, seed=stateless_seed(seed))
    check_finite(joint, surrogate.bijector.forward(state))
    options = {
        "target_log_prob_fn": _unconstrained_log_prob(joint, surrogate),
        "step_size": tf.constant(step_size, state.dtype),
    }
    kernel = (
        tfp.mcmc.NoUTurnSampler(**options)
        if method == "nuts"
        else tfp.mcmc.HamiltonianMonteCarlo(**options, num_leapfrog_steps=num_leapfrog_steps)
    )
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
        kernel, int(0.8 * num_burnin_steps), target_accept_prob=target_accept_prob
    )
    kernel = tfp.mcmc.TransformedTransitionKernel(kernel, surrogate.flow.bijector)
    return Neutra(kernel, state, joint, surrogate, num_burnin_steps)


def _unconstrained_log_prob(joint: Joint, surrogate: SurrogatePosterior):
    def log_prob(u):
        x = surrogate.bijector.forward(u)
        log_det = surrogate.bijector.forward_log_det_jacobian(u, event_ndims=1)
        return joint.unnormalized_log_prob(x) + log_det

    return log_prob


def _stats(results) -> dict[str, tf.Tensor]:
    """What `Chains.stats` holds, of one step of either kernel."""

    def either(of_nuts: str, of_hmc):
        found = innermost(results, of_nuts, default=None)
        return of_hmc() if found is None else found

    log_ratio = innermost(results, "log_accept_ratio")
    stats = {
        "lp": innermost(results, "target_log_prob"),
        "acceptance_rate": tf.exp(tf.minimum(log_ratio, 0.0)),
        "step_size": innermost(results, "step_size"),
        "n_steps": either("leapfrogs_taken", lambda: innermost(results, "num_leapfrog_steps")),
        "diverging": either("has_divergence", lambda: ~(log_ratio > -_DIVERGENCE)),
    }
    # Those that the chains share have no dimension of their own.
    return {name: tf.broadcast_to(x, log_ratio.shape) for name, x in stats.items()}


def _check_surrogate(joint: Joint, surrogate) -> None:
    if not isinstance(surrogate, SurrogatePosterior):
        raise TypeError(f"surrogate must be a SurrogatePosterior. Received: {surrogate!r}.")
    if surrogate.is_amortized:
        raise TypeError(
            f"surrogate must not be amortized: fit one at the data. Received: {surrogate!r}."
        )
    check_structure(joint, surrogate)
