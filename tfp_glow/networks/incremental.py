"""A masked network whose inputs are found one after the other, each of its units computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

__all__ = ["ByDegree"]

# Up to as many inputs one block of them is faster, by a quarter.
_ONE_BLOCK = 32


class ByDegree:
    """The units of a masked network in the order in which they can be computed.

    A unit is final once the inputs of its degree and below are known. Step d computes the hidden
    units of degree d, each layer's from the sums that the layer before has brought together, and
    adds what they are worth to the sums of the next layer. Then the outputs for the next input are
    complete. With as many units of each degree, missing ones filled up by units of weight zero, all
    steps are equal, and one loop runs them. A layer of fewer units than inputs thus costs as much
    as one of as many.

    Sums of all units that changed with every step would have to go through memory `inputs` times.
    So steps are taken in blocks, as a triangular system is solved: inside of a block they add to
    the sums of the block alone, and at its end one product brings all its units to all sums. What
    units get after they were computed, along the connections that the mask leaves out, is never
    read.

    Args:
      inputs: Degrees of the inputs, a permutation of 1 .. size.
      hidden: Degrees of each hidden layer's units, from 0 to size - 1.
      parameters: Outputs for each input; all inputs' first ones stand first.
      skips: Whether a hidden layer's sums are added to the units before the last activation, for
        each hidden layer after the first.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        hidden: Sequence[np.ndarray],
        *,
        parameters: int,
        skips: Sequence[bool],
    ):
        size = inputs.size
        self._block = size if size <= _ONE_BLOCK else math.isqrt(size - 1) + 1
        self._blocks = -(-size // self._block)
        steps = self._block * self._blocks
        order = _of_each_degree(inputs - 1, steps)
        outputs = order + size * np.arange(parameters)
        outputs[order[:, 0] == size] = size * parameters
        self._units = [order, *(_of_each_degree(degrees, steps) for degrees in hidden), outputs]
        self._places, self._skips = inputs - 1, tuple(skips)

    def run(
        self,
        choose: Callable,
        given,
        kernels: Sequence,
        biases: Sequence,
        factors: Sequence,
        *,
        activation: Callable,
        compute_dtype: str,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the inputs one by one.

        Args:
          choose: Function `(given [batch, 1], outputs [batch, parameters])` of one input, which
            returns `(input, *two results)`, each `[batch, 1]`.
          given: `[batch, size]`, what there is to know of each input.
          kernels: Of each layer, `[units, units]`, the last one's included.
          biases: Of each layer, `[units]` or `[batch, units]`, of the dtype of all sums.
          factors: What the units of each hidden layer are multiplied by, `[batch, units]`; empty
            where they stay as they are.
          activation: Of the hidden units, element by element.
          compute_dtype: dtype to which units are rounded.

        Returns:
          The two results, `[batch, size]`.
        """
        step = _Step(choose, activation, self._skips, compute_dtype)
        batch = tf.shape(given)[:1]
        kernels = [self._kernel(layer, kernel) for layer, kernel in enumerate(kernels)]
        sums = [self._by_unit(layer, bias, batch) for layer, bias in enumerate(biases)]
        factors = [self._by_unit(layer, factor, batch) for layer, factor in enumerate(factors)]
        run = self._run_blocks
        if tf.executing_eagerly() and self._blocks > 1:
            # As a graph: eagerly, operation by operation, many steps would take seconds.
            run = tf.function(run, autograph=False)
        results = run(step, self._in_order(given, batch), kernels, sums, factors)
        return tuple(self._back(result, batch) for result in results)

    def _run_blocks(self, step: _Step, given, kernels: list, sums: list, factors: list) -> list:
        if self._blocks == 1:
            inside = [kernel[0, :, 0] for kernel in kernels]
            near, factors = [total[0] for total in sums], [factor[0] for factor in factors]
            return self._run_steps(step, given[0], inside, near, factors)[0]

        def block(index, inputs, sums):
            given, kernels, factors = _split(inputs, len(sums))
            inside = [tf.gather(kernel, index, axis=1) for kernel in kernels]
            near = [tf.gather(total, index) for total in sums]
            results, units = self._run_steps(step, given, inside, near, factors)
            kernels = [tf.reshape(kernel, [kernel.shape[0], -1]) for kernel in kernels]
            return list(map(_add, sums, kernels, units)), results

        return _scan(block, [given, *kernels, *factors], sums, [given.dtype] * 2)

    def _run_steps(
        self, step: _Step, given, kernels: list, sums: list, factors: list
    ) -> tuple[list, list]:
        """The results of a block's inputs, and all units that were computed, the inputs first."""
        rows = [kernel.shape[0] for kernel in kernels]
        kernels = [tf.reshape(k, [self._block, -1, k.shape[1]]) for k in kernels]
        dtypes = [given.dtype] * 2 + [total.dtype for total in sums]
        found = _scan(step, [given, *kernels, *factors], sums, dtypes)
        pairs = zip(found[2:], rows, strict=True)
        return found[:2], [tf.reshape(units, [count, -1]) for units, count in pairs]

    def _kernel(self, layer: int, kernel):
        """`[blocks, units of a block, blocks, units of a block]`."""
        rows, columns = self._units[layer], self._units[layer + 1]
        kernel = tf.gather(tf.pad(kernel, [[0, 1], [0, 1]]), rows.ravel())
        kernel = tf.gather(kernel, columns.ravel(), axis=1)
        sizes = [self._block * units.shape[1] for units in (rows, columns)]
        return tf.reshape(kernel, [self._blocks, sizes[0], self._blocks, sizes[1]])

    def _by_unit(self, layer: int, values, batch):
        """Values of a layer's units, `[blocks, degrees of a block, units of a degree, batch]`."""
        columns = self._units[layer + 1]
        values = values + tf.zeros(tf.concat([batch, [1]], 0), values.dtype)
        values = tf.gather(tf.pad(values, [[0, 0], [0, 1]]), columns.ravel(), axis=1)
        shape = [self._blocks, self._block, columns.shape[1], batch[0]]
        return tf.reshape(tf.transpose(values), shape)

    def _in_order(self, given, batch):
        """`[blocks, inputs of a block, batch]`."""
        given = tf.gather(tf.pad(given, [[0, 0], [0, 1]]), self._units[0][:, 0], axis=1)
        return tf.reshape(tf.transpose(given), [self._blocks, self._block, batch[0]])

    def _back(self, result, batch):
        result = tf.reshape(result, [self._blocks * self._block, batch[0]])
        return tf.transpose(tf.gather(result, self._places))


class _Step:
    """One input and the units before it."""

    def __init__(self, choose: Callable, activation: Callable, skips, compute_dtype: str):
        self._choose, self._activation = choose, activation
        self._skips, self._compute_dtype = skips, compute_dtype

    def __call__(self, index, inputs, sums: list) -> tuple[list, list]:
        """The sums with what the units add to them, and the results and the units."""
        given, kernels, factors = _split(inputs, len(sums))
        sums, units = list(sums), []

        def push(values, layer: int):
            units.append(tf.cast(tf.cast(values, self._compute_dtype), sums[layer].dtype))
            sums[layer] = _add(sums[layer], kernels[layer], units[-1])

        def pull(layer: int):
            return tf.cast(tf.gather(sums[layer], index), self._compute_dtype)

        def active(hidden, layer: int):
            units = self._activation(hidden)
            return units * factors[layer] if factors else units

        hidden = stream = pull(0)
        for layer, skip in enumerate(self._skips, 1):
            push(active(hidden, layer - 1), layer)
            hidden = pull(layer)
            if skip:
                hidden = stream = stream + hidden
        push(active(hidden, len(self._skips)), len(sums) - 1)
        # Not tf.transpose, whose second gradient XLA cannot compile in a loop.
        outputs = tf.stack(tf.unstack(pull(len(sums) - 1)), axis=1)
        chosen, *results = self._choose(tf.reshape(given, [-1, 1]), outputs)
        push(tf.reshape(chosen, [1, -1]), 0)
        return sums, [*(tf.reshape(r, [-1]) for r in results), units[-1], *units[:-1]]


def _split(inputs: list, layers: int) -> tuple:
    """What is given, the layers' kernels, and the factors."""
    return inputs[0], inputs[1 : 1 + layers], inputs[1 + layers :]


def _of_each_degree(degrees: np.ndarray, steps: int) -> np.ndarray:
    """`[steps, most]`: the units of each degree, `len(degrees)` in the place of missing ones."""
    order, counts = np.argsort(degrees, kind="stable"), np.bincount(degrees, minlength=steps)
    units = np.full([steps, counts.max()], degrees.size)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    units[degrees[order], np.arange(degrees.size) - firsts] = order
    return units


def _add(sums, kernel, units):
    """`sums [..., batch]` and the products of `units [units, batch]`."""
    return sums + tf.reshape(tf.matmul(kernel, units, transpose_a=True), [*sums.shape[:-1], -1])


def _scan(step: Callable, inputs: list, state: list, dtypes: Sequence[tf.DType]) -> list:
    """Stacks the results of `step(index, inputs[index], state) -> (state, results)`."""
    # Arrays, because their elements' gradients are elements too.
    arrays = [_array(value.dtype, value.shape[0]).unstack(value) for value in inputs]
    size = inputs[0].shape[0]

    def body(index, state, stacked):
        new, results = step(index, [array.read(index) for array in arrays], state)
        stacked = [array.write(index, r) for array, r in zip(stacked, results, strict=True)]
        for after, before in zip(new, state, strict=True):
            after.set_shape(before.shape)
        return index + 1, new, stacked

    _, _, stacked = tf.while_loop(
        lambda index, *_: index < size,
        body,
        (tf.constant(0), state, [_array(dtype, size) for dtype in dtypes]),
        maximum_iterations=size,
    )
    return [array.stack() for array in stacked]


def _array(dtype: tf.DType, size: int) -> tf.TensorArray:
    return tf.TensorArray(dtype, size)
