"""Maps between two domains by two flows with one latent space."""

from __future__ import annotations

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core.checks import check_positive_int
from tfp_glow.core.freezing import Freezable
from tfp_glow.core.seeds import stateless_seed
from tfp_glow.core.tracing import as_written
from tfp_glow.denoising import Noised
from tfp_glow.dequantization import Dequantized
from tfp_glow.domains.correlated import Correlated
from tfp_glow.domains.side import Side, check_side
from tfp_glow.domains.tie import Tie
from tfp_glow.flow import Flow
from tfp_glow.noisy_data import NoisyData

__all__ = ["DomainMap"]


@keras.saving.register_keras_serializable("tfp_glow")
class DomainMap(Freezable):
    """A map between the data x and y of two flows, x = g(z) and y = h(z), exact both ways.

        translate:       y = h(g^-1(x))
        translate_back:  x = g(h^-1(y))

    Flows with latents of other sizes meet in a part of them: the last `shared` ones of either side,
    which in image flows are those of the coarsest levels. Those of the target that are not tied,
    its rest, are drawn from their prior, or given. With the rest that `rest_x` keeps, the way back
    is exact:

        y = domain_map.translate(x)
        x = domain_map.translate_back(y, rest=domain_map.rest_x(x))

    What holds the two domains together is learned by `DomainMapModel`, in the way of the `tie`.

    Integers of `Dequantized` are encoded from the centers of their bins and rounded where they are
    generated, so that they come back only as exactly as that. `continuous` is the map of the real
    numbers beneath.

    Args:
      flow_x: A `Flow` over x with standard normal latents, or `Dequantized` or `Noised` of one.
      flow_y: The same over y.
      shared: Number of latents that are tied; as many as there are on the smaller side, when
        omitted.
      tie: `Correlated()` for pairs (x, y), `ByClass(num_classes)` for labelled data without pairs;
        None for equal latents, whatever trained them. Maps that are given the same tie share it.
      name: Name of the module.

    Raises:
      TypeError: If a side is no such flow, or `tie` is none of these.
      ValueError: If the latents cannot meet: a base that is not standard normal, other dtypes, or
        more shared latents than a side has.

    Example:

        flow_x, flow_y = (tg.flows.glow((8, 8, 1), levels=2, seed=0) for _ in range(2))
        domain_map = DomainMap(flow_x, flow_y, tie=Correlated())
        model = DomainMapModel(domain_map)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit((x, y), epochs=20)
        y = domain_map.translate(x)

    References:
      Grover, Chute, Shu, Cao and Ermon, "AlignFlow: Cycle Consistent Learning from Multiple
      Domains via Normalizing Flows", arXiv:1905.12892.
    """

    def __init__(
        self,
        flow_x: Flow | Dequantized | Noised,
        flow_y: Flow | Dequantized | Noised,
        *,
        shared: int | None = None,
        tie: Tie | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name or "domain_map")
        check_side(flow_x, "flow_x")
        check_side(flow_y, "flow_y")
        if tie is not None and not isinstance(tie, Tie):
            raise TypeError(f"tie must be Correlated(), ByClass(...) or None. Received: {tie!r}.")
        shared = _checked_size(shared, flow_x, flow_y)
        self._x, self._y = Side(flow_x, "flow_x", shared), Side(flow_y, "flow_y", shared)
        _check_dtypes(self._x.flow, self._y.flow)
        # Where tf.Module looks for variables, which is not in the sides.
        self._flow_x, self._flow_y, self._tie = flow_x, flow_y, tie
        if tie is not None:
            tie.build(shared, self._x.flow.dtype)

    @property
    def flow_x(self) -> Flow | Dequantized | Noised:
        """The distribution of x."""
        return self._flow_x

    @property
    def flow_y(self) -> Flow | Dequantized | Noised:
        """The distribution of y."""
        return self._flow_y

    @property
    def shared(self) -> int:
        """Number of latents that are tied."""
        return self._x.shared

    @property
    def tie(self) -> Tie | None:
        """What holds the tied latents together, None where they are equal."""
        return self._tie

    @property
    def continuous(self) -> DomainMap:
        """The same map between the flows' real numbers; it has the same variables."""
        flows = self._x.flow, self._y.flow
        return DomainMap(*flows, shared=self.shared, tie=self._tie, name=self.name)

    @property
    def initialized(self) -> bool:
        """Whether data-dependent initialization has run on both sides, and of the tie."""
        parts = (self._flow_x, self._flow_y, *([] if self._tie is None else [self._tie]))
        return all(part.initialized for part in parts)

    def initialize(
        self, x, y, *, condition_x=None, condition_y=None, force: bool = False, seed=None
    ) -> None:
        """Initializes each side and the tie from a batch, unless they are already.

        See `Flow.initialize`; the seed is that of the sides' noise. The rows of x and y must be
        pairs for `Correlated()`.
        """
        seeds = tfp.random.split_seed(stateless_seed(seed), salt="initialize")
        for flow, data, condition, its_seed in (
            (self._flow_x, x, condition_x, seeds[0]),
            (self._flow_y, y, condition_y, seeds[1]),
        ):
            if force or not flow.initialized:
                noise = {"seed": its_seed} if isinstance(flow, NoisyData) else {}
                flow.initialize(data, condition, force=force, **noise)
        if self._tie is not None and (force or not self._tie.initialized):
            _, z_x = self._x.encode(x, condition_x)
            _, z_y = self._y.encode(y, condition_y)
            self._tie.initialize(z_x, z_y)

    @as_written
    def translate(
        self, x, *, condition_x=None, condition_y=None, rest=None, temperature=1.0, seed=None
    ):
        """Maps x to y.

        Args:
          x: `[..., *event_x]`.
          condition_x: What x is conditioned on, where its flow takes a condition.
          condition_y: The same of y.
          rest: The latents of y that are not tied, `[..., size_y - shared]`; drawn when omitted.
          temperature: Factor of those that are drawn.
          seed: Their seed.

        Returns:
          y, `[..., *event_y]`.

        Raises:
          ValueError, TypeError: If an argument has another shape or dtype, or is out of its range.
        """
        conditions = (condition_x, condition_y)
        return self._carried(self._x, self._y, x, conditions, rest, temperature, seed)

    @as_written
    def translate_back(
        self, y, *, condition_x=None, condition_y=None, rest=None, temperature=1.0, seed=None
    ):
        """Maps y to x; as `translate`, with `rest` of x."""
        conditions = (condition_y, condition_x)
        return self._carried(self._y, self._x, y, conditions, rest, temperature, seed)

    @as_written
    def rest_x(self, x, condition=None):
        """The latents of x that `translate` does not carry over, `[..., size_x - shared]`."""
        return self._x.encode(x, condition)[0]

    @as_written
    def rest_y(self, y, condition=None):
        """The latents of y that `translate_back` does not carry over."""
        return self._y.encode(y, condition)[0]

    @as_written
    def conditional_log_prob(self, y, x, *, condition_x=None, condition_y=None, seed=None):
        """log p(y given x) `[...]` in nats, of a map with the tie `Correlated()`.

        Args:
          y: `[..., *event_y]`.
          x: `[..., *event_x]`.
          condition_x: What x is conditioned on, where its flow takes a condition.
          condition_y: The same of y.
          seed: Seed of the noise of `Dequantized` and `Noised` data.

        Raises:
          ValueError: If the map has another tie.
        """
        self._check_correlated("conditional_log_prob")
        # Noise of its own for either side.
        seeds = tf.unstack(tfp.random.split_seed(tfp.random.sanitize_seed(stateless_seed(seed))))
        _, z_x, _ = self._x.encode_and_log_prob(x, condition_x, seeds[0])
        _, z_y, log_prob = self._y.encode_and_log_prob(y, condition_y, seeds[1])
        return log_prob + self._tie.log_ratio(z_x, z_y)

    @as_written
    def sample_given(self, x, *, condition_x=None, condition_y=None, temperature=1.0, seed=None):
        """Draws y from p(y given x), one for each x, of a map with the tie `Correlated()`.

        A temperature of 0 takes the mean of y's latents given x, without what x does not tell of
        y; `translate` carries all of x over, so that it can be undone.

        Args:
          x: `[..., *event_x]`.
          condition_x: What x is conditioned on, where its flow takes a condition.
          condition_y: The same of y.
          temperature: Factor of the noise of y's latents.
          seed: Its seed.

        Raises:
          ValueError: If the map has another tie.
        """
        self._check_correlated("sample_given")
        _, z_x = self._x.encode(x, condition_x)
        rest, noise = self._y.sample(tf.shape(z_x)[:-1], temperature, seed)
        mean, deviation = self._tie.conditional(z_x)
        return self._y.data(self._y.decode(rest, mean + deviation * noise, condition_y))

    def get_config(self) -> dict:
        tie = None if self._tie is None else keras.saving.serialize_keras_object(self._tie)
        return {
            "flow_x": to_config(self._flow_x, "flow_x"),
            "flow_y": to_config(self._flow_y, "flow_y"),
            "shared": self.shared,
            "tie": tie,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> DomainMap:
        flows = {side: from_config(config[side]) for side in ("flow_x", "flow_y")}
        tie = config["tie"]
        if tie is not None:
            tie = keras.saving.deserialize_keras_object(tie)
        return cls(**{**config, **flows, "tie": tie})

    def _carried(self, source: Side, target: Side, data, conditions, rest, temperature, seed):
        _, z = source.encode(data, conditions[0])
        if self._tie is not None:
            z = self._tie.carry(z) if source is self._x else self._tie.carry_back(z)
        if rest is None:
            rest, _ = target.sample(tf.shape(z)[:-1], temperature, seed)
        else:
            rest = target.checked_rest(rest)
        return target.data(target.decode(rest, z, conditions[1]))

    def _check_correlated(self, method: str) -> None:
        if not isinstance(self._tie, Correlated):
            raise ValueError(
                f"{method} needs a map with tie=Correlated(), which has a density of y given x. "
                f"Received: tie={self._tie!r}."
            )


def _checked_size(shared, flow_x, flow_y) -> int:
    sizes = [
        math.prod(Side(flow, argument, 0).flow.distribution.event_shape)
        for flow, argument in ((flow_x, "flow_x"), (flow_y, "flow_y"))
    ]
    if shared is None:
        return min(sizes)
    if check_positive_int(shared, "shared") > min(sizes):
        raise ValueError(
            f"shared must be at most {min(sizes)}, the latents of the smaller side. "
            f"Received: {shared}, with {sizes[0]} latents of x and {sizes[1]} of y."
        )
    return int(shared)


def _check_dtypes(flow_x: Flow, flow_y: Flow) -> None:
    if flow_x.dtype != flow_y.dtype:
        raise ValueError(
            "flow_x and flow_y must have one dtype. "
            f"Received: {flow_x.dtype.name} and {flow_y.dtype.name}."
        )
