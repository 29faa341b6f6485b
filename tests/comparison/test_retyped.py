"""The command that a report shows of a stored run trains that run, whatever the defaults were when it was typed."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from ablate.report.terminal import ending
from ablate.runs import record
from ablate.training.settings import resolve_auto
from tests.simulated_runs import write_run

ONCE = ["optimizer=sgd", "trainer.max_epochs=20"]  # the defaults of earlier versions


register_resolvers()


def store(runs: Path, typed: list[str], default: list[str]) -> str:
    """A run of `typed` where `default` needed not be typed. Returns its fingerprint."""
    seeded = [*typed, "seed=3", "trainer=cpu", "trainer.precision=32-true"]
    asked = Composition.of([*seeded, *default])
    values = asked.values()
    resolve_auto(values)
    directory = write_run(runs, {}, 3, 0.9, history=False)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")
    typed_then(directory, seeded, asked.choices)
    return fingerprint(values)


def typed_then(directory: Path, overrides: list[str], choices: dict[str, str | None] | None = None) -> None:
    known = record.read(directory)
    assert known
    record.write(directory, replace(known, overrides=overrides, choices=choices or known.choices))


def shown(runs: Path) -> list[str]:
    """The words of the command that a report of the runs shows, without the seed's."""
    (variant,) = from_results(find([runs]), "").variants
    return shlex.split(variant.command())[3:]


@pytest.mark.parametrize("typed", [[], ["model=resnet50", "norm=group"], ["optimizer.lr=0.01", "activation=gelu"]])
def test_a_run_of_other_defaults_is_asked_for_by_name(tmp_path, typed):
    stored = store(tmp_path, typed, ONCE)
    words = shown(tmp_path)
    assert set(ONCE) <= set(words)
    values = Composition.of(words).values()
    resolve_auto(values)
    assert fingerprint(values) == stored


@pytest.mark.parametrize("typed", [["norm=none"], ["experiment=he2015_plain20"], ["optimizer=sgd", "model=vgg11"]])
def test_what_is_still_the_default_is_not_typed(tmp_path, typed):
    store(tmp_path, typed, [])
    assert shown(tmp_path) == [*typed, "trainer=cpu", "trainer.precision=32-true", "seed=3"]


def test_words_that_this_version_cannot_compose_stay_as_they_are(tmp_path):
    store(tmp_path, [], ONCE)
    (directory,) = tmp_path.iterdir()
    typed_then(directory, ["model=of_somebody", "seed=3"])
    assert shown(tmp_path) == ["model=of_somebody", "seed=3"]


def test_an_option_of_the_users_own_is_composed_from_its_folder(tmp_path):
    mine = tmp_path / "my_conf" / "activation"
    mine.mkdir(parents=True)
    (mine / "tanh.yaml").write_text("_target_: torch.nn.Tanh\n_partial_: true\n")
    folders = [f"--config-dir={tmp_path / 'my_conf'}"]
    store(tmp_path / "runs", [], ONCE)
    (directory,) = (tmp_path / "runs").iterdir()
    known = record.read(directory)
    assert known
    asked = ["activation=tanh", "trainer=cpu", "trainer.precision=32-true", "seed=3"]
    choices = known.choices | {"activation": "tanh"}
    record.write(directory, replace(known, overrides=asked, choices=choices, search_path=folders))
    assert set(ONCE) <= set(shown(tmp_path / "runs"))


def same_cell(runs: Path, typed: list[str], test_acc: float) -> None:
    """A stored run as its words compose it."""
    asked = Composition.of([*typed, "trainer=cpu", "trainer.precision=32-true"])
    values = asked.values()
    resolve_auto(values)
    directory = write_run(runs, {"threads": len(list(runs.glob("*")))}, values["seed"], test_acc, history=False)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")
    typed_then(directory, asked.overrides, asked.choices)


@pytest.mark.parametrize(
    ("then", "now", "axis"),
    [
        (
            ["experiment=he2015_plain20", "data=digits"],
            ["recipe=he2015_cifar", "data=digits", "shortcut=zero_pad"],
            {"shortcut": ["zero_pad", "none"]},
        ),
        (  # norm=none also gives the convolutions a bias
            ["experiment=he2015_resnet20", "data=digits", "norm=none"],
            ["recipe=he2015_cifar", "data=digits", "norm=batch"],
            {"norm": ["batch", "none"]},
        ),
        (["model=resnet32"], ["model.stages=[3,3,3]"], {"model.stages": [[3, 3, 3], [5, 5, 5]]}),
        # Here they are no other words: what differs has no other name, or not all of it.
        (["experiment=he2015_plain20"], [], {"experiment": [None, "he2015_plain20"]}),
        (
            ["experiment=he2015_plain20"],
            ["shortcut=projection"],
            {"experiment": [None, "he2015_plain20"], "shortcut": ["projection", "none"]},
        ),
        (
            ["model=resnet50"],
            ["model.stages=[3,3,3]"],
            {"model": ["resnet20", "resnet50"], "model.stages": [[3, 3, 3], [3, 4, 6, 3]]},
        ),
    ],
)
def test_runs_typed_in_different_words_are_compared_by_what_differs(tmp_path, then, now, axis):
    """As those are of which a multirun finds some stored."""
    for seed in range(2):
        same_cell(tmp_path, [*then, f"seed={seed}"], 0.8)
        same_cell(tmp_path, [*now, f"seed={seed}"], 0.9)
    assert from_results(find([tmp_path]), "").factors == axis


def test_a_multirun_ends_in_the_words_typed_for_it(tmp_path, capsys):
    """Where a stored run is one of its runs, the words that it was typed with then are no part of the answer."""
    words = {"experiment=he2015_plain20": "recipe=he2015_cifar shortcut=none", "": "recipe=he2015_cifar"}
    for then, now in words.items():
        for seed in range(2):
            same_cell(tmp_path, [*(then or now).split(), "data=digits", f"seed={seed}"], 0.9 if then else 0.8)
    ended = []
    for run in find([tmp_path]):
        then = next((text for text in run.record.overrides if text.startswith("experiment=")), "")
        asked = run.record.asked(Composition.of([*words[then].split(), "data=digits", f"seed={run.seed}"]))
        assert run.directory and "experiment" not in asked.title and asked.summary == run.record.summary
        ended.append((run.directory, asked))
    ending.show_runs(ended)
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Taking the shortcut away") and "experiment" not in said


@pytest.mark.parametrize(
    ("stored", "keys"),
    [
        ([(["norm=none"], ONCE), (["norm=none"], [])], ["optimizer"]),  # typed alike, under other defaults
        (
            [
                (["experiment=he2015_resnet50", "data=digits"], []),  # its stride is in the 1x1 convolution
                (["model=resnet50", "recipe=he2015_imagenet", "shortcut=projection", "data=digits"], []),
                (["model=resnet50", "recipe=he2015_imagenet", "shortcut=projection", "data=digits", "block=basic"], []),
            ],
            None,
        ),
    ],
)
def test_runs_that_were_trained_differently_are_never_one_variant(tmp_path, stored, keys):
    for number, (typed, default) in enumerate(stored):
        store(tmp_path / str(number), typed, default)
    found = from_results(find([tmp_path / str(number) for number in range(len(stored))]), "")
    assert len(found.variants) == len(stored) and not any(
        entry.superseded for v in found.variants for entry in v.entries
    )
    assert keys is None or list(found.factors) == keys
