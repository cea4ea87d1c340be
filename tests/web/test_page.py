"""What people do on the page, in a real browser. Skipped where Chromium or Playwright is missing: `make page-test`."""

import base64
import json
import re
import time
from pathlib import Path
from shutil import copyfile
from urllib.request import urlopen

import pytest
from conftest import start, tone, write_audio

pytest.importorskip("playwright", reason="Playwright is missing: make page-test")

from browser import RESULT, choose, downloaded, heading, hear, kept, meanwhile, pressed, row, shown, until
from playwright.sync_api import expect

from music_learning.columns import TARGETS

FIVE = "Five <i>Minutes</i>"
HALF = "My Song &amp; ${1+1} {{1+1}} <b>x"


def heard(page, address: str, n: int) -> None:
    """Wait until the server hears so many recordings."""

    def is_so() -> bool:
        with urlopen(f"{address}/api/health") as answer:
            return json.load(answer)["analysing"] == n

    meanwhile(page, is_so, f"{n} heard")


def mood_of(result: dict) -> str:
    """A result's mood as the page says it, with its probability; none where none is likely."""
    if result["mood"] is None:
        return r"no mood stands out.*"
    return rf"(almost surely|probably|perhaps) {result['mood']}, {10 * result['mood_probability']:.0f} in 10"


# --- a result ---


def test_a_song_is_shown_with_all_that_is_known_of_it(visit, half_minute, five_minutes):
    page = visit()
    for path, name, length in ((half_minute, HALF, "0:30"), (five_minutes, FIVE, "5:00")):
        hear(page, path, name)
        result = page.locator(RESULT)
        for target in TARGETS:
            expect(result.locator(f".value.{target} .number")).to_have_text(re.compile(r"^[01]\.\d\d$"))
        expect(result).to_contain_text(length)
        expect(result.locator(".mood")).to_have_text(re.compile(rf"^{mood_of(kept(page)[0])}$"))
        expect(result).to_contain_text(re.compile(r"\d+ bpm"))
        expect(result).to_contain_text(re.compile(r"[A-G]#? (major|minor)"))
        expect(result).to_contain_text(re.compile(r"[-−]\d+(\.\d)? dB"))
        assert result.locator(".timeline path.line").count() == 3
        assert result.locator(".plane circle.here").count() == 1
        assert result.locator(".plane path.region").count() == 2
        assert result.locator(".songs li").count() == 5
        expect(page).to_have_title(re.compile(re.escape(name)))
    expect(page.locator(RESULT)).to_contain_text("أغنية الصباح")  # the artist, from the tags


def test_names_stay_text(visit, half_minute, five_minutes):
    """No name becomes markup or is computed, in a result, a row, the table, the plane or the comparison."""
    page = visit()
    hear(page, half_minute, HALF)
    hear(page, five_minutes, FIVE)
    ids = [result["id"] for result in kept(page)]
    for place in (f"song/{ids[0]}", f"song/{ids[1]}", "songs", f"compare/{ids[0]}/{ids[1]}"):
        page.evaluate("(place) => location.hash = `#/${place}`", place)
        expect(page.locator("#view")).to_contain_text("Minutes</i>" if place.endswith(ids[0]) else "${1+1}")
        assert page.locator("b, i").filter(has_text=re.compile("^(x|Minutes)$")).count() == 0


