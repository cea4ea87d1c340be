"""The page's server: what it needs at rest, how soon it answers, and with many uploads of a 30 s mp3 at once.

python benchmarks/page_load.py
"""

import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests
from serving import Server, serving
from synthetic import make_clip

from music_learning.predict.predictor import Predictor

AT_ONCE = (50, 200)
ROUNDS = 3
ALONE = 10
REST_S = 30


def analyse(server: Server, clip: bytes) -> tuple[str, float]:
    """Send a clip and wait for its analysis. Returns what came of it and the seconds it took."""
    start = time.perf_counter()
    try:
        answer = requests.post(f"{server.address}/api/analyses", files={"file": ("song.mp3", clip)}, timeout=300)
    except requests.RequestException as error:
        return f"broken off ({type(error).__name__})", time.perf_counter() - start
    seconds = time.perf_counter() - start
    if answer.status_code == 200:
        return f"energy {answer.json()['energy']:.4f}", seconds
    again = "with" if "Retry-After" in answer.headers else "without"
    return f"{answer.status_code} {again} Retry-After", seconds


def first_result(server: Server, clip: Path) -> None:
    """What a request takes beyond the analysis itself, which this process does in the meantime."""
    predictor = Predictor.load()
    predictor.predict(clip)
    itself, asked = [], []
    for _ in range(ALONE):
        start = time.perf_counter()
        predictor.predict(clip)
        itself.append(time.perf_counter() - start)
        asked.append(analyse(server, clip.read_bytes())[1])
    print(
        f"a 30 s mp3: {median(asked):.3f} s by HTTP, {median(itself):.3f} s the analysis itself; "
        f"{median(asked) - median(itself):.3f} s beyond (medians of {ALONE})"
    )


def many(server: Server, clip: bytes, at_once: int) -> None:
    barrier = threading.Barrier(at_once)

    def one(_: int) -> tuple[str, float]:
        barrier.wait()
        return analyse(server, clip)

    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, range(at_once)))
    counts = Counter(answer for answer, _ in results)
    last = {answer: max(seconds for other, seconds in results if other == answer) for answer in counts}
    after_mb = server.memory_mb
    alive = requests.get(server.address, timeout=30).status_code
    print(f"{at_once} at once: ", end="")
    print("; ".join(f"{n} x {answer}, the last after {last[answer]:.1f} s" for answer, n in counts.items()), end="; ")
    print(f"then it answers {alive}, {after_mb:.0f} MB, uploads {server.uploads_mb:.0f} MB", flush=True)


def browse(server: Server) -> None:
    """What a browser asks for until the page can be used."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        chromium = None
    if chromium is None:
        print("Chromium or Playwright is missing: what the page asks for was not counted")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, sizes = browser.new_page(), []
        page.on("requestfinished", lambda request: sizes.append(sum_of(request.sizes())))
        page.goto(server.address, wait_until="load")
        page.wait_for_timeout(200)
        usable, bytes_usable = len(sizes), sum(sizes)
        page.wait_for_timeout(5000)
        print(
            f"the page: {usable} requests and {bytes_usable / 1000:.0f} kB until usable, "
            f"{len(sizes)} and {sum(sizes) / 1000:.0f} kB after 5 s"
        )
        browser.close()


def sum_of(sizes: dict[str, int]) -> int:
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def main() -> None:
    with TemporaryDirectory() as folder, serving() as server:
        clip = Path(folder) / "clip.mp3"
        make_clip(clip, seed=0)
        time.sleep(REST_S)
        print(f"at rest: {server.memory_mb:.0f} MB {REST_S} s after the start", flush=True)
        browse(server)
        answer, seconds = analyse(server, clip.read_bytes())
        print(f"the first of all: {answer} after {seconds:.2f} s")
        first_result(server, clip)
        for at_once in AT_ONCE:
            for _ in range(ROUNDS):
                many(server, clip.read_bytes(), at_once)
        time.sleep(REST_S)
        print(f"{REST_S} s later: {server.memory_mb:.0f} MB")


if __name__ == "__main__":
    main()
