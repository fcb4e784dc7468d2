"""What couplings keep, by mask."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import normal
from tfp_glow import bijectors as tgb
from tfp_glow.laws.masks import get_mask, kept_channels


def changed_positions(mask, shape) -> np.ndarray:
    """Where an additive coupling with that mask changes an event."""
    kept = int(kept_channels(mask, shape[-1]).sum())
    transformed = shape[-1] - kept or shape[-1]

    def ones(x):
        return tf.ones([tf.shape(x)[0], *shape[:-1], transformed])

    coupling = tgb.Coupling(ones, law="additive", mask=mask, event_ndims=len(shape))
    return coupling.inverse(tf.zeros([1, *shape]))[0].numpy() == 1.0


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("first_half", [0, 0, 1, 1, 1]),
        ("second_half", [1, 1, 0, 0, 0]),
        ("even", [0, 1, 0, 1, 0]),
        ("odd", [1, 0, 1, 0, 1]),
        ([True, False, False, True, True], [0, 1, 1, 0, 0]),
    ],
)
def test_channels_that_change(mask, expected):
    np.testing.assert_array_equal(changed_positions(mask, (5,)), expected)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("checkerboard_even", [[0, 1, 0], [1, 0, 1]]),
        ("checkerboard_odd", [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_positions_that_change(mask, expected):
    changed = changed_positions(mask, (2, 3, 2))
    np.testing.assert_array_equal(changed, np.repeat(np.array(expected)[..., None], 2, -1))


@pytest.mark.parametrize(
    "mask", ["first_half", "second_half", "even", "odd", "checkerboard_even", "checkerboard_odd"]
)
def test_joining_undoes_splitting(mask):
    value = normal([2, 3, 4, 5])
    board = get_mask(mask, (3, 4, 5))
    np.testing.assert_array_equal(board.join(*board.split(value)), value)


@pytest.mark.parametrize(
    ("mask", "shape", "message"),
    [
        ("thirds", (4,), "mask must be one of"),
        ("first_half", (1,), "to keep and channels to transform"),
        ("odd", (1,), "to keep and channels to transform"),
        ([True, True], (2,), "to keep and channels to transform"),
        ([False, False], (2,), "to keep and channels to transform"),
        ([True, False, True], (2,), r"2 booleans.*shape \(3,\)"),
        ([1, 0], (2,), "2 booleans.*dtype int64"),
        ("checkerboard_even", (4,), "two positions or more"),
        ("checkerboard_odd", (1, 1, 3), "two positions or more"),
    ],
)
def test_masks_that_do_not_fit(mask, shape, message):
    with pytest.raises(ValueError, match=message):
        get_mask(mask, shape)
