"""The report in a real browser, at desktop and phone width, in both colour schemes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.profiling.findings import findings_of
from podium.report import render
from podium.report.evaluation import as_html
from podium.report.render import profile_html
from tests.unit.profiling.samples import kernel, profile_record
from tests.unit.report.samples import sample
from tests.unit.report.test_evaluation import compared

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
WIDTHS = (1280, 390)
HOSTILE = ("<script>document.title='owned'</script>", '"><img src=x onerror=alert(1)>', "averyveryverylongword" * 6)
PAGES: dict[str, dict[str, Any]] = {
    "classification": {},
    "ner": {"task": "ner", "entrants": ("minilm", "bert-tiny", "deberta-v3-small"), "trials": 40},
    "hostile": {"labels": HOSTILE},
    "many labels": {"labels": tuple(f"customer-intent-{number}" for number in range(28)), "entrants": ("bert-tiny",)},
    "long labels": {"labels": (*(f"comp.sys.ibm.pc.hardware.{letter}" for letter in "abcdefg"), "long" * 40)},
}
CONTRAST = """
const parse = (text) => {
  const numbers = text.match(/[\\d.]+/g).map(Number);
  const scale = text.startsWith('color(') ? 255 : 1;
  return {rgb: numbers.slice(0, 3).map((v) => v * scale), alpha: numbers.length > 3 ? numbers[3] : 1};
};
const mix = (top, under) => top.rgb.map((v, i) => v * top.alpha + under[i] * (1 - top.alpha));
const behind = (element) => {
  if (!element) return [255, 255, 255];
  const own = parse(getComputedStyle(element).backgroundColor);
  return own.alpha === 1 ? own.rgb : mix(own, behind(element.parentElement));
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const poor = [];
const walker = document.createTreeWalker(document.querySelector('body'), NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const under = behind(element);
  const ink = parse(element instanceof SVGElement ? style.fill : style.color);
  const [high, low] = [light(mix(ink, under)), light(under)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) poor.push([walker.currentNode.data.trim().slice(0, 40), ratio]);
}
return poor;
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium with chromedriver on this machine"),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, options in PAGES.items():
        render(sample(**options)).save(folder / name)
    evaluation = folder / "evaluation" / "report.html"
    evaluation.parent.mkdir()
    evaluation.write_text(as_html(compared()))
    profile = folder / "profile" / "report.html"
    profile.parent.mkdir()
    record = profile_record(kernels=(kernel("ampere_sgemm_128x64_tn" * 6, "memory"),))
    profile.write_text(profile_html(record.model_copy(update={"findings": findings_of(record)})))
    return {name: folder / name / "report.html" for name in (*PAGES, "evaluation", "profile")}


def show(driver: Any, page: Path, width: int, scheme: str = "light") -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(page.as_uri())


def requests(driver: Any) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*PAGES, "evaluation", "profile"])
def test_page_fits_loads_nothing_and_reports_no_error(driver, pages, name, width):
    show(driver, pages[name], width)
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert driver.get_log("browser") == []
    assert [url for url in requests(driver) if not url.startswith("data:")] == [pages[name].as_uri()]
    assert driver.title.endswith("Podium")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_its_section(driver, pages, width):
    show(driver, pages["many labels"], width)
    assert sticking_out(driver) == []
    for name in ("evaluation", "profile"):
        show(driver, pages[name], width)
        assert sticking_out(driver) == []


def sticking_out(driver: Any) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll('section *')].filter((e) => !e.closest('.scroll') && e.checkVisibility()"
        " && e.getBoundingClientRect().right > e.closest('section').getBoundingClientRect().right + 1)"
        ".map((e) => e.outerHTML.slice(0, 120))"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_key_figures_are_seen_first(driver, pages, width):
    from selenium.webdriver.common.by import By

    show(driver, pages["classification"], width)
    answer = driver.find_element(By.ID, "answer")
    assert answer.is_displayed()
    for said in ("PROMOTE", "minilm", "0.976", "0.962 to 0.989", "5.68 ms"):
        assert said in answer.text
    assert answer.location["y"] < 400


@pytest.mark.parametrize("width", WIDTHS)
def test_charts_have_size_and_marks(driver, pages, width):
    from selenium.webdriver.common.by import By

    show(driver, pages["classification"], width)
    charts = driver.find_elements(By.CSS_SELECTOR, "[role=img]")
    assert len(charts) == 11
    for chart in charts:
        assert chart.size["width"] > 250
        assert chart.size["height"] > 40
        assert chart.accessible_name
        marks = chart.find_elements(By.CSS_SELECTOR, "circle, .path line")
        assert marks
        assert all(max(mark.size["width"], mark.size["height"]) >= 8 for mark in marks)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["classification", "ner", "evaluation", "profile"])
def test_text_stands_out_in_both_colour_schemes(driver, pages, name, scheme):
    show(driver, pages[name], 1280, scheme)
    assert driver.execute_script(CONTRAST) == []
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(14, 18, 23)" if scheme == "dark" else "rgb(244, 246, 248)")


def test_tables_scroll_in_their_own_box_on_a_phone(driver, pages):
    show(driver, pages["ner"], 390)
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
        ".map((e) => [e.tabIndex, getComputedStyle(e).overflowX, e.getAttribute('aria-label')])"
    )
    assert boxes
    assert all(tab == 0 and overflow == "auto" and label for tab, overflow, label in boxes)


def test_names_above_a_matrix_are_read_whole_or_end_in_an_ellipsis(driver, pages):
    show(driver, pages["long labels"], 1280)
    seen = driver.execute_script(
        "return [...document.querySelectorAll('.matrix.many thead th')].map((e) => {"
        " const text = document.createRange(); text.selectNodeContents(e);"
        " const [name, cell] = [text.getBoundingClientRect(), e.getBoundingClientRect()];"
        " return [e.textContent, name.top >= e.closest('.scroll').getBoundingClientRect().top && name.top >= cell.top,"
        "  getComputedStyle(e).textOverflow]; })"
    )
    assert seen
    assert all(whole or (len(name) > 100 and end == "ellipsis") for name, whole, end in seen), seen