def test_why_is_in_musicians_words(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    why = page.locator(RESULT).locator("section", has_text="Why")
    expect(why).to_contain_text(re.compile(r"The [\w ]*(bass|mids|highs|presence range).* make.* (energetic|calmer)"))


def test_markets_say_how_sure_they_are(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    result = page.locator(RESULT)
    expect(result).to_contain_text(re.compile(r"than \d+\s%"))
    expect(result).to_contain_text(re.compile(r"\d+ countries"))
    hint = r"such a country is among the first \d+ of \d+ in \d+\s% of cases, by chance in \d+\s%"
    expect(result).to_contain_text(re.compile(hint))


def test_an_example_is_one_click_and_says_that_it_has_no_sound(visit):
    page = visit()
    name = page.locator("#examples button").first.evaluate("(button) => button.firstChild.textContent")
    page.locator("#examples button").first.click()
    expect(heading(page)).to_have_text(name)
    expect(page.locator(RESULT)).to_be_visible()
    assert page.locator(RESULT).get_by_text(re.compile("Spotify says")).count() == 3
    assert page.locator(RESULT).locator("audio").count() == 0
    expect(page.locator(RESULT)).to_contain_text("No sound is kept of the examples.")


def test_what_is_no_music_is_warned_of(visit, tmp_path):
    page = visit()
    hear(page, write_audio(tmp_path / "A tone.wav", tone(seconds=10)))
    expect(page.locator(f"{RESULT} [role=note]")).to_contain_text("not like music. Don't rely on the numbers.")


def test_similar_songs_are_looked_up_where_one_likes(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    link = page.locator(f"{RESULT} .songs a").first
    page.locator(f"{RESULT} select").select_option("Deezer")
    assert link.get_attribute("href").startswith("https://www.deezer.com/search/")
    assert "noreferrer" in link.get_attribute("rel")
    page.reload()
    shown(page, HALF)
    assert link.get_attribute("href").startswith("https://www.deezer.com/search/")


def test_they_are_looked_up_there_where_settings_are_refused(visit, half_minute):
    page = visit(script="Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused'); }})")
    hear(page, half_minute, HALF)
    page.locator(f"{RESULT} select").select_option("Deezer")
    link = page.locator(f"{RESULT} .songs a").first
    assert link.get_attribute("href").startswith("https://www.deezer.com/search/")


def test_recording(visit):
    page = visit(permissions=["microphone"])
    record, begun = page.locator("#record"), time.monotonic()
    record.click()
    expect(record).to_have_text(re.compile(r"Stop 0:(0[5-9]|[1-5]\d)"))
    expect(page.locator("#spoken")).to_have_text("The recording has begun.")
    record.click()
    most_s = time.monotonic() - begun
    expect(heading(page)).to_have_text(re.compile("Recording"))
    expect(page.locator(RESULT)).to_be_visible()
    expect(record).to_have_text("Record")
    assert 3.5 <= kept(page)[0]["duration_s"] <= most_s + 1.5


def test_two_clicks_take_the_microphone_once(visit):
    page = visit(
        permissions=["microphone"],
        script="""
        const devices = navigator.mediaDevices, take = devices.getUserMedia.bind(devices);
        window.streams = [];
        devices.getUserMedia = async (wish) => {
            await new Promise((resolve) => setTimeout(resolve, 500)); // as long as a person is asked
            streams.push(await take(wish));
            return streams.at(-1);
        };""",
    )
    record = page.locator("#record")
    record.dblclick()
    expect(record).to_have_text(re.compile(r"Stop 0:(0[4-9]|[1-5]\d)"))
    record.click()
    expect(page.locator(RESULT)).to_be_visible()
    live = "streams.flatMap((stream) => stream.getTracks()).filter(({readyState}) => readyState === 'live').length"
    assert page.evaluate(f"[streams.length, {live}]") == [1, 0]


def test_the_players_place_moves_over_the_timeline(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    # So slowly that it is at the same place, more or less, whenever it is looked at.
    page.evaluate("Object.assign(document.querySelector('audio'), {muted: true, playbackRate: 0.1})")
    plot = page.locator(f"{RESULT} input[type=range]")
    before = float(page.locator(f"{RESULT} .cursor").get_attribute("x1"))
    page.evaluate("document.querySelector('audio').play()")
    until(page, f"document.querySelector('.cursor').getAttribute('x1') > {before}")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 0.75, "y": 20})
    place = page.evaluate("document.querySelector('audio').currentTime")
    assert place == pytest.approx(0.75 * 30, abs=1.5)
    expect(plot).to_have_attribute("aria-valuetext", re.compile(r"0:2\d of 0:30"))
    plot.press("ArrowRight")
    assert page.evaluate("document.querySelector('audio').currentTime") >= place + 0.5
    place = page.evaluate("document.querySelector('audio').pause() ?? document.querySelector('audio').currentTime")
    plot.evaluate("""(slider) => { // a finger comes down, and then scrolls the page
        slider.dispatchEvent(new PointerEvent("pointerdown"));
        slider.value = 3;
        slider.dispatchEvent(new Event("input"));
        slider.dispatchEvent(new PointerEvent("pointercancel"));
    }""")
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(place, abs=1)
    plot.press("Home")
    assert page.evaluate("document.querySelector('audio').currentTime") < 3


# --- several ---


def test_songs_are_dropped_anywhere(visit, half_minute, album):
    """One, then several; what else is dropped is said to be no song."""
    page = visit()

    def drop(*paths):
        page.evaluate("window.dropped = new DataTransfer()")
        for path in paths:
            data = base64.b64encode(path.read_bytes()).decode()
            page.evaluate(
                """async ([name, data]) => {
                    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt());
                    dropped.items.add(new File([bytes], name, {type: "audio/mpeg"}));
                }""",
                [path.name, data],
            )
        page.evaluate(
            """["dragover", "drop"].forEach((type) => document.querySelector("main").dispatchEvent(
                new DragEvent(type, {dataTransfer: dropped, bubbles: true, cancelable: true})))"""
        )

    drop(half_minute)
    shown(page, HALF)
    drop(*album)
    expect(page.locator("#songs .row")).to_have_count(4)
    expect(page.locator("#songs .row .small.energy")).to_have_count(4)
    drop()
    expect(page.locator("#alarm")).to_contain_text("No song came with this")


def test_the_song_chosen_last_is_the_one_shown(visit, half_minute, slow_song):
    page = visit()
    choose(page, slow_song)
    expect(row(page, "A Slow Song").locator(".state")).to_contain_text(re.compile("Heard|Hearing"))
    choose(page, half_minute)
    shown(page, HALF)
    expect(row(page, "A Slow Song").locator(".small.energy")).to_contain_text("0.")
    shown(page, HALF)
    assert page.locator(f"{RESULT} .value.energy .number").inner_text() in row(page, HALF).inner_text()
    row(page, "A Slow Song").locator("a").click()
    shown(page, "A Slow Song")


def test_x_stops_the_work(visit, hour, page_address):
    page = visit()
    heard(page, page_address, 0)  # what others left behind has ended
    choose(page, hour)
    expect(row(page, "An Hour").locator(".state")).to_contain_text("Heard")
    heard(page, page_address, 1)
    page.get_by_role("button", name="Cancel An Hour").click()
    expect(row(page, "An Hour")).to_contain_text("Stopped")
    heard(page, page_address, 0)
    assert kept(page) == []


def test_leaving_the_page_stops_the_work(visit, hour, page_address):
    page = visit()
    choose(page, hour)
    expect(row(page, "An Hour").locator(".state")).to_contain_text("Heard")
    heard(page, page_address, 1)
    page.goto("about:blank")
    heard(page, page_address, 0)


def test_back_and_forward(visit, half_minute, five_minutes):
    page = visit()
    hear(page, half_minute, HALF)
    hear(page, five_minutes, FIVE)
    page.go_back()
    shown(page, HALF)
    page.go_forward()
    shown(page, FIVE)
    page.go_back()
    page.go_back()
    expect(page.locator(RESULT)).to_have_count(0)
    expect(page.locator("#choose")).to_be_visible()


def test_refresh_keeps_the_result(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    values = page.locator(f"{RESULT} .number").all_inner_texts()
    page.reload()
    shown(page, HALF)
    assert page.locator(f"{RESULT} .number").all_inner_texts() == values
    expect(page.locator(RESULT)).to_contain_text("Choose the file again to hear it.")


def test_two_tabs_each_show_their_own_song(visit, half_minute, five_minutes):
    one = visit()
    other = one.context.new_page()
    other.goto(one.url)
    choose(one, five_minutes)
    choose(other, half_minute)
    shown(one, FIVE)
    shown(other, HALF)
    assert {result["name"] for result in kept(one)} == {FIVE, HALF}


def test_history_stays_can_be_opened_removed_and_cleared(visit, half_minute, five_minutes):
    page = visit()
    hear(page, half_minute, HALF)
    hear(page, five_minutes, FIVE)
    later = page.context.new_page()
    later.goto(page.url.split("#")[0])
    rows = later.locator("#songs li.row")
    expect(rows).to_have_count(2)
    rows.filter(has_text=HALF).locator("a").click()
    shown(later, HALF)
    later.get_by_role("button", name=f"Remove {FIVE}").click()
    expect(rows).to_have_count(1)
    assert [result["name"] for result in kept(later)] == [HALF]
    later.on("dialog", lambda dialog: dialog.accept())
    later.locator("#clear").click()
    expect(later.locator("#songs")).to_be_hidden()
    assert kept(later) == []
    later.reload()
    expect(later.locator("#choose")).to_be_visible()
    expect(rows).to_have_count(0)


def test_what_one_tab_removes_goes_from_the_other(visit, half_minute, five_minutes):
    """And is not put back by an explanation that comes late; what one tab adds comes to the other."""
    one = visit()
    other = one.context.new_page()
    other.goto(one.url)
    hear(one, half_minute, HALF)
    hear(one, five_minutes, FIVE)
    result = kept(one)[0]
    look = "document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))"
    other.evaluate(look)
    expect(other.locator("#songs .row")).to_have_count(2)
    other.get_by_role("button", name=f"Remove {FIVE}").click()
    until(other, "document.querySelectorAll('#songs .row').length === 1")
    one.evaluate("(result) => import('/static/store.js').then(({replace}) => replace(result))", result)
    assert [result["name"] for result in kept(one)] == [HALF]
    one.evaluate(look)
    expect(one.locator("#songs .row")).to_have_count(1)
    shown(one, HALF)


def test_leaving_asks_while_a_song_is_heard(visit, hour):
    page = visit()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator("h1").click()  # browsers ask nobody who did nothing
    page.reload()
    assert asked == []
    page.locator("h1").click()
    choose(page, hour)
    expect(row(page, "An Hour").locator(".state")).to_contain_text("Heard")
    page.reload()
    assert asked == ["beforeunload"]


def test_an_explanation_that_never_came_says_what_to_do(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    unexplained = kept(page)[0] | {"id": "9", "explanation": None}
    page.evaluate("(result) => import('/static/store.js').then(({put}) => put(result))", unexplained)
    page.goto(page.url.split("#")[0] + "#/song/9")
    page.reload()
    expect(page.locator(".why")).to_contain_text("The explanation was not finished. Choose the song again for it.")


def test_a_browser_that_keeps_nothing_says_so(visit, half_minute):
    page = visit(script="Object.defineProperty(window, 'indexedDB', {get() { throw new Error('refused'); }})")
    expect(page.locator("#kept")).to_contain_text("keeps nothing")
    hear(page, half_minute, HALF)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))")
    page.wait_for_timeout(200)
    shown(page, HALF)


# --- what goes wrong ---


def test_no_song_is_a_sentence(visit, tmp_path, half_minute):
    page = visit()
    (tmp_path / "notes.txt").write_text("no audio at all\n" * 100)
    (tmp_path / "empty.mp3").touch()
    for name in ("notes.txt", "empty.mp3"):
        choose(page, tmp_path / name)
        expect(page.locator("#view [role=alert]")).to_contain_text("This can't be used: ")
        expect(heading(page)).to_have_text(name.split(".")[0])
    hear(page, half_minute, HALF)
    assert [error for error in page.errors if "Failed to load resource" not in error] == []
    page.errors.clear()


def test_too_large_a_file_is_a_sentence_before_it_is_sent(visit, tmp_path):
    page = visit()
    with open(tmp_path / "large.wav", "wb") as file:
        file.truncate(310_000_000)
    choose(page, tmp_path / "large.wav")
    expect(page.locator("#view [role=alert]")).to_contain_text("310 MB")
    assert not any("api/analyses" in url for url in page.requested)


def test_a_folder_or_a_file_that_is_gone_is_a_sentence(visit, tmp_path, half_minute):
    page = visit()
    (tmp_path / "An Album").mkdir()
    data = {"items": [], "files": [str(tmp_path / "An Album")], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    expect(heading(page)).to_have_text("An Album")
    expect(page.locator("#view [role=alert]")).to_contain_text("This file can't be read: it is a folder, or was moved")
    moved = Path(copyfile(half_minute, tmp_path / "moved.mp3"))
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), {type: 'file', id: 'other'}))")
    page.locator("#other").set_input_files(moved)
    moved.unlink()
    page.evaluate("""() => {
        const dropped = new DataTransfer();
        dropped.items.add(document.querySelector("#other").files[0]);
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
    }""")
    expect(heading(page)).to_have_text("moved")
    expect(page.locator("#view [role=alert]")).to_contain_text("This file can't be read: it is a folder, or was moved")
    page.errors.clear()


