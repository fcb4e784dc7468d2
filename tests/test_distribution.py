"""Training by tf.distribute: on two replicas, and in two processes, as on one device."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg
from tests.command_line import history, invoke
from tests.helpers import normal
from tfp_glow.app.errors import UserError
from tfp_glow.app.run import Run
from tfp_glow.app.settings import Settings
from tfp_glow.app.strategies import new_strategy
from tfp_glow.replicas import is_first_worker, spans_workers

MIRRORED = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
# As in the suite's own process.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
import keras
import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.core import modes
from tfp_glow.fitting import first_of_stream

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x = normal((17, 2), "float32")  # The last batch holds one example, and none for a replica.


def seen():
    return tf.constant([modes.current().evaluating, modes.current().draw == 3])


# Replicas see the modes of the thread that started them. A traced function keeps those of its
# trace, so each call is a new one.
for run in (strategy.run, lambda function: tf.function(strategy.run)(function)):
    outside = strategy.experimental_local_results(run(seen))
    with tg.evaluation(), modes.draw(3):
        inside = strategy.experimental_local_results(run(seen))
    assert not np.any(outside) and np.all(inside), (outside, inside)


def trained():
    flow = tg.flows.maf(2, steps=1, hidden_units=(4,), marginal_bins=None, seed=0)
    model = tg.FlowModel(flow, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(x, batch_size=8, epochs=2, verbose=0, shuffle=False).history["loss"]
    return model, losses


one, expected = trained()
with strategy.scope():
    two, losses = trained()
    block = tg.bijectors.ResidualBlock(tg.networks.LipschitzMLP(3, hidden_units=(4,)))
    dropout = tg.networks.MLP(2, inputs=(2,), dropout=0.5).dropout
np.testing.assert_allclose(losses, expected, rtol=1e-5)
for own, other in zip(two.distribution.variables, one.distribution.variables, strict=True):
    np.testing.assert_allclose(own, other, atol=1e-5)
expected = -np.mean(one.distribution.log_prob(x))
np.testing.assert_allclose(two.evaluate(x, batch_size=8, verbose=0), expected, rtol=1e-5)
# The noise of estimated log-dets is another on each replica; what moves on is the same on each.
seeds = strategy.experimental_local_results(strategy.run(block.drawn_seed))
assert np.any(seeds[0] != seeds[1]), seeds
for variable in block.trainable_variables:  # What has converged to them would stand still.
    variable.assign(normal(variable.shape, "float32"))
before = [np.asarray(variable) for variable in block.variables]
strategy.run(block.advance)
after = [strategy.experimental_local_results(variable) for variable in block.variables]
for first, second in after:
    np.testing.assert_array_equal(first, second)
assert sum(np.any(old != new) for old, (new, _) in zip(before, after, strict=True)) == 3
# Each replica drops other units, from one state.
dropped = strategy.run(lambda: dropout.factors([4, 8], 0, "float32"))
assert np.any(np.not_equal(*strategy.experimental_local_results(dropped)))
before = np.asarray(dropout.noise_seed)
strategy.run(dropout.advance)
for after in strategy.experimental_local_results(dropout.noise_seed.value):
    np.testing.assert_array_equal(after, before + [0, 1])
# Flows start from the rows of all replicas of a worker.
rows = tf.data.Dataset.from_tensor_slices(x).batch(4)
first, _ = first_of_stream(strategy.distribute_datasets_from_function(lambda context: rows))
np.testing.assert_array_equal(first, x[:8])
print("as on one device")
"""

WORKER = """
import pathlib
import sys
import numpy as np
import tensorflow as tf
import keras
import tfp_glow as tg
from tests.helpers import normal
from tfp_glow.app import strategies
from tfp_glow_command import main

# As in the suite's own process.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
make, made = strategies.STRATEGIES["multiworker"], []
strategies.STRATEGIES["multiworker"] = lambda report: made.append(make(report)) or made[0]
try:
    main()
except SystemExit as end:
    if end.code:
        raise
if "--resume" not in sys.argv:
    sys.exit()

(strategy,), folder = made, pathlib.Path(sys.argv[-1]).parent
index = strategy.cluster_resolver.task_id
x = normal((16, 2), "float32")


class Stopped(Exception):
    pass


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise Stopped


def compiled(distribution):
    model = tg.FlowModel(distribution, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def maf(event_shape, seed):
    return tg.flows.maf(event_shape, steps=1, hidden_units=(4,), marginal_bins=None, seed=seed)


fit = {"batch_size": 8, "verbose": 0, "shuffle": False}
with strategy.scope():
    # Other seeds and other data do not make other workers.
    model = compiled(maf(2, seed=index))
    of_images = compiled(tg.Dequantized(maf((2, 2, 1), seed=0), 32))
model.initialize(x + index)
images = np.arange(8 * 4, dtype="uint8").reshape(8, 2, 2, 1)
found = {"bits": of_images.fit(images, **fit).history["loss"]}
seed = strategy.run(lambda: of_images._noise_seed(training=True))
found["seeds"] = strategy.gather(seed[tf.newaxis], 0)
backup = tg.WorkerBackup(folder / "backup")
try:
    model.fit(x, epochs=4, callbacks=[backup, Stop()], **fit)
except Stopped:
    found["losses"] = model.fit(x, epochs=4, callbacks=[backup], **fit).history["loss"]
found["evaluated"] = model.evaluate(x, batch_size=8, verbose=0)
found["predicted"] = model.predict(x, batch_size=8, verbose=0)
for number, variable in enumerate(model.distribution.variables):
    found[f"variable {number}"] = variable
np.savez(folder / f"worker{index}", **found)
"""


