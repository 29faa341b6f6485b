"""The page in a real browser, headless Chromium: what it draws, sorts, asks for and says. 30 s.

Without the packages chromium and chromium-driver (Debian's names) the tests that need them say so and skip.
"""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ablate.__main__ import called
from ablate.errors import InputError
from ablate.report.folder import MARKER
from tests import process
from tests.browser import needs_browser

EVIL = "<script>alert(1)</script>"
HOSTILE = f"'{EVIL}\"&x'"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory, simulate):
    """A report of two crossed choices, one of them with a hostile value, and a diverged run; its index.html."""
    folder = tmp_path_factory.mktemp("page")
    for shortcut in ("zero_pad", "projection"):
        for norm in ("batch", HOSTILE):
            for seed in range(3):
                value = 0.9 - (norm == HOSTILE) / 10 + seed / 100 + (seed == 1) * len(shortcut) / 1000
                lost = norm == HOSTILE and shortcut == "projection" and seed == 2
                outcome = {"status": "diverged", "diverged_at": 7} if lost else {}
                typed = {"shortcut": shortcut, "norm": norm}
                error = {"error": f"{EVIL} & more"}
                simulate(
                    folder / "runs",
                    typed,
                    seed,
                    None if lost else value,
                    cost={"seconds": 10.0 + seed + len(norm)},
                    **outcome,
                    **error,
                )
    called("report", [str(folder / "runs"), "--out", str(folder / "report")])
    return folder / "report" / "index.html"


