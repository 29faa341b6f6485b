"""The study in results/: what is written of it is what its files say, its statistics are SciPy's and statsmodels'."""

import json
import re
from pathlib import Path

import pytest
import yaml
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.comparison.values import again
from ablate.report import claims

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
COMPARISONS = sorted(RESULTS.glob("*/comparison.json"))


def test_every_report_of_the_script_is_there():
    script = (RESULTS / "study.sh").read_text()
    assert {path.parent.name for path in COMPARISONS} >= {
        claim["report"] for claim in claims.read(RESULTS / "claims.yaml")
    }
    assert all(path.parent.name in script for path in COMPARISONS)


def test_the_table_of_answers_is_what_the_command_prints(monkeypatch, capsys):
    monkeypatch.chdir(RESULTS)
    claims.show(Path("claims.yaml"))
    readme = (RESULTS / "README.md").read_text()
    _, _, rest = readme.partition("<!-- python -m ablate claims claims.yaml -->\n")
    assert rest.partition("<!-- end of the table -->")[0] == capsys.readouterr().out


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_what_the_runs_took_is_written_down(path):
    assert json.loads(path.read_text())["made"] in (RESULTS / "README.md").read_text()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_nothing_is_missing_and_no_path_of_a_machine_is_in_it(path):
    comparison = json.loads(path.read_text())
    assert {run["status"] for variant in comparison["variants"] for run in variant["runs"]} <= {"finished", "diverged"}
    assert "/work/" not in path.read_text() and "/home/" not in path.read_text()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_differences_are_paired(path):
    """Each variant's mean difference, interval and p, from the runs' values."""
    variants = json.loads(path.read_text())["variants"]
    values = [{run["seed"]: run["value"] for run in v["runs"] if run["value"] is not None} for v in variants]
    baseline = next(own for v, own in zip(variants, values, strict=True) if v["is_baseline"])
    for variant, own in zip(variants, values, strict=True):
        seeds = sorted(set(own) & set(baseline))
        if variant["is_baseline"] or len(seeds) < 2:
            continue
        test = stats.ttest_rel([own[seed] for seed in seeds], [baseline[seed] for seed in seeds])
        assert variant["difference"]["p"] == pytest.approx(test.pvalue, rel=1e-6)
        assert variant["difference"]["interval"] == pytest.approx(list(test.confidence_interval(0.95)), rel=1e-6)


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_claims_are_judged_by_tests_that_the_values_allow(path):
    """What `claims` makes of the values: t, or ranks where seeds are lost or at chance, corrected over all tests."""
    comparison = again(json.loads(path.read_text()))
    for variant in comparison.variants[1:]:
        n = len(comparison.baseline.entries)
        ours, theirs = ([v.values.get(seed, -1.0) for seed in range(n)] for v in (variant, comparison.baseline))
        if variant.test.has_interval:
            seeds = variant.paired_seeds
            test = stats.ttest_rel([variant.values[s] for s in seeds], [comparison.baseline.values[s] for s in seeds])
        else:
            ranks = stats.rankdata([*ours, *theirs])
            test = stats.permutation_test(
                (ranks[:n], ranks[n:]), lambda a, b, axis: a.sum(axis), vectorized=True, n_resamples=10**5
            )
        assert variant.test.p == pytest.approx(test.pvalue, rel=1e-6)
    tests = [*comparison.variants[1:], *comparison.effects]
    corrected = multipletests([one.test.p for one in tests], method="holm")[1]
    assert [one.p_holm for one in tests] == pytest.approx(list(corrected), rel=1e-6)


# The numbers in results/README.md's prose. Each phrase is made from what is stored, and must stand there; what is left
# of the prose without them has no number. What no file holds was read off the runs; the sources' numbers are theirs.

WORDS = "half|eighth|tenth|one|two|three|four|five|six|seven|eight|ten|doubles|halves"
NAMES = r"(?:ResNet|VGG)-\d+|[Dd]ocument \d+|He et al\. \(?\d{4}\)?|table \d|1x1|float32|bf16|torch [\d.]+"
READ_OFF_THE_RUNS = (
    "Digits have 20 steps an epoch",
    "its losses are sane from the first epoch on",
    "near the image its norm is a tenth of the other nets'",
    "a layer's gradient norm differs by 0.7 to 1.3% in the median of the layers (19% at most)",
    "Its mean over the whole training differs by 2 to 4% in the median, by at most 17%: two trainings",
    "(1.6 GB for VGG-16)",
)
OF_THE_SOURCES = (
    "gains of 0.5 and 0.8 points on ImageNet",  # 25.03, and 24.52 and 24.19, in claims.yaml
    "nets of 110 layers and more",
    'listing has 16.8 million, not 21. "Six times" is the ratio of 138 to 21 million rounded down',
    "Fashion-MNIST's 70,000",
    "train for 64,000 steps of 128 images",
    "Where seeds split into two groups",
)


