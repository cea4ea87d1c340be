"""The page at the sizes of phones, tablets and desktops: nothing scrolls sideways, nothing moves, axe finds nothing."""

import pytest

pytest.importorskip("playwright", reason="Playwright is missing: make page-test")

from axe_playwright_python.sync_playwright import Axe
from browser import RESULT, choose, compare_of, hear, row, until
from playwright.sync_api import expect

WIDTHS = (320, 360, 390, 430, 768, 820, 844, 1280)
HEIGHTS = {320: 568, 360: 740, 390: 844, 430: 932, 768: 1024, 820: 1180, 844: 390, 1280: 800}
WATCHED_S = 5
# Notes what moves, and every size of the page from the moment on when a result is there, until 5 s later. What comes
# into view has settled when it was drawn twice, however long a picture takes, but not before some time has passed.
WATCH = """
window.watched = {shifts: [], sizes: [], isDone: false, waitingSettled: null, since: null, sinceSettled: null};
const VIEWS = [["waiting", ".result.waiting", 500], ["since", ".result:not(.waiting)", 100]];
new MutationObserver(() => {
    for (const [name, selector, least] of VIEWS) {
        if (watched[name] || !document.querySelector(`#view ${selector}`)) continue;
        watched[name] = performance.now();
        const settled = () => (watched[`${name}Settled`] = performance.now());
        setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(settled)), least);
    }
}).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ["class"]});
new PerformanceObserver((list) => {
    for (const {startTime, value, sources} of list.getEntries())
        watched.shifts.push({at: startTime, value, of: sources.map(({node}) => node?.outerHTML?.slice(0, 80))});
}).observe({type: "layout-shift", buffered: true});
setInterval(() => {
    const root = document.documentElement, now = performance.now();
    if (!root || watched.isDone) return;
    if (watched.since === null) return;
    const size = [root.scrollWidth, root.scrollHeight, innerWidth, innerHeight];
    if (String(watched.sizes.at(-1)?.size) !== String(size)) watched.sizes.push({at: now - watched.since, size});
    watched.isDone = watched.sinceSettled !== null && now - watched.since > %d;
}, 40);
""" % (1000 * WATCHED_S)  # noqa: UP031, since braces are JavaScript's here


def sized(width: int) -> dict[str, int]:
    return {"width": width, "height": HEIGHTS[width]}


@pytest.mark.parametrize("song", ["half_minute", "five_minutes"])
def test_nothing_moves_after_a_result_or_while_waiting(visit, request, song):
    """Side by side in all sizes, half of them dark."""
    schemes = ("light", "dark")
    pages = {
        width: visit(viewport=sized(width), color_scheme=schemes[n % 2], script=WATCH, is_mobile=width < 700)
        for n, width in enumerate(WIDTHS)
    }
    for page in pages.values():
        page.locator("#examples button").first.wait_for()
        choose(page, request.getfixturevalue(song))
    found = {}
    for width, page in pages.items():
        until(page, "watched.isDone")
        watched = page.evaluate("watched")
        page.close()  # which ends its work for others
        begin, end = watched["waitingSettled"] or watched["since"], watched["since"] - 100
        waiting = [s for s in watched["shifts"] if begin < s["at"] < end]
        after = [s for s in watched["shifts"] if s["at"] > watched["sinceSettled"]]
        if waiting or after or len(watched["sizes"]) != 1 or watched["sizes"][0]["size"][0] > width:
            found[width] = {"waiting": waiting, "after": after, "sizes": watched["sizes"]}
    assert found == {}


def test_wait_of_a_long_song_moves_nothing(visit, hour):
    pages = [visit(viewport=sized(width), script=WATCH, is_mobile=width < 700) for width in (320, 1280)]
    for page in pages:
        page.locator("#examples button").first.wait_for()
        choose(page, hour)
    for width, page in zip((320, 1280), pages, strict=True):
        expect(row(page, "An Hour").locator(".state")).to_contain_text("Heard")
        until(page, "watched.waitingSettled")
        page.wait_for_timeout(2000)
        watched = page.evaluate("watched")
        assert [shift for shift in watched["shifts"] if shift["at"] > watched["waitingSettled"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 390, 768, 844, 1280])
def test_a_result_comes_first(visit, half_minute, width):
    """Its heading and its first value are in view as soon as it is there."""
    page = visit(viewport=sized(width), is_mobile=width < 700)
    hear(page, half_minute)
    assert page.locator("#view h2").first.bounding_box()["y"] >= 0
    box = page.locator(f"{RESULT} .number").first.bounding_box()
    assert box["y"] + box["height"] <= HEIGHTS[width]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(visit, half_minute, five_minutes, hour, width, scheme):
    """At the start, while waiting, in a result, in a table and in a comparison. Nothing scrolls sideways there."""
    options = {"viewport": sized(width), "is_mobile": width < 700, "color_scheme": scheme}
    page = visit(bypass_csp=True, **options)  # axe is injected as a script
    page.locator("#examples button").first.wait_for()
    found = {}

    def look(state):
        until(
            page,
            "document.getAnimations().every(({playState, effect}) => "
            "playState !== 'running' || effect.getTiming().iterations === Infinity)",
        )
        violations = Axe().run(page).response["violations"]
        found[state] = [(item["id"], [node["html"][:150] for node in item["nodes"]]) for item in violations]
        if page.evaluate("document.documentElement.scrollWidth") > width:  # a phone's innerWidth grows with it
            found[state].append("scrolls sideways")

    look("start")
    choose(page, hour)
    expect(row(page, "An Hour").locator(".state")).to_contain_text("Heard")
    look("waiting")
    page.get_by_role("button", name="Cancel An Hour").first.click()
    look("stopped")
    hear(page, half_minute)
    look("result")
    hear(page, five_minutes, "Five <i>Minutes</i>")
    look("longer result")
    page.locator("#all").click()
    page.locator("#view table").wait_for()
    look("table")
    compare_of(page)
    look("compare")
    page.goto(page.url.split("#")[0])
    page.reload()
    expect(page.locator("#songs .row")).to_have_count(2)
    look("start with a history")
    assert found == {state: [] for state in found}
