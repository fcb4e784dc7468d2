"""Pages of the handbook that stand elsewhere in the repository."""

from __future__ import annotations

import pathlib

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "CHANGELOG.md": "releases.md",
}


def on_files(files, config):
    """Adds the pages."""
    for source, page in PAGES.items():
        content = (ROOT / source).read_text().replace("](../docs/", "](")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links to these files into links to their pages."""
    up = "../" * page.file.src_uri.count("/")
    for source, target in PAGES.items():
        markdown = markdown.replace(f"]({up}../{source}", f"]({up}{target}")
    return markdown