@pytest.fixture
def opened(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    return browser


@needs_browser
def test_no_console_message_and_no_request_but_the_page(opened, page):
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked, "the log of requests is not on"
    assert [url for url in asked if not url.startswith("data:image/png")] == [page.as_uri()]


@needs_browser
def test_what_a_run_is_called_is_shown_as_text(opened):
    assert "alert" not in opened.execute_script("return [...document.scripts].map(s => s.text).join()")
    assert len(opened.execute_script("return [...document.scripts]")) == 1
    shown = opened.execute_script("return document.querySelector('table.main').innerText")
    assert EVIL in shown
    drawn = opened.execute_script("return [...document.querySelectorAll('svg text')].map(t => t.textContent).join()")
    assert EVIL[:20] in drawn


@needs_browser
def test_every_figure_is_drawn(opened):
    sizes = opened.execute_script(
        "return [...document.querySelectorAll('figure > svg')].map(s => [s.clientWidth, s.children.length])"
    )
    # Effects, interactions, variance or not, one interaction plot, two curves, two costs, profile, scale, five maps.
    assert len(sizes) >= 12
    assert all(width > 100 and marks > 1 for width, marks in sizes)
    maps = opened.execute_script("return [...document.querySelectorAll('svg image')].map(i => i.getBBox().width)")
    assert maps == [380, *[228] * 5], "a scale; four variants, of which one has two outcomes"
    # Drawn with colours that differ from the paper's.
    lines = opened.execute_script(
        "return [...document.querySelectorAll('path.series')].map(p => getComputedStyle(p).stroke)"
    )
    assert lines and all(colour.startswith("rgb(") for colour in lines)


@needs_browser
@pytest.mark.parametrize("width", [1300, 400])
def test_no_figure_lies_over_another(opened, width):
    before = opened.get_window_size()
    opened.set_window_size(width, 900)
    boxes = opened.execute_script(
        "return [...document.querySelectorAll('.figures > figure')].map(f => {"
        "  const outer = f.getBoundingClientRect(), inner = f.querySelector('svg').getBoundingClientRect();"
        "  return [outer.left, outer.top, outer.right, Math.max(outer.bottom, inner.bottom)]; })"
    )
    opened.set_window_size(before["width"], before["height"])
    assert len(boxes) >= 12
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top, (boxes[i], other)


@needs_browser
def test_the_title_has_whole_brackets_and_words_and_options_say_what_they_are(opened):
    assert opened.title.startswith("test/acc: ") and len(opened.title) < 130
    assert opened.title.count("(") == opened.title.count(")")
    said = opened.execute_script(
        "return [...document.querySelectorAll('td.choice')].map(d => [d.title, d.querySelector('.gloss')?.textContent])"
    )
    assert ["Batch normalisation", "Batch normalisation"] in said and ["", None] in said, "a value without a file"


@needs_browser
def test_the_table_sorts_by_a_click_both_ways(opened):
    column = "return [...document.querySelectorAll('table.main tbody')].map(b => b.rows[0].cells[{}].dataset.sort)"
    heads = opened.find_elements("css selector", "table.main thead th")
    i = next(i for i, head in enumerate(heads) if "vs baseline" in head.text)
    before = opened.execute_script(column.format(i))
    means = [float(mean) for mean in opened.execute_script(column.format(2))]
    assert means[:-1] == sorted(means[:-1], reverse=True), "the best first, and last who lost a seed"
    button = heads[i].find_element("css selector", "button")
    button.click()
    rising = opened.execute_script(column.format(i))
    assert rising[-1] == "", "the baseline, which has no difference, goes last"
    assert [float(v) for v in rising[:-1]] == sorted(float(v) for v in before if v)
    button.click()
    falling = opened.execute_script(column.format(i))
    assert falling == [*reversed(rising[:-1]), ""]
    assert heads[i].get_attribute("aria-sort") == "descending"


@needs_browser
def test_every_seed_has_a_mark_and_what_differs_is_bold(opened):
    marks = opened.execute_script(
        "return [...document.querySelectorAll('table.main tbody')].map(b => [b.querySelectorAll('circle.seed').length,"
        " b.querySelectorAll('.lost-line').length, b.querySelectorAll('td.differs').length,"
        " b.querySelector('.pill').textContent.trim(), b.querySelector('.fate')?.textContent])"
    )
    assert marks[-1][:3] == [2, 1, 2], "who lost a seed comes last"
    assert sorted(m[2] for m in marks) == [0, 1, 1, 2] and [m[3] for m in marks if m[2] == 0] == ["baseline"]
    assert all(m[0] + m[1] == 3 for m in marks) and marks[-1][4] == "1 of 3 diverged"


@needs_browser
def test_a_row_opens_and_all_columns_show(opened):
    opener = opened.find_element("css selector", "tbody:not(.baseline) .opens")
    more = opened.find_element("id", opener.get_attribute("aria-controls"))
    assert not more.is_displayed()
    opener.click()
    assert more.is_displayed() and "sign flips" in more.text and opener.get_attribute("aria-expanded") == "true"
    assert not opened.find_elements("css selector", "th.more")[0].is_displayed()
    opened.find_element("css selector", ".legend .all").click()
    assert opened.find_elements("css selector", "th.more")[0].is_displayed()


@needs_browser
def test_a_variant_is_switched_off_in_every_figure(opened):
    shown = (
        "return [...document.querySelectorAll('[data-series=\"1\"]:not(.chip)')].map(g => getComputedStyle(g).display)"
    )
    assert len(opened.execute_script(shown)) >= 5 and "none" not in opened.execute_script(shown)
    chip = opened.find_element("css selector", ".chip[data-series='1']")
    chip.click()
    assert set(opened.execute_script(shown)) == {"none"}
    others = opened.execute_script(shown.replace('"1"', '"2"'))
    assert "none" not in others
    chip.click()
    assert "none" not in opened.execute_script(shown)


@needs_browser
def test_a_point_tells_its_numbers(opened):
    from selenium.webdriver import ActionChains

    strip = opened.find_elements("css selector", "figure svg rect.hit")[0]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", strip)
    # Scrolling hides a tip: its event, which comes with the next frame, must be over.
    opened.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    ActionChains(opened).move_to_element(strip).perform()
    tip = opened.find_element("id", "tip")
    assert tip.is_displayed()
    assert re.match(r"epoch 0\n\d\d\.\d\d +baseline", tip.text)


@needs_browser
def test_a_map_tells_the_layer_the_steps_and_the_value(opened):
    from selenium.webdriver import ActionChains

    image = opened.find_elements("css selector", "image.map")[0]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
    opened.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    told = json.loads(image.get_attribute("data-map"))
    size = opened.execute_script("const b = arguments[0].getBoundingClientRect(); return [b.width, b.height]", image)
    for row, column in ((0, 0), (len(told["layers"]) - 1, told["columns"] - 1)):
        places = (column + 0.5) / told["columns"], (row + 0.5) / len(told["layers"])
        x, y = (round((place - 0.5) * length) for place, length in zip(places, size, strict=True))
        ActionChains(opened).move_to_element_with_offset(image, x, y).perform()
        layer, steps, value = opened.find_element("id", "tip").text.splitlines()
        assert layer == told["layers"][row] and steps == f"step {column * told['steps'] // told['columns']}"
        assert re.fullmatch(r"[\d.]+ × the head's gradient", value) and (float(value.split()[0]) == 1) == (row > 0)


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone_and_in_the_dark(opened, width, scheme):
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    wide = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1] == width, "the page itself never scrolls sideways"
    table = opened.execute_script(
        "const t = document.querySelector('table.main'); return [t.scrollWidth, t.clientWidth, t.tHead.clientHeight]"
    )
    assert table[0] <= table[1] and bool(table[2]) == (width > 760), "the table fits: on a phone a card per variant"
    pairs = opened.execute_script(
        """const lightness = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
             return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
             return .2126 * r + .7152 * g + .0722 * b; };
           const paper = lightness(getComputedStyle(document.body).backgroundColor);
           return ['p', 'td', 'th', 'a', '.small', 'svg text.ink', 'svg text.muted', '.chip'].map(s => {
             const e = document.querySelector('main ' + s), style = getComputedStyle(e);
             const ink = lightness(e instanceof SVGElement ? style.fill : style.color);
             return [s, (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05),
                     parseFloat(style.fontSize) * (e.closest('figure') ? e.getScreenCTM().a : 1)]; });"""
    )
    for what, contrast, size in pairs:
        assert contrast >= 4.5, f"{what}: WCAG 2 asks for 4.5"
        assert size >= 9, f"{what} is too small to read"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(opened, scheme):
    """Deque's rules for those who see little, hear the page read, or use no mouse."""
    axe = pytest.importorskip("axe_core_python", reason="needs the package axe-core-python")
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    opened.execute_script(Path(axe.__path__[0], "axe.min.js").read_text(encoding="utf-8"))
    found = opened.execute_async_script("axe.run().then(r => arguments[0](r.violations.map(v => [v.id, v.help])))")
    assert found == []