def start(script: str, *arguments, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [own.getsockname()[1] for own in sockets]
    for own in sockets:
        own.close()
    return ports


def start_workers(script: str, *arguments) -> list[subprocess.Popen]:
    """Two processes of one cluster."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tasks = ({"type": "worker", "index": index} for index in range(2))
    configs = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
    return [start(script, *arguments, TF_CONFIG=config) for config in configs]


@pytest.mark.slow
def test_two_replicas_train_as_one_device():
    output, _ = start(MIRRORED).communicate()
    assert "as on one device" in output, output[-3000:]


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_train_as_one_device(tmp_path, monkeypatch):
    """By the command and by `fit`: the first worker's data and files start both."""
    table, run = tmp_path / "table.csv", tmp_path / "run"
    np.savetxt(table, normal((70, 2)), delimiter=",", header="a,b", comments="")
    train = ("train", "--data", table, "--flow", "maf", "--steps", 1, "--hidden-units", 4)
    train += ("--epochs", 8, "--batch-size", 16)
    first, second = start_workers(WORKER, *train, "--strategy", "multiworker", "--output", run)
    while first.poll() is None and not (run / "model.keras").exists():
        time.sleep(0.01)
    first.kill()
    output, _ = second.communicate()
    assert (first.wait(), second.returncode) == (-signal.SIGKILL, 2), output
    assert "Error: Another worker has ended" in output, output
    assert not (run / "curves.png").exists()

    workers = start_workers(WORKER, "train", "--resume", "--output", run)
    outputs = [worker.communicate()[0] for worker in workers]
    assert (tmp_path / "worker1.npz").exists(), outputs
    assert all("from epoch" in output for output in outputs)
    files = {"config.json", "history.csv", "model.keras", "best.keras", "saved_model"}
    files |= {"tensorboard", "curves.png", "pairs.png", "calibration.png"}
    assert {path.name for path in run.iterdir()} == files
    monkeypatch.setattr(Run, "_finish", lambda *_: 0.0)  # Without pictures, which take long.
    alone = invoke(*train, "--output", tmp_path / "alone")
    assert alone.exit_code == 0, alone.output
    losses, expected = (
        [[float(value) for value in row.values()] for row in history(folder)]
        for folder in (run, tmp_path / "alone")
    )
    assert len(losses) == 8
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    check_fit(*(np.load(tmp_path / f"worker{index}.npz") for index in range(2)))
    assert not (tmp_path / "backup").exists()


def check_fit(first, second) -> None:
    """Asserts what two workers found to be equal, and that of one device."""
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert np.isfinite(first["bits"]).all()
    assert np.any(first["seeds"][0] != first["seeds"][1])
    x = normal((16, 2), "float32")
    flow = tg.flows.maf(2, steps=1, hidden_units=(4,), marginal_bins=None, seed=0)
    alone = tg.FlowModel(flow, seed=0)
    alone.compile(keras.optimizers.Adam(1e-2))
    alone.initialize(x)
    losses = alone.fit(x, batch_size=8, epochs=4, verbose=0, shuffle=False).history["loss"]
    # Two epochs were behind the first worker.
    np.testing.assert_allclose(first["losses"], losses[2:], rtol=1e-5)
    for number, variable in enumerate(flow.variables):
        np.testing.assert_allclose(first[f"variable {number}"], variable, atol=1e-5)
    log_prob = flow.log_prob(x)
    np.testing.assert_allclose(first["predicted"], log_prob, rtol=1e-5)
    np.testing.assert_allclose(first["evaluated"], -np.mean(log_prob), rtol=1e-5)


def test_a_flow_from_outside_of_the_scope_is_refused():
    flow = tg.flows.realnvp(2, steps=1, hidden_units=(4,), seed=0)
    with (
        tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        pytest.raises(ValueError, match="inside of the strategy's scope"),
    ):
        tg.FlowModel(flow)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        "no json",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": null}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_an_error_that_shows_a_right_one(config, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=r"TF_CONFIG='{.*}'\. Received: ") as raised:
        new_strategy("multiworker", pytest.fail)
    assert (config or "") in str(raised.value)


def test_a_classifier_is_not_for_several_workers():
    with pytest.raises(ValueError, match="multiworker means nothing to the task 'classify'"):
        Settings(task="classify", strategy="multiworker")


def test_one_worker_is_the_first_and_a_chief_comes_before_workers():
    class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
        def __init__(self, kind, cluster):
            self.kind, self.cluster = kind, tf.train.ClusterSpec(cluster)

        @property
        def cluster_resolver(self):
            resolver = tf.distribute.cluster_resolver.SimpleClusterResolver
            return resolver(self.cluster, task_type=self.kind, task_id=0)

    both = {"chief": ["a:1"], "worker": ["b:1"]}
    for kind in both:
        assert spans_workers(Strategy(kind, both))
        assert is_first_worker(Strategy(kind, both)) == (kind == "chief")
    alone = Strategy("worker", {"worker": ["b:1"]})
    assert is_first_worker(alone)
    assert not spans_workers(alone)
