"""Files written whole or not at all."""

import pytest

from tfp_glow.files import remove_leftovers, replacing


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


def test_replacing_deletes_nothing_that_it_did_not_write(tmp_path):
    mine = tmp_path / ".partial-model2.keras"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with replacing(tmp_path / "model2.keras") as temporary:
        temporary.write_text("model")
    assert (mine / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "model2.keras").read_text() == "model"


def test_the_temporary_name_ends_as_the_final_one(tmp_path):
    with replacing(tmp_path / "model.keras") as temporary:
        assert temporary.name == "model.keras"
        temporary.touch()


def test_two_writers_do_not_meet(tmp_path):
    with replacing(tmp_path / "file") as one:
        with replacing(tmp_path / "file") as other:
            other.write_text("other")
        one.write_text("one")
    assert (tmp_path / "file").read_text() == "one"


def test_leftovers_of_one_file_are_removed_and_nothing_else(tmp_path):
    def interrupted(name):
        writer = replacing(tmp_path / name)
        writer.__enter__().touch()
        return writer

    writers = [interrupted(name) for name in ("a.png", "b.png")]
    (tmp_path / ".partial-a.png").mkdir()
    remove_leftovers(tmp_path / "a.png")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept[0] == ".partial-a.png"
    assert len(kept) == 2
    assert kept[1].startswith(".partial-b.png-")
    with pytest.raises(FileNotFoundError):
        writers[0].__exit__(None, None, None)
    writers[1].__exit__(None, None, None)
    assert (tmp_path / "b.png").exists()
