"""Modes belong to the context that entered them: threads, coroutines, replicas."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.helpers import normal, randomize
from tfp_glow.core import modes

X = normal((4, 2), "float32")


@pytest.fixture(scope="module")
def flow() -> tg.Flow:
    options = {"steps": 1, "hidden_units": (16,), "coefficient": 0.99, "marginal_bins": None}
    flow = tg.flows.residual_flow(2, seed=0, **options)
    randomize(flow.bijector, scale=1.0)
    return flow


def test_modes_nest_and_end_with_an_error():
    outside = modes.current()
    with modes.draw(3), modes.evaluation():
        assert modes.current().evaluating
        assert modes.current().draw == 3

    def fail():
        with modes.evaluation():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert modes.current() is outside


def test_threads_do_not_see_each_others_modes(flow):
    training = flow.log_prob(tf.identity(X))
    seen, entered, done = [], threading.Event(), threading.Event()

    def other():
        entered.wait()
        seen.append(flow.log_prob(tf.identity(X)))
        with tg.evaluation():
            done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.evaluation():
        entered.set()
        done.wait()
        evaluated = flow.log_prob(tf.identity(X))
    thread.join()
    np.testing.assert_array_equal(seen[0], training)
    assert np.abs(evaluated - training).max() > 1e-5


def test_coroutines_do_not_see_each_others_modes():
    async def inside():
        with modes.draw(1):
            await asyncio.sleep(0)
            return modes.current().draw

    async def outside():
        await asyncio.sleep(0)
        return modes.current().draw

    async def both():
        return await asyncio.gather(inside(), outside())

    assert asyncio.run(both()) == [1, 0]