def test_a_server_that_is_gone_is_a_sentence(visit, half_minute):
    with start("app.py", "--port", 0) as process:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        page = visit("/api/health")
        page.goto(address)
        hear(page, half_minute, HALF)
        process.terminate()
        process.wait(timeout=120)
    choose(page, half_minute)
    expect(page.locator("#view [role=alert]")).to_contain_text("The server can't be reached")
    page.go_back()
    shown(page, HALF)  # what was there stays
    page.get_by_role("button", name="Share a picture").click()
    expect(page.locator("#alarm")).to_contain_text("The server can't be reached")
    page.errors.clear()
    page.requested.clear()


# --- for everybody ---


def test_live_region_speaks_progress_and_result(visit, five_minutes):
    page = visit()
    page.evaluate("""() => {
        const spoken = document.querySelector("[aria-live]");
        window.said = [];
        new MutationObserver(() => said.push(spoken.textContent)).observe(spoken, {childList: true});
    }""")
    hear(page, five_minutes, FIVE)
    until(page, "said.some((words) => words.includes('valence'))")
    said = page.evaluate("said")
    assert 2 <= len(said) <= 8
    assert said[-1].startswith(FIVE)
    assert all(f"{target} 0." in said[-1] for target in TARGETS)


def test_keyboard_alone(visit):
    page = visit()
    asked = []
    page.on("filechooser", lambda chooser: asked.append(chooser))
    page.locator("#examples button").first.wait_for()
    pressed(page, "Tab", "#pick")
    page.keyboard.press("Enter")
    meanwhile(page, lambda: asked, "asked for a file")
    page.wait_for_timeout(500)
    assert len(asked) == 1
    pressed(page, "Tab", "#examples button")
    page.keyboard.press("Enter")
    expect(page.locator(RESULT)).to_be_visible()
    expect(heading(page)).to_be_focused()
    pressed(page, "Tab", "#view button, #view a, #view input[type=range]")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_keyboard_removes_songs_one_after_the_other(visit, album):
    page = visit()
    choose(page, *album)
    expect(page.locator("#songs .row .small.energy")).to_have_count(3)
    page.locator("#songs .row .x").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#songs .row")).to_have_count(2)
    expect(page.locator("#songs .row .x").nth(1)).to_be_focused()


