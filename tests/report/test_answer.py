"""What a report says where seeds are lost, split or missing."""

import re

import pytest

from ablate.report.answer import answer
from ablate.report.contents import contents
from ablate.report.notes import notes
from ablate.report.page import render
from ablate.report.tables import as_json, markdown

BATCH, NONE = {"norm": "batch"}, {"norm": "none"}
WITH = (0.8632, 0.8575, 0.8602, 0.8599, 0.8599, 0.8527, 0.8507, 0.8477)
WITHOUT = (0.1, 0.1, 0.1, 0.1, 0.8056, 0.7784, 0.7801, 0.1)


def test_survivors_of_diverged_seeds_are_not_called_better(run, compared):
    for seed in range(6):
        run(BATCH, seed, WITH[seed], history=False)
        run(NONE, seed, 0.95 if seed < 2 else None, status="finished" if seed < 2 else "diverged", history=False)
    (said,) = answer(compared())
    assert said.startswith("norm=none is undecided: 4 of its 6 seeds diverged, none of the baseline's")
    assert "exact rank test, diverged seeds last, p = " in said
    made = contents(compared())
    (row,) = [row for row in made.rows if not row["is_baseline"]]
    assert (row["verdict"], row["difference_interval"], row["diverged"]) == ("undecided", "seeds lost", 4)
    assert any("lost more seeds is never called better" in note for note in made.notes)
    assert "better" not in re.sub("never called better", "", markdown(made))


def test_seeds_that_never_learn_are_in_the_answer(run, compared):
    for seed in range(8):
        run(BATCH, seed, WITH[seed], history=False)
        run(NONE, seed, WITHOUT[seed], history=False)
    (said,) = answer(compared())
    assert said.startswith("norm=none matters: taking the norm away is worse by 49.8 points in the mean: ")
    assert said.endswith("5 of its 8 seeds never learn, none of the baseline's (exact rank test, p < 0.001, 8 seeds).")
    row = contents(compared()).rows[1]
    assert (row["interval"], row["difference_interval"], row["detectable"][1]) == ("seeds split", "seeds split", "–")
    assert any("norm=none (5 of 8 never learn)" in note for note in notes(compared()))
    whole = as_json(contents(compared()))["variants"][1]
    assert whole["low_seeds"] == [0, 1, 2, 3, 7] and whole["verdict"] == "worse"
    assert (whole["test"]["low"], whole["test"]["name"]) == ([5, 0], "exact rank test")


def test_three_seeds_cannot_say_it(run, compared):
    for seed in range(3):
        run(BATCH, seed, WITH[seed], history=False)
        run(NONE, seed, (0.1, 0.1, 0.8)[seed], history=False)
    (said,) = answer(compared())
    way = sum(WITH[:3]) / 3 - (0.1 + 0.1 + 0.8) / 3
    assert said.startswith(f"norm=none has too few seeds for a verdict. So far: −{100 * way:.1f}")
    assert " points in the mean; 2 of its 3 seeds never learn, none of the baseline's" in said
    assert said.endswith("3 seeds). With 3 seeds this test's p is at least 0.1; 4 seeds of each variant can be enough.")
    assert "<title>test/acc: norm=none has too few seeds for a verdict</title>" in render(contents(compared()))


def test_one_seed_that_fails_is_one(run, compared):
    for seed in range(3):
        run(BATCH, seed, WITH[seed], history=False)
        run(NONE, seed, (0.1, 0.7, 0.8)[seed], history=False)
    (said,) = answer(compared())
    assert "; 1 of its 3 seeds never learns, none of the baseline's" in said
    assert any("norm=none (1 of 3 never learns)" in note for note in notes(compared()))


def test_where_nothing_learned_that_is_the_answer(run, compared):
    """Accuracies at chance differ too, but that says nothing of the choices."""
    for seed in range(3):
        run(BATCH, seed, 0.1 + seed / 1000, history=False)
        run(NONE, seed, 0.12 - seed / 1000, history=False)
    first, second = answer(compared())
    assert first == "Nothing was learned: the test/acc of each run is that of guessing, 10.00%."
    assert second.startswith("All 6 runs trained too briefly, or")
    run({"norm": "group"}, 0, 0.3, history=False)
    assert not any("Nothing was learned" in said for said in answer(compared()))


def test_three_seeds_of_which_some_diverge_say_the_way_of_their_ranks(run, compared):
    for seed in range(3):
        run(BATCH, seed, WITH[seed], history=False)
        run(NONE, seed, None if seed else 0.5, status="diverged" if seed else "finished", history=False)
        run({"norm": "group"}, seed, WITH[seed] + seed / 1000, history=False)
    (said,) = [text for text in answer(compared()) if "too few seeds" in text]
    assert said.startswith("norm=none has too few seeds for a verdict. So far: ranks lower; 2 of its 3 seeds diverged")
    assert said.endswith("p is at least 0.1; 5 seeds of each variant can be enough (all 2 tests counted).")


def test_a_variant_that_always_diverges_is_in_the_answer(run, compared):
    for seed in range(8):
        run(BATCH, seed, WITH[seed], history=False)
        run({"norm": "group"}, seed, WITH[seed] + 0.02 + seed / 1000, history=False)
        run(NONE, seed, None, status="diverged", history=False)
    said = answer(compared())
    assert said[0].startswith("group is best (test/acc 88.00%): against batch it gains 2.35 points (95% CI 2.1")
    assert said[1].startswith(
        "No norm is worst: all 8 of its seeds diverged, none of the baseline's (exact rank test, div"
    )


