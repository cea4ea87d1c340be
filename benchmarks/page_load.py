"""The page with 50 uploads of a 30 s mp3 at once: how many are answered, how soon, and what memory is left in use.

python benchmarks/page_load.py
"""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
from synthetic import make_clip

ROOT = Path(__file__).parents[1]
AT_ONCE = 50
ROUNDS = 8
REST_S = 5


def predict(address: str, clip: Path) -> tuple[str, float]:
    """Upload a clip and wait for its result. Returns what came of it and the seconds it took."""
    start = time.perf_counter()
    with httpx.Client(base_url=f"{address}/gradio_api", timeout=300) as client:
        uploaded = client.post("upload", files={"files": ("song.mp3", clip.read_bytes())})
        if uploaded.status_code != 200:
            return f"refused ({uploaded.status_code})", time.perf_counter() - start
        data = [{"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}]
        event = client.post("call/predict", json={"data": data})
        if event.status_code != 200:
            return f"refused ({event.status_code})", time.perf_counter() - start
        answer = client.get(f"call/predict/{event.json()['event_id']}").text
    if "event: complete" not in answer:
        return "failed", time.perf_counter() - start
    values = json.loads(answer.split("data: ")[-1].splitlines()[0])[-1]
    return f"energy {values['energy']:.4f}", time.perf_counter() - start


def memory_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def main() -> None:
    command = [sys.executable, ROOT / "app.py", "--port", "0"]
    with TemporaryDirectory() as folder, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as page:
        try:
            address = re.search(r"http://\S+", page.stdout.readline())[0]
            clip = Path(folder) / "clip.mp3"
            make_clip(clip, seed=0)
            values, _ = predict(address, clip)
            _, seconds = predict(address, clip)  # the second time everything is warm
            print(f"alone: {values} after {seconds:.1f} s; {memory_mb(page.pid):.0f} MB")
            for _ in range(ROUNDS):
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    results = list(pool.map(lambda _: predict(address, clip), range(AT_ONCE)))
                answers = sorted({answer for answer, _ in results})
                times = [seconds for _, seconds in results]
                alive, after_mb = httpx.get(address, timeout=30).status_code, memory_mb(page.pid)
                time.sleep(REST_S)
                print(
                    f"{AT_ONCE} at once: {', '.join(answers)}; median {median(times):.1f} s, last {max(times):.1f} s; "
                    f"the page answers {alive}; {after_mb:.0f} MB, {memory_mb(page.pid):.0f} MB {REST_S} s later",
                    flush=True,
                )
        finally:
            page.terminate()


if __name__ == "__main__":
    main()
