"""Sounds: files, what is wrong with them, and spectrograms there and back."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.io import wavfile

from tfp_glow.data import LogMel, load_images, load_sounds, read_sound, write_sound

RATE = 8000
SECONDS = np.arange(4000) / RATE


def tone(hertz: float, seconds=SECONDS) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * seconds)


@pytest.fixture
def folder(tmp_path):
    for name, hertz in (("b_ann_0", 300), ("a_ann_0", 600), ("b_bob_1", 900)):
        write_sound(tmp_path / "flat" / f"{name}.wav", tone(hertz), rate=RATE)
        label, _, rest = name.partition("_")
        write_sound(tmp_path / "deep" / label / f"{rest}.wav", tone(hertz), rate=RATE)
    (tmp_path / "flat" / "notes.txt").write_text("no sound")
    return tmp_path


def test_files_hold_what_was_written(tmp_path):
    path = tmp_path / "new" / "a.wav"
    write_sound(path, tone(440), rate=RATE)
    rate, integers = wavfile.read(path)
    sound, found = read_sound(path)
    assert rate == found == RATE
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(np.round(sound * 32768), integers)
    np.testing.assert_allclose(sound, tone(440), atol=2.0**-15)
    for bad, message in ((np.ones(3) * 1.5, r"in \[-1, 1\]"), (np.ones([3, 2]), r"\[samples\]")):
        with pytest.raises(ValueError, match=message):
            write_sound(path, bad, rate=RATE)
    with pytest.raises(ValueError, match=r"in \[-1, 1\]"):
        write_sound(path, [np.nan], rate=RATE)
    np.testing.assert_array_equal(read_sound(path)[0], sound)
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("kind", ["flat", "deep"])
def test_folders_give_recordings_and_labels(folder, kind):
    sounds = load_sounds(folder / kind, labels=True)
    assert (sounds.rate, sounds.classes, sounds.labels.tolist()) == (RATE, ("a", "b"), [0, 1, 1])
    assert sounds.labels.dtype == np.int32
    first = {"flat": "a_ann_0.wav", "deep": "a/ann_0.wav"}[kind]
    assert sounds.names[0] == first
    np.testing.assert_allclose(sounds.recordings[0], tone(600), atol=2.0**-15)
    unlabelled = load_sounds(str(folder / kind))
    assert unlabelled.labels is None
    assert unlabelled.classes == ()


def test_archives_give_recordings_and_labels(tmp_path):
    audio = np.arange(-30, 30, dtype=np.int16) * 1000
    arrays = {"audio": audio, "length": [20, 40], "rate": RATE}
    np.savez(tmp_path / "a.npz", **arrays, label=[2, 0])
    sounds = load_sounds(tmp_path / "a.npz", labels=True)
    assert (sounds.rate, sounds.classes, sounds.labels.tolist()) == (RATE, ("0", "1", "2"), [2, 0])
    np.testing.assert_array_equal(sounds.recordings[1], audio[20:] / 32768.0)
    for change, message in (
        ({"length": [20, 30]}, "add up"),
        ({"audio": audio * 0}, "recording 0 .* all zeros"),
        ({"length": [0, 60]}, "recording 0 .* no samples"),
        ({"length": [-20, 80]}, "lengths"),
        ({"length": [[60]]}, "lengths"),
        ({"length": [20.0, 40.0]}, "lengths"),
        ({"audio": audio / np.nan}, "NaN or infinity"),
        ({"audio": audio.reshape(60, 1)}, r"\[total\]"),
        ({"rate": [RATE]}, "rate of .* one int"),
    ):
        np.savez(tmp_path / "b.npz", **{**arrays, **change})
        with pytest.raises(ValueError, match=message):
            load_sounds(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(ValueError, match="without the array label"):
        load_sounds(tmp_path / "c.npz", labels=True)
    np.savez(tmp_path / "d.npz", audio=audio)
    with pytest.raises(ValueError, match="must have the array length"):
        load_sounds(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", **{**arrays, "audio": audio.astype(np.int32)})
    with pytest.raises(TypeError, match="must be int16 or floats"):
        load_sounds(tmp_path / "e.npz")


def stereo(path):
    wavfile.write(path, RATE, np.ones([10, 2], np.int16))


def other_rate(path):
    write_sound(path, tone(440), rate=16000)


def empty(path):
    wavfile.write(path, RATE, np.zeros(0, np.int16))


def silent(path):
    write_sound(path, np.zeros(10), rate=RATE)


def floats(path):
    wavfile.write(path, RATE, np.ones(10, np.float32))


def cut(path):
    write_sound(path, tone(440), rate=RATE)
    path.write_bytes(path.read_bytes()[:-1000])


def text(path):
    path.write_text("no sound at all, but text of some length")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (stereo, r"one channel; .*-c 1.*2 channels"),
        (other_rate, r"8000 samples a second; .*-r 8000.* with 16000"),
        (empty, "not be empty"),
        (silent, "not be silent"),
        (floats, "16 bits; .*-b 16"),
        (cut, "whole WAV files"),
        (text, "which is none"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_of_it(folder, spoil, message):
    spoil(folder / "flat" / "c_bad_0.wav")
    with pytest.raises(ValueError, match=message) as error:
        load_sounds(folder / "flat")
    assert "c_bad_0.wav" in str(error.value)


def test_bad_sources(folder):
    with pytest.raises(ValueError, match=r"folder or a \.npz file"):
        load_sounds(folder / "none")
    with pytest.raises(TypeError, match="source must be a path"):
        load_sounds(np.ones(3))
    (folder / "without").mkdir()
    with pytest.raises(ValueError, match="must hold WAV files"):
        load_sounds(folder / "without")
    with pytest.raises(ValueError, match="16000 samples a second"):
        load_sounds(folder / "flat", rate=16000)
    with pytest.raises(ValueError, match="existing WAV file"):
        read_sound(folder / "none.wav")
    write_sound(folder / "flat" / "plain.wav", tone(440), rate=RATE)
    with pytest.raises(ValueError, match=r"plain.wav.*without an underscore"):
        load_sounds(folder / "flat", labels=True)


def test_frames_show_a_tone_where_it_is():
    log_mel = LogMel(rate=RATE)
    frames = log_mel.frames(tone(1000))
    assert frames.shape == (32, 32, 1)
    assert frames.dtype == np.uint8
    assert frames.max() == 255
    # The bands' middles are equally far from each other in mels.
    mels = 1127.0 * np.log(1.0 + np.array([1000.0, RATE / 2]) / 700.0)
    band = 33 * mels[0] / mels[1] - 1
    assert np.abs(np.argmax(frames[5:20, :, 0], -1) - band).max() <= 0.6
    assert not frames[30:].any()  # Half a second of 0.64.
    np.testing.assert_array_equal(log_mel.frames(0.01 * tone(1000)), frames)
    images = load_images((np.stack([frames] * 20), np.arange(20) % 2), labels=True)
    assert images.image_shape == (32, 32, 1)


def test_sounds_come_back_from_their_frames():
    log_mel = LogMel(rate=RATE, range_db=50.0)
    sweep = tone(300.0 + 800.0 * SECONDS, SECONDS) * np.minimum(1.0, 20.0 * SECONDS)
    frames = log_mel.frames(sweep)
    sound = log_mel.sound(frames, iterations=32)
    assert sound.shape == (log_mel.num_samples,)
    assert np.abs(sound).max() == pytest.approx(0.5)
    again = log_mel.frames(sound)
    loud = frames > 178  # Within 15 dB; below are the filters' sides, which bands cannot tell.
    assert np.abs(again.astype(float) - frames)[loud].mean() < 4
    without = np.abs(log_mel.frames(log_mel.sound(frames, iterations=0)).astype(float) - frames)
    assert without[loud].mean() > 4 * np.abs(again.astype(float) - frames)[loud].mean()
    np.testing.assert_array_equal(log_mel.sound(tf.cast(frames, tf.float32), iterations=32), sound)


def test_spectrograms_are_saved_as_their_arguments():
    log_mel = LogMel(rate=16000, num_frames=20, num_mels=24)
    config = keras.saving.serialize_keras_object(log_mel)
    assert keras.saving.deserialize_keras_object(config) == log_mel


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hop": 600}, "hop must be at most frame_length=512"),
        ({"num_mels": 400}, "a frequency for each band.*of which"),
        ({"range_db": 0.0}, "range_db must be"),
        ({"rate": 0}, "rate must be at least 1"),
    ],
)
def test_bad_spectrograms(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**arguments)


def test_bad_sounds_and_frames():
    log_mel = LogMel()
    for sound, message in (
        (np.ones([2, 3]), r"\[samples\]"),
        (np.zeros(5), "silent"),
        ([], "empty"),
        ([1.0, np.nan], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            log_mel.frames(sound)
    with pytest.raises(ValueError, match=r"frames must have shape \(32, 32, 1\)"):
        log_mel.sound(np.zeros([32, 32]))
    with pytest.raises(ValueError, match="frames must be finite"):
        log_mel.sound(np.full([32, 32, 1], np.nan))
