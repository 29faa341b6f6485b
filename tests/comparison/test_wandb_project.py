"""Reports of W&B projects, asked of a server on the loopback by W&B's own client. 20 s."""

import json
import os
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ablate.comparison.elsewhere import uploaded as read_uploaded
from ablate.configuration.composition import CONF
from ablate.runs.tracked.labels import TOLD
from tests import process
from tests.project_server import ProjectServer, Uploaded
from tests.simulated_runs import PROVENANCE


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """reported(server, "wandb:…", …): exit code, comparison.json and what was said, in a process of its own."""

    def report(server, *words):
        clean = {name: value for name, value in os.environ.items() if "WANDB" not in name}
        environment = clean | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "ablate", "report", *words, "--json", "--out", str(tmp_path / "report")]
        run = process.run(command, cwd=CONF.parent, env=environment | server.environment, text=True, timeout=200)
        return run.returncode, json.loads(run.stdout) if run.returncode == 0 else None, " ".join(run.stderr.split())

    return report


def others():
    """Of another code base: nested and flat values, lists, a run without a seed, one that crashed."""
    runs = []
    for net in ("mlp", "cnn"):
        for lr in (0.1, 0.01):
            for seed in range(3):
                number = len(runs)
                config = {
                    "model": {"name": net, "widths": [64, 64], "size": 3 if net == "mlp" else 4},
                    "lr": lr,
                    "seed": seed,
                    "out_dir": f"/tmp/x{number}",
                    "prompt": "long " * (20 + number % 2),
                }
                accuracy = 0.8 + 0.01 * seed + 0.05 * (net == "cnn")
                history = [{"_step": step, "epoch": step // 2, "val_accuracy": step / 10} for step in range(8)]
                summary = {"val_accuracy": accuracy, "_runtime": 10.0, "word": "no number"}
                sweep = "abc" if net == "mlp" else None
                runs.append(Uploaded(f"r{number}", config, summary, history=history, sweep=sweep))
    del runs[4].config["seed"]
    runs[3].state, runs[3].summary = "crashed", {}
    return runs


def test_a_project_of_others_is_compared_by_what_varies(reported, tmp_path):
    with ProjectServer(others()) as server:
        server.failures = [429]  # too many requests: the client tries again
        code, made, said = reported(server, "wandb:them/study", "--metric", "val_accuracy")
        assert code == 0, said
        assert server.unknown == []
        asked = server.operations.count("RunSampledHistory")
        reported(server, "wandb:them/study", "--metric", "val_accuracy")
        assert asked and server.operations.count("RunSampledHistory") == asked, "curves are kept"
    assert made["factors"] == {"model.name": ["mlp", "cnn"], "lr": [0.1, 0.01]} and not made["paired"]
    for part in ("model.widths (one value)", "out_dir (another value for every run)", "prompt (long values)"):
        assert part in made["notes"][0]
    assert "model.size (follows from" in made["notes"][0] and "which are numbered: 1." in made["notes"][0]
    crashed = made["variants"][1]["runs"][0]
    assert (crashed["status"], crashed["reason"]) == ("failed", "crashed")
    assert [variant["n"] for variant in made["variants"]] == [3, 2, 3, 3]
    assert list((tmp_path / "report" / "figures").glob("curve_val_accuracy.svg"))


def test_a_sweep_and_a_filter_take_some_of_the_runs(reported):
    with ProjectServer(others()) as server:
        words = ("--metric", "val_accuracy", "--filter", '{"state": "finished"}')
        _, made, _ = reported(server, "wandb:them/study/abc", *words)
        assert made["factors"] == {"lr": [0.1, 0.01]} and [v["n"] for v in made["variants"]] == [3, 2]
        code, _, said = reported(server, "wandb:them/study", "--metric", "val_acuracy")
        assert code == 2 and "Did you mean val_accuracy?" in said
        code, _, said = reported(server, "wandb:them/nothing", "--metric", "val_accuracy")
        assert code == 2 and "wandb:them/nothing: no answer from W&B's server" in said
        code, _, said = reported(server, "wandb:them", "--metric", "val_accuracy")
        assert code == 2 and "wandb:ENTITY/PROJECT" in said


def uploaded(directory, more=None):
    """The run in a directory, as it is logged to W&B: by an older version where `more` has no provenance."""
    import yaml

    record = json.loads((directory / "run.json").read_text())
    recipe = yaml.safe_load((directory / "config.yaml").read_text())
    changed = {
        key: float(value) for key, _, value in (text.partition("=") for text in record["overrides"]) if "." in key
    }
    return Uploaded(
        name=directory.name,
        config={"choices": record["choices"], "seed": record["seed"], **changed, "recipe": recipe} | (more or {}),
        summary=record["summary"]
        | record["cost"]
        | {"status": record["status"], "fingerprint": record["fingerprint"], "gradient_flow/verdict": "even"},
    )


def shuffled(mapping, rng):
    keys = list(mapping)
    rng.shuffle(keys)
    return {key: shuffled(mapping[key], rng) if isinstance(mapping[key], dict) else mapping[key] for key in keys}


def test_runs_of_others_between_this_tools_are_counted_and_left_out(run, reported, tmp_path):
    folders = [
        run({"norm": norm}, seed, 0.8 + 0.01 * seed**2 + 0.1 * (norm == "batch"))
        for norm in ("batch", "none")
        for seed in range(3)
    ]
    foreign = others()[:2]
    with ProjectServer([*map(uploaded, folders), *foreign]) as server:
        code, made, said = reported(server, "wandb:them/study")
        assert code == 0, said
        assert made["factors"] == {"norm": ["batch", "none"]} and made["paired"]
        assert made["notes"][0].startswith("2 of the project's 8 runs are not this tool's and left out. --factors NAME")
        assert "None of them tells W&B code, versions and machine" in made["notes"][1]
        page = (tmp_path / "report" / "index.html").read_text()
        assert "not known of all runs: code, hardware, library versions, data" in page
        code, made, said = reported(server, "wandb:them/study", "--factors", "choices.norm", "--metric", "test/acc")
        assert code == 0 and made["factors"] == {"choices.norm": ["batch", "none"]} and not made["paired"], said


def test_one_run_of_this_tool_does_not_hide_a_project_of_others(run, reported):
    ours = uploaded(run({"norm": "none"}, 0, 0.8))
    theirs = others()
    with ProjectServer([ours, *theirs]) as server:
        code, made, said = reported(server, "wandb:them/study", "--metric", "val_accuracy")
        assert code == 0, said
    assert made["factors"] == {"model.name": ["mlp", "cnn"], "lr": [0.1, 0.01]}
    assert made["notes"][0].startswith(f"1 of the project's {len(theirs) + 1} runs is this tool's and left out.")


def test_no_recipe_is_no_word_of_the_command_that_makes_a_run_again(run):
    runs = []
    for recipe in ("he2015_cifar", None):
        one = uploaded(run({"optimizer.lr": 0.1 if recipe else 0.05}, 0, 0.8))
        own = {**one.config, "choices": one.config["choices"] | {"recipe": recipe}}
        said = {"state": "finished", "url": "", "created_at": "", "id": one.name, "name": one.name}
        runs.append(SimpleNamespace(config=own, summary_metrics=one.summary, **said))
    found = read_uploaded.results(runs, lambda run, name: np.empty((0, 2)))
    words = [set(result.overrides) for result in found]
    assert "recipe=he2015_cifar" in words[0]
    assert not [word for word in words[1] if word.startswith("recipe=")]


def test_runs_of_this_tool_are_compared_as_from_disk(run, reported, tmp_path):
    folders = [
        run({"norm": norm, "optimizer.lr": lr}, seed, 0.8 + 0.01 * seed**2 + 0.05 * (lr > 0.007), gradient_flow="even")
        for norm in ("batch", "none")
        for lr in (0.01, 0.001)
        for seed in range(3)
    ]
    known = {key: PROVENANCE[key] for key in TOLD}
    runs = [uploaded(folder, {"provenance": known}) for folder in folders]
    for number, logged in enumerate(runs):  # the server keeps no order of keys
        logged.config = shuffled(logged.config, random.Random(number))
    with ProjectServer(runs) as server:
        _, stored, _ = reported(server, str(tmp_path / "runs"))
        code, made, said = reported(server, "wandb:them/study")
        assert code == 0 and server.unknown == [], said
    for key in ("factors", "baseline", "metric", "effects", "variance", "chance", "paired", "answer", "made"):
        assert made[key] == stored[key], key
    assert "CPU A" in made["made"] and "0123456789" in made["made"]
    assert [note for note in made["notes"] if "W&B" in note] == [
        "Read from W&B, which has no gradient of every layer and step: maps are in the runs' own folders."
    ]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "one commit, one machine, one set of libraries, one data set" in page
    for ours, theirs in zip(made["variants"], stored["variants"], strict=True):
        for key in ("label", "assignment", "n", "mean", "difference", "test", "verdict", "cost", "gradient_flow"):
            assert ours[key] == theirs[key], (ours["label"], key)
