"""What README and docs/ say of commands, files and links is true of them."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from ablate.__main__ import COMMANDS, ON_CONFIGURATION
from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.file import SweepFile
from tests.conftest import SMALL

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What stands for something of the reader's: a command with one of these is read, and not composed.
OF_THE_READERS = re.compile(r"FILE|RUN|DESIGN|ENTITY|…|my_|blurred|\ball\.npz|[abXy]\.(yaml|npy)|\[")


def commands(page: Path) -> list[str]:
    """The indented lines that call ablate, with what continues them, without their comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^    (?:\w+=\S+ )*(?:.*&& )?(?:\S*python -m )?ablate (.*)$", text, re.MULTILINE)
    return [re.sub(r"\s+#.*|\s{2,}\(--.*|\s+\[--json\]", "", command) for command in found]


EVERY = [(page.name, command) for page in PAGES for command in commands(page)]


def test_there_are_commands():
    assert len(EVERY) > 50


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_a_command_is_one(page, command):
    register_resolvers()
    words = shlex.split(command)
    name, words = (words[0], words[1:]) if words and words[0] in COMMANDS else ("train", words)
    if name == "train" and words[:1] in (["--help"], ["COMMAND"]):
        return
    parser = argparse.ArgumentParser(exit_on_error=False)
    import_module(f"ablate.commands.{name}").add_arguments(parser)
    if name not in ON_CONFIGURATION:
        parser.parse_intermixed_args(words)
        return
    overrides = [word for word in parser.parse_known_args(words)[1] if "=" in word and not word.startswith("--")]
    if not OF_THE_READERS.search(command):
        single = [re.sub(r"=([^,\[\]]*),.*", r"=\1", word) for word in overrides]  # the first run of a multirun
        Composition.of(single).check_types()


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "results" / "README.md", *sorted((ROOT / "examples").glob("*/README.md"))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if target.startswith(("http:", "https:")):
            continue
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_begins_as_the_sites_builder_reads_it(page):
    """With a language and perhaps a title: other words there, and the block is set as running text."""
    for first in re.findall(r"^```.*$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]:
        assert re.fullmatch(r'```\w+( title="[^"]+")?', first), f"{page.name}: {first}"


def test_every_page_is_in_the_navigation_once():
    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        children = entry.values() if isinstance(entry, dict) else entry
        return [page for child in children for page in pages(child)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_home_page_lists_every_command():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(COMMANDS)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


# The sweep files that pages show, but for a reader's own of before.
SHOWN = [
    (page.name, title, text)
    for page in PAGES
    for title, text in re.findall(r"^```yaml(.*)\n((?:.*\n)*?)```", page.read_text(encoding="utf-8"), re.MULTILINE)
    if "\nparameters:" in text and "before.yaml" not in title
]


@pytest.mark.parametrize("text", [text for *_, text in SHOWN], ids=[f"{page}{title}" for page, title, _ in SHOWN])
def test_a_sweep_file_that_a_page_shows_can_be_run(text, tmp_path):
    """Its parameters are keys of the configuration, with values that these take."""
    register_resolvers()
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    for key, values in SweepFile.read(tmp_path / "shown.yaml").parameters.items():
        for value in values:
            Composition.of([f"{key}={value}"]).check_types()


def test_sweep_files_are_shown():
    assert {page for page, *_ in SHOWN} == {"tutorial.md", "sweeps.md", "migration.md"}


def test_readmes_findings_are_those_of_the_results():
    """Each row of README's table has numbers that a row of the whole table has, and the same word."""
    whole = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## What it found")[1].split("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == 5
    for row in rows:
        *_, numbers, word, _ = (cell.strip() for cell in row.split("|"))
        found = [line for line in whole.splitlines() if all(n in line for n in re.findall(r"[+−]\d+\.\d\d", numbers))]
        assert found and all(f"**{word}**" in line for line in found), row


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_blocks_run(page, tmp_path, monkeypatch, capsys):
    """Line by line, with a smaller network and sweep, and images to predict."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    small = (*SMALL, "trainer.max_epochs=1")
    fixed = {key: {"value": yaml.safe_load(value)} for key, _, value in (word.partition("=") for word in small)}
    sweep = {"program": "ablate", "method": "grid", "parameters": {**fixed, "norm": {"values": ["batch", "none"]}}}
    (tmp_path / "sweeps" / "quick.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    known = {"images": np.zeros((2, 8, 8), np.uint8)}
    for line in [line for block in blocks for line in block.strip().splitlines()]:
        code = line.replace('"trainer.max_epochs=5"', ", ".join(map(repr, small)))
        code = code.replace('quick.yaml")', 'quick.yaml", ["hydra/launcher=basic"])')  # worker processes take seconds
        if "run" in known:
            code = code.replace("07c0", known["run"].directory.name[:4])
        exec(code, known)
    assert "test/acc" in known["run"].summary
    if "predicted" in known:
        assert np.mean(known["predicted"] == known["labels"]) == pytest.approx(known["run"].summary["test/acc"])
        printed = capsys.readouterr().out.split("images that it got wrong")[0].split()[-2:]
        assert float(printed[0]) == pytest.approx(float(printed[1]))
