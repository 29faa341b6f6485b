"""What CONTRIBUTING says of the rooms is true of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_layout_names_every_folder():
    layout = (ROOT / "CONTRIBUTING.md").read_text().partition("## Layout\n")[2].partition("\n## ")[0]
    rooms = re.findall(r"^    ablate/(\w+)/ ", layout, re.MULTILINE)
    inside = {
        f"{room}/{name}"
        for room, text in re.findall(r"^    ablate/(\w+)/ .*\n((?:      .*\n)*)", layout, re.MULTILINE)
        for name in re.findall(r"^ {6}(\w+)/", text, re.MULTILINE)
    }
    package = ROOT / "ablate"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")} - {"."}
    assert folders == {*rooms, *inside}