def test_nothing_moves_for_those_who_want_it_so(visit, half_minute, hour):
    page = visit(reduced_motion="reduce")
    moving = "document.getAnimations().filter(({playState}) => playState === 'running').length"
    choose(page, hour)
    expect(row(page, "An Hour").locator(".state")).to_contain_text(re.compile("Hear"))
    assert page.evaluate(moving) == 0
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    hear(page, half_minute, HALF)
    assert page.evaluate(moving) == 0


def test_print_has_the_result_alone(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    page.emulate_media(media="print")
    expect(page.locator(f"{RESULT} .number").first).to_be_visible()
    for other in ("#choose", "#songs", "#examples", "footer", "#view .player", "#view .buttons"):
        expect(page.locator(other).first).to_be_hidden()


# --- what it loads ---


def test_usable_after_eight_requests_none_of_them_elsewhere(visit, page_address):
    page = visit()
    page.locator("#examples button").first.wait_for()
    place = next(n for n, url in enumerate(page.requested) if url.endswith("api/examples"))
    assert place < 8  # what comes after it is fetched while nothing else is to be done
    page.wait_for_load_state("networkidle")
    assert all(url.startswith((f"{page_address}/", "data:")) for url in page.requested)


def test_head_says_what_the_page_is(visit):
    page = visit()
    assert page.title()
    for selector in ("link[rel=icon]", "meta[property='og:title']", "meta[property='og:description']"):
        assert page.locator(selector).count() == 1
    assert page.locator("html[lang=en]").count() == 1


def test_json_of_a_result(visit, half_minute):
    page = visit()
    hear(page, half_minute, HALF)
    button = page.locator(RESULT).get_by_role("button", name=re.compile("JSON|numbers", re.I))
    name, content = downloaded(page, button.click)
    result = json.loads(content)
    assert name.endswith(".json") and result["schema"] == 1
    assert result["duration_s"] == pytest.approx(30, abs=0.2)
    assert result["name"] == HALF
    assert all(f"{result[target]:.2f}" in page.locator(RESULT).inner_text() for target in TARGETS)
