"""Files written whole or not at all."""

import pytest

from tfp_glow.files import replacing


def test_replacing_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_replaces_a_whole_folder(tmp_path):
    folder = tmp_path / "folder"
    for content in ("old", "new"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
