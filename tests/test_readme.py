"""The Python examples of the README and the guides run, so that they cannot rot."""

import functools
import pathlib
import re

import keras
import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks_of(page: pathlib.Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.fixture
def two_steps(monkeypatch):
    """Trainings of two steps and predictions of one, not traced, which takes longer."""
    fit, predict = keras.Model.fit, keras.Model.predict

    @functools.wraps(fit)
    def fit_briefly(model, *args, **kwargs):
        model.run_eagerly = True
        fewer = {"epochs": 1, "steps_per_epoch": 2}
        if kwargs.get("validation_data") is not None:
            fewer["validation_steps"] = 1
        return fit(model, *args, **kwargs | fewer)

    monkeypatch.setattr(keras.Model, "fit", fit_briefly)
    monkeypatch.setattr(keras.Model, "predict", functools.partialmethod(predict, steps=1))


def run_examples(page: pathlib.Path) -> None:
    """Runs a page's blocks one after the other."""
    blocks = blocks_of(page)
    assert blocks
    namespace = {}
    for block in blocks:
        # Fewer steps and samples show as well that the code runs.
        exec(re.sub(r"(num_(\w*steps|samples))=\d+", r"\1=2", block), namespace)


GUIDES = [page for page in PAGES if blocks_of(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_examples_of_guides_run(page, tmp_path, monkeypatch, two_steps):
    monkeypatch.chdir(tmp_path)
    run_examples(page)


@pytest.mark.slow
def test_the_examples_of_the_readme_run_in_order(tmp_path, monkeypatch, two_steps):
    monkeypatch.chdir(tmp_path)
    run_examples(README)
    assert (tmp_path / "glow.keras").is_file()
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()


def test_the_table_names_every_bijector():
    from tfp_glow import bijectors

    text = README.read_text()
    missing = [name for name in bijectors.__all__ if f"`{name}`" not in text]
    assert not missing


def test_the_handbook_has_a_page_for_every_flow():
    from tfp_glow import flows

    text = "".join(page.read_text() for page in PAGES)
    missing = [name for name in flows.RECIPES if not re.search(rf":::.*\.{name}\n", text)]
    assert not missing


def test_every_page_is_in_the_handbooks_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES]
    assert [page for page in pages if page not in contents] == []
