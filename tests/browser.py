"""What the tests of the page do in its browser, in a person's words."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Download, Page, expect

PATIENCE_S = 180  # with what is sure to come: where many tests run at once, an analysis takes its time
expect.set_options(timeout=1000 * PATIENCE_S)
RESULT = "#view .result:not(.waiting)"


def choose(page: Page, *paths: Path) -> None:
    """Choose songs as the file dialog gives them."""
    page.locator("#files").set_input_files(paths)


def meanwhile(page: Page, condition: Callable[[], bool], words: object = "so") -> None:
    """Wait until something is so, while the page goes on, and its events come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never {words}"
        page.wait_for_timeout(50)


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true, by questions from outside: the page's CSP forbids Playwright's own."""
    meanwhile(page, lambda: page.evaluate(expression), expression)


def heading(page: Page):
    return page.locator("#view h2").first


def shown(page: Page, name: str) -> None:
    """Wait for the result of the song of that name."""
    expect(heading(page)).to_have_text(name)
    expect(page.locator(RESULT)).to_be_visible()


def hear(page: Page, path: Path, name: str | None = None) -> None:
    """Choose a song and wait for its result."""
    choose(page, path)
    shown(page, name or path.stem)


def row(page: Page, name: str):
    """The row of a song of this visit."""
    return page.locator("#songs li.row", has_text=name)


def downloaded(page: Page, click: Callable[[], None]) -> tuple[str, bytes]:
    """The name and the bytes of what a click saves."""
    with page.expect_download() as download:
        click()
    saved: Download = download.value
    return saved.suggested_filename, Path(saved.path()).read_bytes()


def kept(page: Page) -> list[dict]:
    """What the page's browser keeps of the results, the latest first."""
    return json.loads(page.evaluate("import('/static/store.js').then(({all}) => all()).then(JSON.stringify)"))


def compare_of(page: Page, *names: str) -> None:
    """From the table, compare two songs: those of the names, or the first two."""
    boxes = [page.get_by_role("checkbox", name=f"Compare {name}", exact=True) for name in names]
    for box in boxes or [page.locator("#view table input").nth(n) for n in range(2)]:
        box.check()
    page.get_by_role("button", name=re.compile("^Compare")).click()
    expect(page.locator("#view .comparison")).to_be_visible()


def pressed(page: Page, key: str, until: str, most: int = 60) -> None:
    """Press a key until a selector's element has the focus."""
    for _ in range(most):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", until):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} doesn't come to {until}")
