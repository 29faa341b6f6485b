"""Which source files a configuration's `_target_`s come to."""

import sys
from pathlib import Path

import pytest
import yaml as pyyaml

from ablate.runs.code import code, targets


@pytest.fixture
def files(tmp_path, monkeypatch):
    """files({"lab/nets.py": "…"}): written below a folder from which Python imports; that folder."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(texts: dict[str, str]) -> Path:
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_every_target_that_the_fingerprint_counts_is_found():
    values = {
        "norm": {"_target_": "ablate.design.norm.Batch", "inner": {"_target_": "a.Norm", "_partial_": True}},
        "trainer": {
            "callbacks": [{"_target_": "b.Watch"}, {"_target_": "pytorch_lightning.callbacks.Timer"}],
            "logger": {"_target_": "c.Logger"},
        },
        "init": {"_target_": "hydra.utils.get_method", "path": "d.init"},
        "tracking": {"_target_": "e.Tracker"},
        "activation": {"_target_": "torch.nn.ReLU"},
        "head": {"_target_": "collections.OrderedDict"},
    }
    assert targets(values) == ["a.Norm", "b.Watch", "d.init"]


def test_local_modules_are_followed_however_they_are_imported(files):
    files(
        {
            "lab/deep/__init__.py": "",
            "lab/deep/nets.py": "from ..parts import layer\nfrom . import near\nimport lab_tools.maths as m\n",
            "lab/deep/near.py": "def late():\n    from lab.late import x\n",
            "lab/parts.py": "import numpy, torch.nn, yaml\nlayer = 1\n",
            "lab/late.py": "import lab.deep.nets\nx = 1\n",  # a circle
            "lab/unused.py": "",
            "lab_tools/maths.py": "",  # packages without __init__.py are some too
        }
    )
    assert set(code(["lab.deep.nets.Net"]) or ()) == {
        "lab/deep/__init__.py",
        "lab/deep/nets.py",
        "lab/deep/near.py",
        "lab/parts.py",
        "lab/late.py",
        "lab_tools/maths.py",
    }
    assert not {"lab", "lab_tools"} & set(sys.modules), "it was imported"


def test_a_module_is_what_it_was_when_it_was_imported(files, monkeypatch):
    folder = files({"lab_kept.py": "x = 1\n"})
    import lab_kept

    first = code(["lab_kept.x"])
    (folder / "lab_kept.py").write_text("x = 2  # changed\n")
    assert lab_kept.x == 1 and code(["lab_kept.x"]) == first
    monkeypatch.delitem(sys.modules, "lab_kept")
    assert code(["lab_kept.x"]) != first


def test_an_installed_distribution_is_named_by_its_version():
    found = code(["yaml.safe_load"]) or {}
    assert list(found) == ["PyYAML"] and found["PyYAML"].startswith(pyyaml.__version__)


def test_a_module_that_is_not_here_says_nothing():
    assert code(["no_such_lab.Net"]) is None
    assert code([]) == {}
