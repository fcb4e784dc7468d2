"""What makes a value and its log-det, or a sample and its density, one evaluation of the networks.

TFP asks for the two in separate calls. A bijector therefore remembers its passes, on the tensors
that went in and came out, and answers from memory where a new pass could only give the same:

- the input is that very tensor, or the output when the other direction is asked for;
- what the pass depends on beside it is as it was, a `Moment`: the values of all variables, the
  modes, and in a graph that no operation that may write to a variable has come in since;
- every tape that would record a new pass has recorded the old one.

A cache that lives inside one public call would be simpler, but the calls of a stock distribution on
its bijector, and a sample and its later density, are several. TFP's own cache asks for the first of
the three alone. Since a bijector's hash changes with its moment, composites of TFP's around
it, which keep their cache under that hash, forget with it too.

A memory is as old as its output: what came out holds what went in, not the other way round, since
eager tensors that hold each other are never freed.
"""

from __future__ import annotations

import dataclasses
import itertools
import weakref

import keras
import tensorflow as tf

from tfp_glow.core import modes
from tfp_glow.core.compat import anything_records, may_have_written, tapes_watching
from tfp_glow.core.guard import guarded
from tfp_glow.core.passes import FORWARD, INVERSE, Pass

__all__ = ["Memory", "current_moment"]

# Attributes of tensors: the pass that made it, and a weak reference to one that began with it.
_MADE_BY, _BEGAN = "_tfp_glow_made_by", "_tfp_glow_began"
_numbers = itertools.count()


class Moment:
    """What a bijector's passes depend on beside their arguments, as it is now.

    The values of variables are kept, not copied: TensorFlow copies a buffer before it
    writes to one that is still in use.
    """

    def __init__(self, bijector):
        self.number = next(_numbers)
        self._modes = modes.current()
        self._values = _values(bijector)
        self._graph, self._operations = None, 0
        if not tf.executing_eagerly():
            self._graph = weakref.ref(tf.compat.v1.get_default_graph())
            self.end_of_pass()

    def lasts(self, bijector) -> bool:
        """Whether a pass now would be one of this moment."""
        if modes.current() is not self._modes or not self._in_its_graph():
            return False
        now = _values(bijector)
        return len(now) == len(self._values) and all(map(_same, self._values, now))

    def end_of_pass(self) -> None:
        """What a pass itself adds to a graph, such as assertions, does not end its moment."""
        if self._graph is not None:
            self._operations = len(tf.compat.v1.get_default_graph().get_operations())

    def _in_its_graph(self) -> bool:
        if tf.executing_eagerly() or self._graph is None:
            return tf.executing_eagerly() and self._graph is None
        graph = tf.compat.v1.get_default_graph()
        return graph is self._graph() and not may_have_written(graph, self._operations)


def current_moment(bijector) -> Moment:
    """The bijector's moment: the last one as long as it lasts and something remembers it."""
    last = bijector._last_moment and bijector._last_moment()
    if last is not None and last.lasts(bijector):
        return last
    moment = Moment(bijector)
    bijector.__dict__["_last_moment"] = weakref.ref(moment)
    return moment


@dataclasses.dataclass(eq=False, weakref_slot=True, slots=True)
class _Remembered:
    """One pass; its output owns it."""

    moment: Moment
    direction: Pass
    given: tf.Tensor
    condition: tf.Tensor | None
    output: weakref.ref
    log_det: tf.Tensor

    def answer(self, direction: Pass, value, condition):
        """What the pass in that direction gives at that value, None where this is another pass."""
        if condition is not self.condition:
            return None
        if direction is self.direction and value is self.given:
            output = self.output()
            return None if output is None else (output, self.log_det)
        if direction is self.direction.opposite and value is self.output():
            return self.given, -self.log_det
        return None

    def is_on_the_tapes(self, bijector) -> bool:
        """Whether a new pass would add nothing to what the tapes in force have recorded."""
        would_record = _tapes_of_a_new_pass(bijector, self.given, self.output(), self.condition)
        # The log-det stands for the pass: nobody watches it, as they may watch the two ends.
        return would_record == 0 or (would_record == 1 and tapes_watching([self.log_det]) == 1)


class Memory:
    """In the place of TFP's cache: `bijector._cache`, of which TFP calls the four methods below."""

    def __init__(self, bijector=None):
        self._bijector = bijector

    def __get__(self, bijector, owner=None) -> Memory:
        return Memory(bijector)

    def forward(self, z, **kwargs):
        return self.run(FORWARD, z, **kwargs)[0]

    def inverse(self, x, **kwargs):
        return self.run(INVERSE, x, **kwargs)[0]

    def forward_attributes(self, z, **kwargs) -> dict:
        return {"ildj": -self.run(FORWARD, z, **kwargs)[1]}

    def inverse_attributes(self, x, **kwargs) -> dict:
        return {"ildj": self.run(INVERSE, x, **kwargs)[1]}

    def run(self, direction: Pass, value, condition=None):
        """The pass in a direction, remembered or new."""
        bijector = self._bijector
        remembered = self._recall(direction, value, condition)
        if remembered is not None:
            return remembered
        checked = bijector._checked(direction, value, condition)
        moment = current_moment(bijector)
        output, log_det = guarded(direction, bijector, value, checked)
        if output is value:
            output = tf.identity(output)  # A tensor must not own itself.
        if _can_be_recalled(bijector, condition):
            moment.end_of_pass()
            pass_ = _Remembered(moment, direction, value, condition, weakref.ref(output), log_det)
            setattr(output, _MADE_BY, pass_)
            setattr(value, _BEGAN, weakref.ref(pass_))
        return output, log_det

    def _recall(self, direction: Pass, value, condition):
        for pass_ in _passes_at(value):
            answer = pass_.answer(direction, value, condition)
            if (
                answer is not None
                and pass_.moment is current_moment(self._bijector)
                and pass_.is_on_the_tapes(self._bijector)
            ):
                return answer
        return None


def _can_be_recalled(bijector, condition) -> bool:
    """Whether changes can be told later, as those of arrays and in functions cannot."""
    known = condition is None or tf.is_tensor(condition)
    return known and not (bijector.is_opaque and tf.executing_eagerly())


def _passes_at(tensor) -> list[_Remembered]:
    began = getattr(tensor, _BEGAN, None)
    found = (began and began(), getattr(tensor, _MADE_BY, None))
    return [pass_ for pass_ in found if pass_ is not None]


def _values(bijector) -> list:
    """What the variables hold: in a graph None, where reading would add to it."""
    return [_value(variable) for variable in bijector.all_variables()]


def _value(variable: keras.Variable | tf.Variable):
    held = variable.value if isinstance(variable, keras.Variable) else variable
    if not isinstance(held, tf.Variable):
        return held  # Substituted by a StatelessScope.
    return tf.convert_to_tensor(held) if tf.executing_eagerly() else None


def _same(before, now) -> bool:
    if before is now:
        return True
    if not tf.executing_eagerly() or before is None or now is None:
        return False
    return bool(tf.reduce_all(before == now))


def _tapes_of_a_new_pass(bijector, *ends) -> int:
    if not anything_records():
        return 0
    trained = next((v for v in bijector.all_variables() if v.trainable), None)
    probe = [] if trained is None else [tf.convert_to_tensor(trained)]
    return tapes_watching([*(end for end in ends if end is not None), *probe])
