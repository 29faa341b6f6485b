"""What README says of the files is true of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_layout_names_every_folder():
    layout = (ROOT / "README.md").read_text().partition("## Layout\n")[2]
    rooms = re.findall(r"^    ablate/(\w+)/ ", layout, re.MULTILINE)
    inside = {
        f"{room}/{name}"
        for room, text in re.findall(r"^    ablate/(\w+)/ .*\n((?:      .*\n)*)", layout, re.MULTILINE)
        for name in re.findall(r"^ {6}(\w+)/", text, re.MULTILINE)
    }
    package = ROOT / "ablate"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")} - {"."}
    assert folders == {*rooms, *inside}
