"""What the documents point at is there, and their tables are tables."""

import re
from itertools import pairwise

import pytest
from conftest import ROOT

DOCUMENTS = ("README.md", "MODEL_CARD.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_pictures_are_there(name):
    targets = re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', read(name))
    local = [link or source for link, source in targets if "://" not in link + source]
    assert [target for target in local if not ((ROOT / name).parent / target).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_run_scripts_that_are_there(name):
    scripts = set(re.findall(r"python ([\w/]+\.py)|`((?:benchmarks|tools)/\w+\.py)", read(name)))
    assert [script for pair in scripts for script in pair if script and not (ROOT / script).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_rows_of_a_table_have_as_many_cells_as_its_head(name):
    """A table that was wrapped like prose is none any more."""
    lines = [line.strip() for line in read(name).splitlines()]
    assert [line for line in lines if "|---|" in line and not re.fullmatch(r"\|(---\|)+", line)] == []
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert line.count("|") == before.count("|"), line


def test_readme_is_short_and_runs_no_test_file():
    readme = read("README.md")
    assert len(readme.splitlines()) <= 130
    assert "tests/test_" not in readme
