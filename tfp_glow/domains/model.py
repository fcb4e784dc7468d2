"""Domain maps as Keras models."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.config import from_config, to_config
from tfp_glow.core.checks import check_number
from tfp_glow.core.modes import evaluation
from tfp_glow.domains.adversarial import Adversarial
from tfp_glow.domains.batches import (
    check_both_labelled,
    check_pairs,
    check_two,
    is_arrays,
    random_rows,
    unpaired_batches,
)
from tfp_glow.domains.by_class import ByClass
from tfp_glow.domains.correlated import Correlated
from tfp_glow.domains.critic import critic
from tfp_glow.domains.domain_map import DomainMap
from tfp_glow.domains.labelled import Labelled
from tfp_glow.domains.objective import Encoded, Objective
from tfp_glow.domains.paired import Paired
from tfp_glow.domains.side import Side
from tfp_glow.fitting import (
    check_data,
    check_no_class_weight,
    check_weights_reach_the_loss,
    first_of_stream,
)
from tfp_glow.probabilistic_model import ProbabilisticModel

__all__ = ["DomainMapModel"]


@keras.saving.register_keras_serializable("tfp_glow")
class DomainMapModel(ProbabilisticModel):
    """Trains the two flows of a `DomainMap` together, in the way of its tie.

    | tie | `fit` takes | loss, in nats |
    | --- | --- | --- |
    | `Correlated()` | pairs `(x, y)` | -w log p(x) / D_x - log p(y given x) / D_y |
    | `ByClass(n)` | `(x, y), (labels_x, labels_y)` | of each side -w log p(x given c) / D |
    | | | - log p(c given x) |
    | None | `(x, y)` | of each side -w log p(x) / D, and what a critic says of data that were |
    | | | translated to it |

    w is `likelihood_weight` and D the number of values of x or y. Without pairs x and y are as many
    as there are: an epoch goes once through the larger side and repeats the other. A data set
    gives batches `((x, y),)` or `((x, y), labels)`.

    Of flows with a condition, and a tie other than `ByClass`, the second argument of `fit` is that
    condition, or the pair of both sides' conditions where both take one.

    Metrics are `nats_x` and `nats_y`, or `bits_per_dim_x` and `bits_per_dim_y` of `Dequantized`: of
    pairs the latter is of p(y given x), by classes they are those given the class, beside
    `accuracy_x` and `accuracy_y`; without either, `realism_x` and `realism_y` are the probabilities
    that the critics give translated data to be real. `predict(x)` translates.

    Args:
      domain_map: The map.
      likelihood_weight: w above, from 0 on.
      critics: Of a map without a tie, two Keras models of the flows' real numbers x and y to one
        number an example `[N, 1]`; small ones when omitted.
      seed: Seed of the noise, which is saved, and of the weights of critics that are omitted; a
        random one when omitted.
      name: Name of the model.

    Raises:
      TypeError, ValueError: If an argument is of another kind or out of range; if x and y are no
        pairs where the tie needs them, labels are missing, for one side alone or out of range. In
        data sets, which are not read in advance, such labels make the loss NaN, and `fit` raises.

    Example:

        model = DomainMapModel(DomainMap(flow_x, flow_y, tie=ByClass(10)))
        model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        model.fit((images, sounds), (image_labels, sound_labels), batch_size=64, epochs=10)
        sounds = model.domain_map.translate(images)
    """

    def __init__(
        self,
        domain_map: DomainMap,
        *,
        likelihood_weight: float = 1.0,
        critics: tuple[keras.Model, keras.Model] | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        if not isinstance(domain_map, DomainMap):
            raise TypeError(f"domain_map must be a DomainMap. Received: {domain_map!r}.")
        check_number(likelihood_weight, "likelihood_weight", least=0)
        super().__init__(domain_map, seed=seed, name=name)
        self._domain_map = domain_map
        self._likelihood_weight = float(likelihood_weight)
        self.objective = self._objective(critics)
        self._counter = self.objective.densities[0]

    # What callers use.

    @property
    def domain_map(self) -> DomainMap:
        """The map that the model trains."""
        return self._domain_map

    def call(self, inputs, training: bool | None = None):
        """What both sides give of a batch; `inputs` is `((x, y), condition, seed)`."""
        data, condition, seed = inputs
        conditions, seeds = self._conditions(condition), tf.unstack(tfp.random.split_seed(seed, 3))
        with self._density_pass(training):
            x, y = map(_encoded, self._sides, data, conditions, seeds[:2])
            return x, y, self.objective.match(x, y, conditions, seeds[2])

    def initialize(self, x, y, condition=None, *, force: bool = False) -> None:
        """Sets the data-dependent parameters of both sides from a batch."""
        condition_x, condition_y = self._conditions(condition)
        options = {"condition_x": condition_x, "condition_y": condition_y}
        options |= {"force": force, "seed": self._fixed_seed()}
        data = (side.as_data(values) for side, values in zip(self._sides, (x, y), strict=True))
        self._domain_map.initialize(*data, **options)

    def fit(self, x=None, y=None, batch_size=None, *args, validation_data=None, **kwargs):
        """As `keras.Model.fit`; x is the pair of both domains' data, or a data set."""
        given = x
        x, y, batch_size = self._as_batches(x, y, batch_size, shuffle=kwargs.get("shuffle", True))
        if x is not given:
            kwargs["shuffle"] = False  # It is done, of which Keras would warn.
        if validation_data is not None and not isinstance(validation_data, tf.data.Dataset):
            data, target, weights = keras.utils.unpack_x_y_sample_weight(validation_data)
            data, target, _ = self._as_batches(data, target, batch_size, shuffle=False)
            validation_data = keras.utils.pack_x_y_sample_weight(data, target, weights)
        kwargs["validation_data"] = validation_data
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """As `keras.Model.evaluate`; x is the pair of both domains' data, or a data set."""
        x, y, batch_size = self._as_batches(x, y, batch_size, shuffle=False)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """`domain_map.translate(x)`, in batches; equal calls have equal latents that are drawn."""
        if any(side.flow.condition_shape is not None for side in self._sides):
            raise ValueError(
                "predict gives conditions to no flow; call domain_map.translate(x, condition_x=, "
                f"condition_y=). Received: a map {self._domain_map.name} with conditions."
            )
        check_data(x)
        return super().predict(x, *args, **kwargs)

    # What Keras calls.

    def predict_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with evaluation():
            return self._domain_map.translate(self._sides[0].as_data(x), seed=self._fixed_seed())

    def get_config(self) -> dict:
        return {
            "domain_map": keras.saving.serialize_keras_object(self._domain_map),
            "likelihood_weight": self._likelihood_weight,
            "critics": to_config(getattr(self.objective, "critics", None), "critics"),
            "seed": self._seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> DomainMapModel:
        domain_map = keras.saving.deserialize_keras_object(config["domain_map"])
        critics = from_config(config["critics"])
        return cls(**{**config, "domain_map": domain_map, "critics": critics})

    # What `ProbabilisticModel` calls.

    def _before_fit(self, x, y, batch_size):
        if self._domain_map.initialized:
            return x
        if is_arrays(x):
            tie = self._domain_map.tie
            count = max(batch_size or 32, 1 if tie is None else tie.rows_to_start)
            (first_x, first_y), condition = random_rows((x, y), count)
        else:
            batch, x = first_of_stream(x)
            (first_x, first_y), condition, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.initialize(first_x, first_y, self._roles(condition)[0])
        return x

    def _example_losses(self, target, outputs, sample_weight):
        x, y, matched = outputs
        return self.objective.losses(x, y, matched, target, sample_weight)

    def _in_loss_units(self, nats):
        return self._likelihood_weight * nats

    def _roles(self, y) -> tuple:
        return (None, y) if self.objective.takes_labels else (y, None)

    def _check_fit(self, x, y, *, sample_weight=None, class_weight=None) -> None:
        check_no_class_weight(class_weight)
        if self.objective.takes_pairs:
            check_weights_reach_the_loss(y, sample_weight)
            check_pairs(x)

    def _signature(self) -> list:
        raise ValueError(
            "A DomainMapModel has no export: what it is called on is made for training. Save a "
            "tf.Module with a tf.function of model.domain_map.translate by tf.saved_model.save."
        )

    # What is this class's own.

    @property
    def _sides(self) -> tuple[Side, Side]:
        return self._domain_map._x, self._domain_map._y

    def _conditions(self, condition) -> tuple:
        """The conditions of x and y, None for a side that takes none."""
        takes = [side.flow.condition_shape is not None for side in self._sides]
        if all(takes):
            if not isinstance(condition, tuple | list) or len(condition) != 2:
                raise ValueError(
                    "condition must be the pair of what x and what y is conditioned on, since both "
                    f"flows take a condition. Received: {condition!r}."
                )
            return tuple(condition)
        return (condition, None) if takes[0] else (None, condition)

    def _as_batches(self, x, y, batch_size, *, shuffle: bool) -> tuple:
        """Data without pairs, of which either side may be longer, as a data set."""
        check_two(x)
        if not is_arrays(x):
            return x, y, batch_size
        if self.objective.takes_pairs:
            return x, y, batch_size
        if self.objective.takes_labels:
            check_both_labelled(x, y, self._domain_map.tie.num_classes)
            belonging = y
        else:
            belonging = self._conditions(y)
        sides = (
            (data,) if own is None else (data, own) for data, own in zip(x, belonging, strict=True)
        )
        return unpaired_batches(*sides, batch_size=batch_size or 32, shuffle=shuffle), None, None

    def _objective(self, critics) -> Objective:
        tie, weight = self._domain_map.tie, self._likelihood_weight
        if critics is not None and tie is not None:
            raise ValueError(f"critics need a map without a tie. Received: tie={tie!r}.")
        if isinstance(tie, Correlated):
            return Paired(self._domain_map, weight)
        if isinstance(tie, ByClass):
            _check_no_conditions(self._sides)
            return Labelled(self._domain_map, weight)
        if critics is None:
            shapes = [side.distribution.event_shape for side in self._sides]
            critics = [critic(shape, seed=self._seed + i) for i, shape in enumerate(shapes)]
        _check_critics(critics, self._sides)
        return Adversarial(self._domain_map, weight, critics)


def _encoded(side: Side, x, condition, seed) -> Encoded:
    x = side.as_data(x)
    _, tied, log_prob = side.encode_and_log_prob(x, condition, seed)
    return Encoded(side.noisy(x, seed), tied, log_prob)


def _check_no_conditions(sides: tuple[Side, Side]) -> None:
    for side in sides:
        if side.flow.condition_shape is not None:
            raise ValueError(
                f"{side.argument} must take no condition with tie=ByClass(...), whose latents "
                f"carry the class. Received: a condition of shape {side.flow.condition_shape}."
            )


def _check_critics(critics, sides: tuple[Side, Side]) -> None:
    if not isinstance(critics, tuple | list) or len(critics) != 2:
        raise TypeError(f"critics must be two Keras models, of x and of y. Received: {critics!r}.")
    for found, side in zip(critics, sides, strict=True):
        if not isinstance(found, keras.layers.Layer):
            raise TypeError(f"critics must be Keras models. Received: {found!r}.")
        shape = tuple(found(tf.zeros([1, *side.distribution.event_shape], side.flow.dtype)).shape)
        if shape != (1, 1):
            raise ValueError(
                f"critics must give one number an example, [N, 1]. Received: {found.name!r}, which "
                f"gives shape {shape} of one example."
            )
