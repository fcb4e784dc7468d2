"""Settings for the whole suite."""

import functools
import gc
import os
import random
import zlib

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# What is compiled here runs once: the compiler need not make it fast.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)


# Graphs are made of so many objects that looking for garbage now and then takes long.
gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True, scope="module")
def what_stays_is_not_searched_for_garbage():
    """TensorFlow keeps every graph with a custom gradient, until it is told to forget it."""
    gc.freeze()
    yield
    _forget_custom_gradients()
    gc.collect()
    gc.freeze()


def _forget_custom_gradients() -> None:
    """What a module has traced is not differentiated in the next ones."""
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


@pytest.fixture(autouse=True, scope="session")
def data_sets_end_at_once():
    """The end of a data set can wait for a minute for the thread that tunes it."""
    import tensorflow as tf

    options, begin = tf.data.Options(), tf.data.Dataset.__iter__
    options.autotune.enabled = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.data.Dataset, "__iter__", lambda self: begin(self.with_options(options)))
        yield


def _seed(name: str) -> int:
    """Seeds Python, which Keras draws its seeds from, and NumPy."""
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)
    return seed


@pytest.fixture(autouse=True, scope="module")
def seeded_module(request):
    """The same initial weights in what a module's tests share, and the same noise, in every run."""
    import tensorflow as tf

    tf.random.set_seed(_seed(request.node.nodeid))


# What the graph optimizer makes of loops, their gradients, NaN, files and guides counts.
OPTIMIZED = ("test_export", "test_hostile", "test_one_pass", "test_readme", "test_repeat")


@pytest.fixture(autouse=True, scope="module")
def graphs_as_they_are_traced(request):
    """A graph that runs once or twice takes longer to optimize than to run."""
    import tensorflow as tf

    disabled = request.module.__name__.rpartition(".")[2] not in OPTIMIZED
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": disabled})


@pytest.fixture(autouse=True)
def seeded(request, seeded_module):
    """The same initial weights in every run, of this test alone or of all."""
    _seed(request.node.nodeid)


@pytest.fixture(scope="module")
def untraced():
    """Runs functions as they are written, for modules whose matter is what goes around them.

    Tracing takes longer than the few steps of their trainings.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def without_gradients(monkeypatch):
    """Exports whose gradients nobody asks for, which take longest to trace."""
    import tensorflow as tf

    from tests.helpers import WITHOUT_GRADIENTS

    save = functools.partial(tf.saved_model.save, options=WITHOUT_GRADIENTS)
    monkeypatch.setattr(tf.saved_model, "save", save)