def test_equal_means_are_called_tied(run, compared):
    for seed in range(8):
        run(BATCH, seed, WITH[seed], history=False)
        for norm, change in (("group", 0.02), ("layer", 0.02), ("none", -0.3)):
            value = WITH[(seed + 3 * (norm == "layer")) % 8]  # the same values, of other seeds
            run({"norm": norm}, seed, value + change, history=False)
    best, worst, *_ = answer(compared())
    assert best.startswith(("group is best", "layer is best"))
    assert best.partition(":")[0].endswith((", tied with layer)", ", tied with group)"))
    assert "tied" not in worst


@pytest.fixture
def placements(run):
    """`placements(lost, status)`: norm=none gains 2 points with every placement, six seeds, but where it is lost."""

    def made(lost, status):
        for placement in ("original", "act_only_pre", "no_act_after_add"):
            for seed in range(6):
                own = 0.8 + seed / 100 + (seed * len(placement)) % 7 / 1000
                run({"placement": placement, "norm": "batch"}, seed, own, history=False)
                value = None if placement == lost else own + 0.02 + seed / 2000
                ended = status if placement == lost else "finished"
                run({"placement": placement, "norm": "none"}, seed, value, history=False, status=ended)

    return made


def test_a_combination_that_diverged_leads_and_decides(placements, compared):
    placements("original", "diverged")
    norm = next(sentence for sentence in answer(compared()) if "norm" in sentence)
    assert norm.startswith(
        "1 of 3 combinations of the other choices cannot be averaged for taking the norm away: "
        "placement=original (diverged: 6 of 6 with it, 0 of 6 without). "
    )
    assert "The other 2 of 3 combinations alone: +2.1" in norm
    assert "gains 2" not in norm
    assert not any("matters" in sentence and "+2.1" in sentence.split("alone")[0] for sentence in answer(compared()))


def test_a_combination_without_results_leads(placements, compared):
    placements("no_act_after_add", "failed")
    said = " ".join(answer(compared()))
    assert "1 of 3 combinations of the other choices cannot be averaged for taking the norm away: " in said
    assert "placement=no_act_after_add (too few results). " in said
    assert re.search(r"norm matters most: taking the norm away gains 2\.1\d points", said)
    assert "averaged over 2 of 3 combinations of the other choices" in said


def test_a_note_on_the_t_test_stands_only_where_it_decides(run, compared):
    for seed, value in enumerate((0.95, 0.952, 0.949, 0.951, 0.953)):
        run({}, seed, value)
        run({"norm": "none"}, seed, 0.1 if seed == 2 else value - 0.1)
    assert not [note for note in notes(compared()) if "t-test" in note], "the ranks decide"
    for seed, value in enumerate((0.951, 0.953, 0.95, 0.949, 0.952)):
        run({"norm": "group"}, seed, value)
    (note,) = [note for note in notes(compared()) if "t-test" in note]
    assert "cannot bring 5 seeds below p = 0.0625" in note


def test_certain_rows_are_told_where_no_effect_is_certain(run, compared):
    accuracies = {
        (): (0.81, 0.82, 0.80),
        ("norm=group",): (0.60, 0.78, 0.45),
        ("model=resnet32",): (0.28, 0.27, 0.26),
        ("model=resnet32", "norm=group"): (0.35, 0.02, 0.60),
    }
    for choices, values in accuracies.items():
        for seed, value in enumerate(values):
            run(dict(choice.split("=") for choice in choices), seed, value, history=False)
    comparison = compared()
    verdicts = {variant.label: variant.verdict for variant in comparison.variants}
    assert verdicts["model=resnet32"] == "worse" and not any(effect.is_certain for effect in comparison.effects)
    said = " ".join(answer(comparison))
    assert "can't tell" not in said and "model=resnet32" in said and "worse" in said, said


def test_a_smaller_effect_of_a_screen_may_be_an_interaction_of_larger_ones(run, compared):
    """Of three choices in four runs, each is mixed with the interaction of the other two."""
    for seed in range(5):
        noise = seed / 1000
        run({"norm": "batch", "shortcut": "zero_pad", "activation": "relu"}, seed, 0.90 + noise, history=False)
        run({"norm": "none", "shortcut": "zero_pad", "activation": "gelu"}, seed, 0.60 - noise, history=False)
        run({"norm": "batch", "shortcut": "none", "activation": "gelu"}, seed, 0.80 + 2 * noise, history=False)
        run({"norm": "none", "shortcut": "none", "activation": "relu"}, seed, 0.40 + noise, history=False)
    said = answer(compared())
    assert said[0].startswith("norm matters most")
    (doubt,) = [sentence for sentence in said if sentence.startswith("Perhaps")]
    assert re.findall(r"(\w+) \(−?(\w+) × (\w+)\)", doubt) == [("activation", "norm", "shortcut")]
    (mixed,) = [note for note in notes(compared()) if note.startswith("Mixed")]
    explained, listed = mixed.split("): ")
    assert ("−: it is subtracted" in explained) == ("−" in listed) and "fraction" not in explained
