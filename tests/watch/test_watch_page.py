"""The page in headless Chromium, while a sweep goes on. Without chromium and chromium-driver these tests skip."""

import json
import time

import pytest

from tests.browser import needs_browser
from tests.watch.conftest import EVIL

pytestmark = needs_browser


def until(browser, script, seconds=60):
    """What the script returns, as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := browser.execute_script(script)):
        assert time.monotonic() < deadline, script
        time.sleep(0.1)
    return found


def opened(browser, server):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(server.address)
    until(browser, "return document.body.dataset.shown")


MARKS = "return [...document.querySelectorAll('#runs tbody .mark')].map(m => m.dataset.status).join()"


def test_it_shows_every_run_and_what_changes_without_reload(browser, halfway):
    with halfway.served() as server:
        opened(browser, server)
        browser.execute_script("window.same = true")
        before = "finished,finished,running,to do,finished,diverged,failed,interrupted"
        assert browser.execute_script(MARKS) == before
        text = browser.execute_script("return document.querySelector('#runs tbody').innerText")
        assert "92.00%" in text and "2 of 4" in text and "−6.00 points" in text and "1 diverged" in text
        assert (
            "about 25 s left" in browser.execute_script("return document.getElementById('summary').innerText").lower()
        )
        assert browser.execute_script("return document.querySelectorAll('#loss path.line').length") > 4
        halfway.begin("batch", 3, 2)
        until(browser, f"{MARKS} === '{before.replace('to do', 'running')}'")
        assert browser.execute_script("return window.same"), "it has not been loaded again"


def test_what_runs_say_is_text_and_nothing_comes_from_elsewhere(browser, halfway):
    with halfway.served() as server:
        opened(browser, server)
        said = browser.execute_script("return document.getElementById('trouble-list').textContent")
        assert EVIL in said and browser.execute_script("return document.querySelectorAll('img').length") == 0
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert urls and all(url.startswith((server.address, "data:image/png", "data:,")) for url in urls)


def test_curves_and_maps_are_of_what_is_chosen(browser, halfway):
    with halfway.served() as server:
        opened(browser, server)
        # Unasked: the run that goes on.
        assert "seed 2, running" in until(browser, "return document.getElementById('map-said').innerText")
        assert browser.execute_script("return document.querySelectorAll('#map svg image.map').length") == 1
        marks = browser.find_elements("css selector", "#runs tbody .mark")
        browser.execute_script("arguments[0].click()", marks[4])
        assert until(browser, "return document.getElementById('map-said').innerText.startsWith('norm=none, seed 0')")
        chips = "return [...document.querySelectorAll('.chip')].map(c => c.innerText).join()"
        assert browser.execute_script(chips) == "baseline: norm=batch,norm=none"
        assert browser.execute_script("return document.querySelectorAll('#values path.end').length") == 2, "crosses"
        browser.execute_script("document.querySelectorAll('.name')[1].click()")
        until(browser, f"return (() => {{ {chips} }})() === 'baseline: norm=batch'")
        assert browser.execute_script("return document.querySelectorAll('#values path.end').length") == 0


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone_and_in_the_dark(browser, halfway, width, scheme):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    with halfway.served() as server:
        opened(browser, server)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1] == width, "the page itself never scrolls sideways"
        pairs = browser.execute_script(
            """const lightness = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
                 return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
                 return .2126 * r + .7152 * g + .0722 * b; };
               const paper = lightness(getComputedStyle(document.body).backgroundColor);
               return ['p', 'td', '.name', '.chip', '.small', '.lost', 'summary', '#loss text'].map(s => {
                 const e = document.querySelector('main ' + s), style = getComputedStyle(e);
                 const ink = lightness(e instanceof SVGElement ? style.fill : style.color);
                 return [s, (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05)]; });"""
        )
        for what, contrast in pairs:
            assert contrast >= 4.5, f"{what}: WCAG 2 asks for 4.5"


def test_a_sweep_that_ends_becomes_its_report(browser, halfway):
    with halfway.served() as server:
        opened(browser, server)
        for norm, seed in (("batch", 2), ("batch", 3), ("none", 3)):
            directory = halfway.cells[norm, seed].directory
            if directory.exists():
                directory.rename(halfway.runs.parent / f"{norm}{seed}")
            halfway.end(norm, seed, 0.9)
        until(browser, "return !document.getElementById('runs') && document.querySelectorAll('svg').length > 0", 300)
        assert browser.current_url == server.address
