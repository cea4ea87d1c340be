"""The page in a real browser. Skipped where Chromium or Playwright is missing: `make page-test` installs both."""

import json
import re
import shutil
import time

import numpy as np
import pytest
from conftest import chord, write_audio

pytest.importorskip("gradio", reason="the page's packages are missing: make page-test")
pytest.importorskip("playwright", reason="Playwright is missing: make page-test")

from axe_playwright_python.sync_playwright import Axe
from matplotlib.image import imread
from playwright.sync_api import expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: make page-test")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE_MS = 60_000

# Gradio shows a result faintly at first, then lets it fade in.
FADED_IN = """() => {
    const result = document.querySelector("#result");
    return !result.querySelector(".pending") && !result.getAnimations({subtree: true}).length;
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    heard = tmp_path_factory.mktemp("microphone") / "chord.wav"  # what the browser takes for a recording
    write_audio(heard, chord(seconds=10, rate_hz=48_000), 48_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={heard}",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """A function that opens the page in a window of its own."""
    contexts = []

    def open_it(*, viewport=DESKTOP, scheme="light", bypass_csp=False):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=bypass_csp))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(address)
        page.locator("#song").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    noise = np.random.default_rng(0).standard_normal(8 * 44_100)
    path = tmp_path_factory.mktemp("song") / "My Song &amp; ${1+1} {{1+1}}.mp3"
    return write_audio(path, chord(seconds=8, rate_hz=44_100) + 0.01 * noise, 44_100)


def drop(page, path):
    page.locator("#song input[type=file]").set_input_files(path)
    page.locator("#result [tabindex]").wait_for()


def click_example(page):
    page.locator("#examples button", has_text="Title").first.click()
    page.locator(".result").wait_for()
    page.wait_for_function(FADED_IN)


def test_dropped_song_is_shown(open_page, song):
    page = open_page()
    drop(page, song)
    expect(page.locator(".result h2")).to_contain_text("My Song")
    assert "1+1" in page.locator(".result h2").inner_text()
    assert page.locator(".value .number").count() == 3
    assert page.locator(".timeline path.line").count() == 3
    assert page.locator(".plane .dot").count() == 14
    assert page.locator(".songs li").count() == 5


def test_example_is_one_click(open_page):
    page = open_page()
    click_example(page)
    expect(page.locator(".result h2")).to_have_text(re.compile(r"Title \d+ by Artist \d+"))
    assert page.get_by_text("Spotify says").count() == 3


def test_downloads(open_page, song, tmp_path):
    page = open_page()
    drop(page, song)
    files = {}
    for name in ("picture", "numbers"):
        with page.expect_download() as download:
            page.locator(f"#{name}").click()
        files[name] = tmp_path / name
        download.value.save_as(files[name])
    assert imread(files["picture"], format="png").shape[1] > 1000
    assert json.loads(files["numbers"].read_text())["duration_s"] == pytest.approx(8, abs=0.1)


def test_bad_file_is_a_sentence(open_page, tmp_path):
    page = open_page()
    (tmp_path / "broken.mp3").write_bytes(b"no audio" * 100)
    drop(page, tmp_path / "broken.mp3")
    expect(page.get_by_role("alert").first).to_contain_text("This can't be used: not an audio file, or too damaged")
    assert not page.locator("#picture").is_visible()


def test_recording(open_page):
    page = open_page()
    page.get_by_label("Record audio").click()
    page.get_by_role("button", name="Record", exact=True).click()
    time.sleep(5)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#result [tabindex]")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".result")).to_contain_text("energy")


def test_nothing_is_loaded_from_elsewhere(open_page, song, address):
    page = open_page()
    drop(page, song)
    click_example(page)
    assert len(page.requested) > 10
    assert [url for url in page.requested if not url.startswith((address, "data:", "blob:"))] == []


def test_keyboard_alone(open_page):
    page = open_page()
    page.locator("#examples button").first.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if "Title" in (focused := page.evaluate("document.activeElement.textContent") or ""):
            break
    assert "Title" in focused
    page.keyboard.press("Enter")
    expect(page.locator(".result")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#result h2").first).to_be_focused(timeout=PATIENCE_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_accessible_and_no_wider_than_the_screen(open_page, viewport, scheme):
    page = open_page(viewport=viewport, scheme=scheme, bypass_csp=True)  # axe is injected as a script
    click_example(page)
    found = Axe().run(page).response["violations"]
    serious = [(item["id"], [node["html"][:120] for node in item["nodes"]]) for item in found]
    assert [item for item, full in zip(serious, found, strict=True) if full["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
