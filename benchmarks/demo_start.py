"""Wall time of `model_demo.py` without arguments beside that of importing torch and torchaudio.

python benchmarks/demo_start.py
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

REPEATS = 7
ROOT = Path(__file__).parents[1]


def seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    runs = [(seconds("-c", "import torch, torchaudio"), seconds("model_demo.py")) for _ in range(REPEATS + 1)][1:]
    print(f"median of {REPEATS} pairs of runs, after one to warm the disk's cache")
    print(f"  import torch, torchaudio {median(imports for imports, _ in runs):6.2f} s")
    print(f"  model_demo.py            {median(demo for _, demo in runs):6.2f} s")
    print(f"  the demo's own part      {median(demo - imports for imports, demo in runs):6.2f} s")


if __name__ == "__main__":
    main()
