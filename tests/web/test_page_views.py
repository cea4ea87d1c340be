"""Several songs on the page: their table, its CSV, the comparison of two, and the picture for sharing."""

import csv
import io
import re

import pytest

pytest.importorskip("playwright", reason="Playwright is missing: make page-test")

from browser import RESULT, choose, compare_of, downloaded, heading, hear, kept, shown
from matplotlib.image import imread
from playwright.sync_api import expect

from music_learning.columns import TARGETS


def names_of(page) -> list[str]:
    return page.locator("#view tbody th").all_inner_texts()


@pytest.fixture
def table(visit, album):
    """A page that shows the table of the album."""
    page = visit()
    choose(page, *album)
    expect(page.locator("#songs .row")).to_have_count(3)
    page.locator("#all").click()
    expect(page.locator("#view tbody td.energy")).to_have_count(3)
    return page


def test_several_become_a_table_and_stand_on_one_plane(table):
    assert sorted(names_of(table)) == sorted(["Beta 10", 'alpha, "2"', "=1+1"])
    expect(table.locator("#view .plane circle.here")).to_have_count(3)
    for result in kept(table):
        cells = table.locator("#view tbody tr", has_text=result["name"]).locator("td")
        texts = cells.all_inner_texts()
        assert [f"{result[target]:.2f}" for target in TARGETS] == texts[1:4]
        assert texts[4] == (result["mood"] or "–")
        assert f"0:{result['duration_s']:02.0f}" == texts[5]
        assert f"{result['tempo']:.0f} bpm" == texts[6]


def test_a_result_leads_to_its_comparison(table):
    table.get_by_role("link", name="Beta 10", exact=True).click()
    shown(table, "Beta 10")
    table.get_by_role("link", name="Compare", exact=True).click()
    expect(table.get_by_role("checkbox", name="Compare Beta 10", exact=True)).to_be_checked()
    compare_of(table, "=1+1")
    assert table.locator("#view .sides p").all_inner_texts()[0].startswith("A Beta 10")


def test_headers_sort(table):
    results = kept(table)
    header = table.locator("#view thead th", has_text="energy")
    by_energy = [result["name"] for result in sorted(results, key=lambda result: result["energy"])]
    header.get_by_role("button").click()
    assert (names_of(table), header.get_attribute("aria-sort")) == (by_energy, "ascending")
    header.get_by_role("button").press("Enter")
    assert (names_of(table), header.get_attribute("aria-sort")) == (by_energy[::-1], "descending")
    table.locator("#view thead button", has_text="song").click()
    assert names_of(table) == ["=1+1", 'alpha, "2"', "Beta 10"]
    assert table.locator("#view [aria-sort]").count() == 1


def test_order_and_ticks_outlast_a_look_at_a_song(table):
    table.locator("#view thead button", has_text="song").click()
    table.locator("#view thead button", has_text="song").click()
    for name in ("Beta 10", "=1+1"):
        table.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
    table.get_by_role("link", name="Beta 10", exact=True).click()
    shown(table, "Beta 10")
    table.go_back()
    expect(table.locator("#view tbody input:checked")).to_have_count(2)
    assert names_of(table) == ["Beta 10", 'alpha, "2"', "=1+1"]
    expect(table.locator("#view thead th", has_text="song")).to_have_attribute("aria-sort", "descending")
    expect(table.get_by_role("button", name=re.compile("^Compare"))).to_be_enabled()


def test_a_click_or_enter_opens_a_song(table):
    table.get_by_role("link", name="Beta 10", exact=True).click()
    shown(table, "Beta 10")
    table.go_back()
    table.get_by_role("link", name="=1+1", exact=True).press("Enter")
    shown(table, "=1+1")
    table.go_back()
    table.locator("#view .plane a").last.click()  # it is on top of the others
    expect(table.locator(RESULT)).to_be_visible()


def test_csv_has_every_number_and_no_formula(table):
    name, content = downloaded(table, table.get_by_role("button", name=re.compile("CSV")).click)
    assert name.endswith(".csv")
    assert content.startswith("\ufeff".encode())  # for spreadsheets
    assert content.count(b"\r\n") == 4
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))}
    assert sorted(rows) == sorted(["Beta 10", 'alpha, "2"', "'=1+1"])
    for result in kept(table):
        row = rows[result["name"].replace("=1+1", "'=1+1")]
        scalars = {key: value for key, value in result.items() if isinstance(value, int | float | str) and key != "id"}
        assert [key for key in row if key in scalars] == list(scalars)
        assert all(float(row[key]) == value for key, value in scalars.items() if not isinstance(value, str))
        assert row["tags.artist"] == "'@artist"
        assert row["liveness"] == ""  # null
        assert result["loudness"] < 0 and row["loudness"].startswith("-")  # a number stays one
    assert "id" not in next(iter(rows.values()))


def test_picking_a_third_lets_the_first_go(table):
    button = table.get_by_role("button", name=re.compile("^Compare"))
    expect(button).to_be_disabled()
    boxes = table.locator("#view tbody input")
    for n in range(3):
        boxes.nth(n).check()
    assert [boxes.nth(n).is_checked() for n in range(3)] == [False, True, True]
    expect(button).to_be_enabled()
    boxes.nth(1).uncheck()
    expect(button).to_be_disabled()


