"""Layers whose Lipschitz constant stays below a bound."""

from __future__ import annotations

import math
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.core.checks import check_choice, check_number, check_positive_int
from tfp_glow.core.randomness import random_generator
from tfp_glow.core.state import Stateful
from tfp_glow.networks.lowering import convolve

__all__ = ["LipschitzConv2D", "LipschitzDense"]

TINY = 1e-12
BLOCK = 8


class _Lipschitz(keras.layers.Layer, Stateful):
    """A linear layer, scaled down where its spectral norm is above a coefficient.

        y = op(x) min(1, coefficient / norm) + bias,   norm = |op(v)|

    where the unit vector v, a saved weight, comes to the first singular vector of the operator by
    power iterations, v <- op^T(op(v)) / |op^T(op(v))|. Calls never change it: `advance` does, once
    a training step, and `converge` until the norm stands still. Gradients flow through the norm.
    """

    def __init__(self, coefficient: float, seed: int | None, **kwargs):
        super().__init__(**kwargs)
        check_number(coefficient, "coefficient", above=0, below=1)
        self.coefficient = coefficient
        self.seed = seed

    def _add_weights(self, kernel_shape, domain_shape) -> None:
        # Equal singular values, since only the largest counts for the bound, and biases that
        # spread the bends of the activations behind.
        initializer = keras.initializers.Orthogonal(seed=self.seed)
        self.kernel = self.add_weight(shape=kernel_shape, initializer=initializer, name="kernel")
        reach = 1.0 / math.sqrt(math.prod(kernel_shape[:-1]))
        spread = keras.initializers.RandomUniform(-reach, reach, seed=self.seed)
        self.bias = self.add_weight(shape=kernel_shape[-1:], initializer=spread, name="bias")
        start = random_generator(self.seed).standard_normal((1, *domain_shape))
        self.direction = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype=None: tf.cast(start / np.linalg.norm(start), dtype),
            trainable=False,
            name="direction",
        )
        self.converge()

    def _op(self, x, kernel):
        raise NotImplementedError(f"{type(self).__name__} must define _op.")

    def _adjoint(self, y, kernel):
        raise NotImplementedError(f"{type(self).__name__} must define _adjoint.")

    def call(self, x):
        scale = tf.minimum(tf.ones([], self.kernel.dtype), self.coefficient / self.norm())
        return self._op(x, tf.cast(scale * self._kernel, x.dtype)) + tf.cast(self.bias, x.dtype)

    def norm(self):
        """The operator's spectral norm before scaling, as far as `direction` has converged."""
        return _length(self._op(tf.convert_to_tensor(self.direction), self._kernel))

    def scaled_norm(self):
        """The spectral norm of the layer as it is called, at most the coefficient."""
        return tf.minimum(self.norm(), tf.constant(self.coefficient, self.kernel.dtype))

    @property
    def advances(self) -> bool:
        return True

    def advance(self) -> None:
        """One power iteration."""
        self.direction.assign(self._iterate(tf.convert_to_tensor(self.direction)))

    def converge(self, *, tolerance: float = 1e-7, max_iterations: int = 500) -> None:
        """Iterations until the norm grows by less than `tolerance` of it in each.

        Power iterations of one vector can stay for long near a singular vector that is not the
        first, and convolutions have many singular values close to the first. So `direction` and
        random vectors are iterated together, each time to the best of the span of themselves,
        their images under op^T op, and what they were before.

        References:
          Knyazev, "Toward the Optimal Preconditioned Eigensolver: Locally Optimal Block
          Preconditioned Conjugate Gradient Method", SIAM J. Sci. Comput. 23, 2001.
        """

        def go_on(_, __, before, now):
            return now - before > tolerance * now

        def body(block, older, _, now):
            moved = self._adjoint(self._op(block, self._kernel), self._kernel)
            best, norm = self._largest(tf.concat([block, moved, older], 0), block.shape[0])
            return best, block, now, norm

        block, norm = self._largest(self._start_block(), None)
        state = (block, block, tf.zeros_like(norm), norm)
        block, *_ = tf.while_loop(go_on, body, state, maximum_iterations=max_iterations)
        self.direction.assign(block[:1])

    def _start_block(self):
        """`direction` and random vectors, `[vectors, *domain]`."""
        domain = self.direction.shape[1:]
        random = np.random.default_rng(0).standard_normal((BLOCK - 1, *domain))
        direction = tf.convert_to_tensor(self.direction)
        return tf.concat([direction, tf.constant(random, direction.dtype)], 0)[: math.prod(domain)]

    def _largest(self, vectors, count: int | None):
        """The `count` unit vectors that the operator stretches most in a span, and how much."""
        flat = tf.reshape(vectors, [vectors.shape[0], -1])
        basis = tf.transpose(tf.linalg.qr(tf.transpose(flat)).q)
        inputs = tf.reshape(basis, [-1, *self.direction.shape[1:]])
        images = tf.reshape(self._op(inputs, self._kernel), [basis.shape[0], -1])
        values, mixtures = tf.linalg.eigh(tf.matmul(images, images, transpose_b=True))
        best = tf.matmul(mixtures[:, ::-1][:, :count], basis, transpose_a=True)
        shape = [-1, *self.direction.shape[1:]]
        return tf.reshape(best, shape), tf.sqrt(tf.maximum(values[-1], 0.0))

    @property
    def _kernel(self):
        return tf.convert_to_tensor(self.kernel)

    def _iterate(self, v):
        v = self._adjoint(self._op(v, self._kernel), self._kernel)
        return v / tf.maximum(_length(v), TINY)

    def get_config(self) -> dict:
        return {**super().get_config(), "coefficient": self.coefficient, "seed": self.seed}


