"""What type checkers tell users."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OPTIONS = ("--ignore-missing-imports", "--follow-imports=silent", "--warn-unused-ignores")


@pytest.mark.slow
def test_mypy_accepts_what_is_right_and_finds_what_is_wrong(tmp_path):
    command = [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", tmp_path]
    found = subprocess.run(
        [*command, "tests/typed_user.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