def test_figures_stand_alone(page):
    files = list((page.parent / "figures").glob("*.svg"))
    assert {"main_effects.svg", "curve_val_acc.svg", "gradients_0.svg", "against_params.svg"} <= {f.name for f in files}
    for file in files:
        root = ElementTree.fromstring(file.read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [e for e in root.iter() if e.tag.endswith("script")]
        assert "var(" not in file.read_text()


def test_the_page_names_no_address_it_would_load(page):
    text = page.read_text()
    assert re.findall(r"(?:src|srcset|href|xlink:href)=[\"'](?!#|data:image/png;base64,)", text) == []
    assert "@import" not in text and "url(http" not in text


def test_markdown_and_latex_escape_what_runs_are_called(page):
    markdown = (page.parent / "table.md").read_text()
    assert EVIL not in markdown and "\\<script\\>" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4 and len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
    latex = (page.parent / "table.tex").read_text()
    assert "$<$script$>$" in latex and "\\&x" in latex and "zero_pad" not in latex.replace("zero\\_pad", "")


def test_figures_of_an_earlier_report_go(page, capsys):
    left_over = page.parent / "figures" / "old.svg"
    left_over.write_text("<svg/>")
    with (page.parent / MARKER).open("a") as made:
        made.write("figures/old.svg\n")
    called("report", [str(page.parent.parent / "runs"), "--out", str(page.parent), "--json"])
    assert not left_over.exists()
    assert json.loads(capsys.readouterr().out) == json.loads((page.parent / "comparison.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["runs", "--baseline", "norm"], "key=value is expected"),
        (["runs", "--metric", "test/loss"], "no run has it"),
        (["runs", "--compare", "norm=batch", "norm=nothing"], "no run has norm=nothing"),
    ],
)
def test_wrong_input_is_said(run, tmp_path, monkeypatch, arguments, said):
    run({"norm": "batch"}, 0, 0.9, history=False)
    run({"norm": "none"}, 0, 0.8, history=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        called("report", arguments)


def test_the_command_prints_the_answer_and_the_table(run, tmp_path):
    for seed in range(3):
        run({"norm": "batch"}, seed, 0.9 + seed / 100, history=False)
        run({"norm": "none"}, seed, 0.7 + seed / 90, history=False)
    done = process.run([sys.executable, "-m", "ablate", "report"], cwd=tmp_path, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Taking the norm away costs 19.89 points" in done.stdout
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("norm=none  ")]
    assert row[:4] == ["norm=none", "3", "71.11", "−19.89"] and "worse" in row
    assert (tmp_path / "report" / "index.html").exists()
    wrong = process.run([sys.executable, "-m", "ablate", "report", "nowhere"], cwd=tmp_path, text=True, timeout=300)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("ablate: nowhere") and len(wrong.stderr.splitlines()) == 1


def test_a_page_is_bounded_however_many_variants(run, tmp_path, capsys):
    for i in range(230):
        run({"optimizer.lr": 0.05 + i / 1000}, 0, 0.5 + i / 1000, history=i < 20, epochs=2, steps=4, layers=4)
    called("report", [str(tmp_path / "runs"), "--out", str(tmp_path / "report")])
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count('id="variant-') == 200
    assert "the other 30 are in comparison.json" in page
    assert page.count('class="chip"') == 13
    assert len(json.loads((tmp_path / "report" / "comparison.json").read_text())["variants"]) == 230
    assert len(page) < 1_500_000