def test_table_and_comparison_fit_every_size(table):
    for place in ("table", "comparison"):
        for width in (320, 390, 768, 820, 1024, 1280):
            table.set_viewport_size({"width": width, "height": 800})
            assert table.evaluate("document.documentElement.scrollWidth") <= width, f"{place} at {width}"
            expect(table.locator("#view .number").first).to_be_visible()
        if place == "table":
            table.set_viewport_size({"width": 320, "height": 800})
            table.locator("#view thead button", has_text="energy").click()
            compare_of(table)


def test_a_song_that_cannot_be_used_stands_in_the_table_with_the_reason(visit, album, tmp_path):
    page = visit()
    (tmp_path / "notes.txt").write_text("no audio at all\n" * 100)
    choose(page, tmp_path / "notes.txt", *album)
    page.locator("#all").click()
    expect(page.locator("#view tbody td.energy")).to_have_count(3)
    expect(page.locator("#view tbody tr", has_text="notes")).to_contain_text("This can't be used")
    _, content = downloaded(page, page.get_by_role("button", name=re.compile("CSV")).click)
    assert content.count(b"\r\n") == 4


# --- comparison ---


def compared(page, a, b, models):
    """What the comparison of two results says of each value."""
    return page.evaluate(
        """async ([a, b, models]) => {
            const {renderCompare} = await import("/static/compare.js");
            return [...renderCompare(a, b, models).querySelectorAll(".value > p")].map((p) => p.textContent);
        }""",
        [a, b, models],
    )


def test_compare_shows_both_and_what_differs(table):
    compare_of(table, "Beta 10", 'alpha, "2"')
    results = {result["name"]: result for result in kept(table)}
    a, b = results["Beta 10"], results['alpha, "2"']
    expect(heading(table)).to_have_text("Two songs compared")
    comparison = table.locator("#view .comparison")
    for target in TARGETS:
        numbers = comparison.locator(f".value.{target} .number").all_inner_texts()
        assert numbers == [f"{a[target]:.2f}", f"{b[target]:.2f}"]
    assert comparison.locator(".timeline path.line").count() == 6
    assert comparison.locator(".timeline path.line.second").count() == 3
    dashes = comparison.locator(".timeline path.second").first.evaluate(
        "(path) => getComputedStyle(path).strokeDasharray"
    )
    assert dashes != "none"
    facts = comparison.locator(".facts tbody tr").all_inner_texts()
    assert facts[0].split("\t") == ["length", "0:06", "0:12", "B is 0:06 longer"]
    assert re.search(r"B is \d+\.\d dB softer", facts[2])
    table.reload()  # from the history, too
    expect(table.locator("#view .comparison .facts")).to_be_visible()
    heading(table).wait_for()


def test_differences_are_held_against_what_noise_makes(table):
    result = kept(table)[0]
    a = result | {"energy": 0.50, "danceability": 0.50, "valence": 0.50}
    b = result | {"energy": 0.56, "danceability": 0.52, "valence": 0.40}
    noise = {"energy": 0.03, "danceability": 0.03, "valence": 0.04}
    assert compared(table, a, b, {"noise": noise}) == [
        "B is more energetic by 0.06, more than a copy in another format differs in 9 of 10 cases (0.03).",
        "No difference that counts: 0.02, and a copy in another format differs by at most 0.03 in 9 of 10 cases.",
        "B is less positive by 0.10, more than a copy in another format differs in 9 of 10 cases (0.04).",
    ]
    assert compared(table, a, b, {})[1] == "B is more danceable by 0.02."


def test_a_quieter_copy_makes_no_difference_that_counts(visit, copies):
    page = visit()
    choose(page, *copies)
    page.locator("#all").click()
    expect(page.locator("#view tbody td.energy")).to_have_count(2)
    compare_of(page)
    for target in TARGETS:
        expect(page.locator(f"#view .value.{target}")).to_contain_text("No difference that counts")


# --- picture ---


def test_picture_for_sharing(visit, album, tmp_path):
    page = visit()
    hear(page, album[-1], 'alpha, "2"')
    share = page.locator(RESULT).get_by_role("button", name=re.compile("picture", re.I))
    name, content = downloaded(page, share.click)
    assert name.endswith(".png")
    (tmp_path / "picture.png").write_bytes(content)
    picture = imread(tmp_path / "picture.png", format="png")[..., :3]
    assert picture.shape == (630, 1200, 3)
    assert (picture[0, 0] == 1).all()
    inked = (picture < 0.5).any(axis=2)
    for top, bottom in ((90, 150), (230, 262), (340, 390), (446, 562)):  # name, mood, values, timeline
        assert inked[top:bottom].any()
    assert not inked[:, 1150:].any()  # nothing runs out of the picture


@pytest.mark.parametrize("name", ["x" * 300, "夜明けのうた" * 30, "👨‍👩‍👧‍👦" * 60, "أغنية الصباح " * 20, " \n\t ", "a"])
def test_picture_holds_any_name(table, name, tmp_path):
    content = table.evaluate(
        """async (result) => {
            const {sharePicture} = await import("/static/share.js");
            return [...new Uint8Array(await (await sharePicture(result)).arrayBuffer())];
        }""",
        kept(table)[0] | {"name": name},
    )
    (tmp_path / "picture.png").write_bytes(bytes(content))
    picture = imread(tmp_path / "picture.png", format="png")[..., :3]
    inked = (picture < 0.5).any(axis=2)
    assert picture.shape == (630, 1200, 3)
    assert not inked[:, :60].any() and not inked[:, 1140:].any()
