"""The README's Python examples run, so that they cannot rot."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_examples_run_in_order(tmp_path, monkeypatch):
    blocks = python_blocks()
    assert blocks
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks:
        # Fewer epochs show as well that the code runs.
        exec(re.sub(r"epochs=\d+", "epochs=1", block), namespace)
    assert (tmp_path / "glow.keras").is_file()
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()


def test_the_table_names_every_bijector():
    from tfp_glow import bijectors

    text = README.read_text()
    missing = [name for name in bijectors.__all__ if f"`{name}`" not in text]
    assert not missing
