"""What README says of the files is true of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_layout_names_every_module():
    layout = (ROOT / "README.md").read_text().partition("## Layout\n")[2]
    named = {Path(name).name for name in re.findall(r"\S+\.py\b", layout)}
    modules = {path for path in (ROOT / "ablate").rglob("*.py") if path.name != "__init__.py"}
    assert named <= {path.name for path in modules}
    # A folder below a room may stand for the modules in it, as `bench/` does.
    folders = re.findall(r"^ {6}(\w+)/", layout, re.MULTILINE)
    assert {path.name for path in modules if path.parent.name not in folders} <= named