def _length(value):
    return tf.sqrt(tf.maximum(tf.reduce_sum(value**2), TINY**2))


@keras.saving.register_keras_serializable("tfp_glow")
class LipschitzDense(_Lipschitz):
    """A dense layer of spectral norm at most `coefficient`.

    Args:
      units: Size of the output.
      coefficient: Bound of the spectral norm, below 1.
      seed: Seed of the initial weights.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    References:
      Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, "Invertible Residual Networks",
      arXiv:1811.00995, section 2.1.
    """

    def __init__(self, units: int, *, coefficient: float = 0.9, seed: int | None = None, **kwargs):
        super().__init__(coefficient, seed, **kwargs)
        check_positive_int(units, "units")
        self.units = units

    def build(self, input_shape) -> None:
        self._add_weights((input_shape[-1], self.units), (input_shape[-1],))

    def _op(self, x, kernel):
        return x @ kernel

    def _adjoint(self, y, kernel):
        return tf.matmul(y, kernel, transpose_b=True)

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("tfp_glow")
class LipschitzConv2D(_Lipschitz):
    """A convolution of spectral norm at most `coefficient`.

    The norm is that of the operator on images of the size that the layer is built for, padding
    and strides included, not that of its reshaped kernel.

    Args:
      filters: Channels of the output.
      kernel_size: Side of the kernel.
      strides: Distance of the outputs in the input, along both sides.
      padding: `"same"` pads with zeros, `"valid"` does not.
      coefficient: Bound of the spectral norm, below 1.
      seed: Seed of the initial weights.

    Raises:
      ValueError, TypeError: If an argument is out of its range.

    References:
      Gouk, Frank, Pfahringer and Cree, "Regularisation of Neural Networks by Enforcing Lipschitz
      Continuity", arXiv:1804.04368, section 3.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        padding: Literal["same", "valid"] = "same",
        coefficient: float = 0.9,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(coefficient, seed, **kwargs)
        self.filters = check_positive_int(filters, "filters")
        self.kernel_size = check_positive_int(kernel_size, "kernel_size")
        self.strides = check_positive_int(strides, "strides")
        self.padding = check_choice(padding, ("same", "valid"), "padding")

    def build(self, input_shape) -> None:
        channels, size = input_shape[-1], self.kernel_size
        self._positions = tuple(input_shape[1:3])
        self._add_weights((size, size, channels, self.filters), input_shape[1:])

    def _op(self, x, kernel):
        if self.strides == 1 and self.padding == "same" and self.kernel_size % 2:
            return convolve(x, kernel)
        return tf.nn.conv2d(x, kernel, strides=self.strides, padding=self.padding.upper())

    def _adjoint(self, y, kernel):
        shape = [y.shape[0], *self._positions, kernel.shape[2]]
        return tf.nn.conv2d_transpose(
            y, kernel, shape, strides=self.strides, padding=self.padding.upper()
        )

    def get_config(self) -> dict:
        names = ("filters", "kernel_size", "strides", "padding")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
