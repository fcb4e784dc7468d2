"""The Python examples of the README and the guides run, so that they cannot rot."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"


def run_examples(page: pathlib.Path) -> None:
    """Runs a page's blocks one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        # Fewer epochs and steps show as well that the code runs.
        block = re.sub(r"epochs=\d+", "epochs=1", block)
        exec(re.sub(r"num_steps=\d+", "num_steps=2", block), namespace)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_guides_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_examples(page)


@pytest.mark.slow
def test_the_examples_of_the_readme_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_examples(README)
    assert (tmp_path / "glow.keras").is_file()
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()


def test_the_table_names_every_bijector():
    from tfp_glow import bijectors

    text = README.read_text()
    missing = [name for name in bijectors.__all__ if f"`{name}`" not in text]
    assert not missing
