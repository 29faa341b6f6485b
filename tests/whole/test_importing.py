"""What is said of a _target_ that cannot be had: what is wrong, and where."""

import re
import sys

import pytest
from omegaconf import OmegaConf

from ablate.errors import InputError
from ablate.training.assembly import called


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Net", "a module and what it holds are expected, such as my_lab.TinyViT"),
        ("their_lab.Nett", r"their_lab \(.*their_lab\.py\) has no Nett\. Did you mean Net\? It has Net, make\.$"),
        ("their_lab.Net.nothing", r"Net .*has no nothing\."),
        ("their_lab.number", r"this cannot be called"),
        ("their_lab", "a module and what it holds are expected"),
        ("their_pack.inner", "this is a module: name a class or a function in it"),
        ("their_lba.Net", r"there is no module their_lba\. Did you mean their_lab\?.*PYTHONPATH=\. is this one"),
        (
            "their_broken.Net",
            r"it cannot be imported: ModuleNotFoundError: No module named 'nowhere' \(.*n\.py, line 1",
        ),
        ("their_wrong.Net", r"it cannot be imported: SyntaxError: .*their_wrong\.py, line 1"),
        ("unseen.Net", r"unseen is in this folder, where Python does not look: put PYTHONPATH=\. before"),
    ],
)
def test_it_is_said_what_is_wrong(target, message, tmp_path, monkeypatch):
    files = {
        "their_lab.py": "from pathlib import Path\nclass Net: pass\ndef make(): pass\nnumber = 3\n",
        "their_pack/__init__.py": "",
        "their_pack/inner.py": "",
        "their_broken.py": "import nowhere\n",
        "their_wrong.py": "class Net(:\n",
        "here/unseen.py": "class Net: pass\n",
        "here/their_lab.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError) as caught:
        called(OmegaConf.create({"_target_": target}), "model")
    assert re.search(message, str(caught.value)), caught.value
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def test_a_file_that_is_no_yaml_is_named(tmp_path, capsys):
    from ablate.configuration.composition import Composition
    from ablate.configuration.refusals.guard import guarded
    from ablate.configuration.resolvers import register_resolvers

    register_resolvers()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: a.B\n\twidth: 3\n")
    assert guarded(Composition.of, [f"hydra.searchpath=[file://{tmp_path}]", "model=mine"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and f'"{tmp_path}/model/mine.yaml", line 2' in said