def stored(report: str) -> dict[str, dict]:
    return {v["label"]: v for v in json.loads((RESULTS / report / "comparison.json").read_text())["variants"]}


def at_chance(variant: dict) -> list[dict]:
    return [run for run in variant["runs"] if run["value"] < 0.11]


def sweep(name: str) -> dict:
    """What a sweep file sets: its values, or the one that it has."""
    parameters = yaml.safe_load((ROOT / f"sweeps/{name}.yaml").read_text())["parameters"]
    return {key: found.get("values", found.get("value")) for key, found in parameters.items()}


def steps(name: str) -> int:
    return sweep(name)["trainer.max_epochs"] * sweep(name)["+trainer.limit_train_batches"]


def phrases_of_the_setting() -> list[str]:
    depth, blocks, cost = (sweep(name) for name in ("depth", "blocks", "cost"))
    questions = re.search(r"for question in ([a-z_ ]+) precision; do", (RESULTS / "study.sh").read_text())[1].split()
    assert len(questions) == 6  # and cost
    assert {len(sweep(name)["seed"]) for name in questions} == {8}
    assert {steps(name) for name in ("depth", "shortcuts", "norm", "placement", "precision")} == {1200}
    assert {steps("blocks"), steps("block_depth")} == {600}
    first, second, third = depth["model.widths"]
    small = -(-28 // depth["stem.stride"])
    maps = [small, -(-small // 2), -(-small // 4)]
    norms = [
        yaml.safe_load((ROOT / f"conf/experiment/{name}.yaml").read_text())["defaults"] for name in blocks["experiment"]
    ]
    without = sum({"override /norm": "none"} in defaults for defaults in norms)
    assert (without, len(norms), depth["threads"], cost["threads"]) == (4, 5, 1, 2)
    rate = yaml.safe_load((ROOT / "conf/optimizer/sgd.yaml").read_text())["lr"]
    assert cost["+trainer.limit_val_batches"] == 1 and cost["+trainer.limit_train_batches"] == 5
    return [
        "Seven questions about residual networks and one about precision, each a sweep file",
        "so that two cores can train eight seeds of each",
        f"{first}, {second} and {third} channels ({blocks['model.widths'][0]} in the five published blocks)",
        f"halves the image, maps of {maps[0]}, {maps[1]} and {maps[2]} pixels",
        f"{steps('depth'):,} steps of {depth['data.batch_size']} images (block depth and the five blocks: "
        f"{steps('blocks')})",
        f"learning rate {rate} with warm-up and a cosine (the five blocks: {blocks['optimizer.lr']}, since four "
        "of the five have no norm)",
        "bf16-mixed, one thread",
        "Only `cost` has networks of full size, of which it times five steps",
        "five steps and one batch of validation, one run at a time with two threads",
    ]


def phrases_of_the_answers() -> list[str]:
    norm, blocks, depth, cost = (stored(name) for name in ("norm", "blocks", "depth", "cost"))
    precision, block_depth = stored("precision"), stored("block_depth")
    unactivated = stored("placement")["placement=no_act_after_add"]
    fast, fast_plain = norm["norm=none"], norm["norm=none shortcut=none"]
    slow = norm["norm=none optimizer.lr=0.005"]
    slow_plain = norm["norm=none shortcut=none optimizer.lr=0.005"]
    assert len(at_chance(slow)) == 0
    rates = yaml.safe_load((ROOT / "sweeps/norm.yaml").read_text())["parameters"]["optimizer.lr"]["values"]
    assert rates[1] == rates[0] / 10
    vanished = sum(run["gradient_flow"] == "vanishing" for run in at_chance(fast))
    gained = [
        100 * blocks[f"experiment=functional_{name}"]["difference"]["mean"] for name in ("batchnorm", "activation")
    ]
    macs, params = (
        cost["baseline"]["cost"][name] / cost["experiment=patterns_resnet34"]["cost"][name]
        for name in ("macs", "params")
    )
    assert round(params) == 8
    larger = blocks["experiment=functional_expand_contract"]["cost"]["params"] / blocks["baseline"]["cost"]["params"]
    lost = blocks["experiment=functional_direct"]["runs"]
    direct = yaml.safe_load((ROOT / "conf/experiment/functional_direct.yaml").read_text())
    assert {run["status"] for run in lost} == {"diverged"}
    p = {f"{v['difference']['p_holm']:.2f}" for v in block_depth.values() if v["difference"]}
    assert max(block_depth.values(), key=lambda v: v["mean"])["is_baseline"]
    assert 1.95 < depth["model=resnet56"]["mean"] / depth["baseline"]["mean"] < 2.05
    return [
        f"doubles from 20 to 56 layers ({depth['baseline']['mean']:.2f} to {depth['model=resnet56']['mean']:.2f})",
        f"At a learning rate of {rates[0]}, {len(at_chance(fast))} of {fast['n']} residual nets without norm end at "
        f"chance (in {vanished} of these the gradient vanished), and {len(at_chance(fast_plain))} of "
        f"{fast_plain['n']} plain ones",
        f"{steps('depth'):,} steps cannot show",
        "At a tenth of that rate no residual net does, and eight seeds cannot tell",
        f"With norm, the higher rate is {-100 * norm['optimizer.lr=0.005']['difference']['mean']:.1f} points better "
        "than the lower one",
        f"at the lower one {len(at_chance(slow_plain))} of {slow_plain['n']} end at chance",
        f"Norm gains most ({gained[0]:.1f} points), an activation after the addition some ({gained[1]:.1f})",
        f"with {larger:.1f} times the parameters",
        f"{sum(direct['model']['stages'])} additions in a row",
        f"{macs:.0f} times fewer multiply-adds than its VGG-16 and has an eighth of the parameters",
        "Blocks of two convolutions have the highest mean. After correction, eight seeds cannot tell them from blocks "
        f"of one, three or four (p = {p.pop()} each)",
        f"a little better ({100 * unactivated['difference']['mean']:.2f} points)",
        f"Five seeds of a ResNet-20 with zero-padded shortcuts: {precision['baseline']['mean']:.2%} in float32, "
        f"{precision['trainer.precision=bf16-mixed']['mean']:.2%} in bf16-mixed",
    ]


def phrases_of_the_recipe() -> list[str]:
    file = sweep("recipe")
    small, large = stored("recipe"), stored("recipe_resnet34")
    new = [small["optimizer=adamw optimizer.lr=0.001"], small["optimizer=adamw optimizer.lr=0.001 norm=none"]]
    runs = [run for variant in (*new, large["baseline"]) for run in variant["runs"]]
    assert len({len(variant["runs"]) for variant in (*small.values(), *large.values())}) == 1 and len(file["seed"]) == 6
    sgd = large["optimizer=sgd optimizer.lr=0.05"]
    tests = [json.loads((RESULTS / name / "comparison.json").read_text()) for name in ("recipe", "recipe_resnet34")]
    counted = [len(found["variants"]) - 1 + len(found["effects"]) for found in tests]
    return [
        f"and rate suit them in {file['trainer.max_epochs']} epochs, in float32, of a",
        "three of the settings were tried",
        "mean over six seeds",
        f"to SGD at {file['optimizer.lr'][0]} with norm",
        f"those of ResNet-34 to AdamW at {file['optimizer.lr'][3]}",
        f"After the correction for {counted[0]} and {counted[1]} tests",
        f"(SGD in the ResNet-34: p = {sgd['difference']['p_holm']:.3f})",
        f"AdamW at {file['optimizer.lr'][3]} was taken because all of its {len(runs)} runs learn, to "
        f"{100 * min(run['value'] for run in runs):.1f} at least",
    ]


def test_the_table_of_recipes_is_what_the_files_say():
    small, large = stored("recipe"), stored("recipe_resnet34")

    def cell(variant: dict) -> str:
        mean, difference = variant["mean"], variant["difference"]
        if not difference:
            return f"{100 * mean:.1f}"
        low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in difference["interval"])
        return f"{100 * mean:.1f} ({100 * difference['mean']:+.1f}: {low} to {high})".replace("-", "−")

    rows = [
        ("AdamW, 0.001: the default now", "optimizer=adamw optimizer.lr=0.001", "baseline"),
        ("AdamW, 0.003", "optimizer=adamw optimizer.lr=0.003", "optimizer.lr=0.003"),
        ("SGD, 0.05: the default until now", "baseline", "optimizer=sgd optimizer.lr=0.05"),
    ]
    readme = (RESULTS / "README.md").read_text()
    for name, of_20, of_34 in rows:
        plain = "norm=none" if of_20 == "baseline" else f"{of_20} norm=none"
        assert f"| {name} | {cell(small[of_20])} | {cell(small[plain])} | {cell(large[of_34])} |" in readme


def test_every_number_of_the_prose_is_what_the_files_say():
    lines = (RESULTS / "README.md").read_text().splitlines()
    prose = " ".join(" ".join(line for line in lines if not line.startswith("|")).split())
    for phrase in (
        *phrases_of_the_setting(),
        *phrases_of_the_answers(),
        *phrases_of_the_recipe(),
        *READ_OFF_THE_RUNS,
        *OF_THE_SOURCES,
    ):
        assert phrase in prose
        prose = prose.replace(phrase, "")
    left = re.findall(rf"\d[\d.,]*|\b(?:{WORDS})\b", re.sub(NAMES, "", prose), flags=re.IGNORECASE)
    assert left == []
