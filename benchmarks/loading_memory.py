"""Peak memory of data_loading.py for 750 and for 7,500 songs.

    python benchmarks/loading_memory.py

The songs of data/songs.csv (made by data_collection.py), or synthetic clips without it, are repeated under new ids and
artists. Takes about ten minutes and 1.5 GB of disk.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from synthetic import make_clip

from music_learning.columns import SONG_COLUMNS
from music_learning.files import sha256_of, write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows

ROOT = Path(__file__).parents[1]
COUNTS = (750, 7_500)
N_SYNTHETIC = 20


def synthetic_songs(paths: DataPaths) -> list[dict[str, str]]:
    songs = []
    paths.previews.mkdir(parents=True)
    for i in range(N_SYNTHETIC):
        song = dict.fromkeys(SONG_COLUMNS, "") | {"song_id": f"song{i}", "title": f"Song {i}", "artist": f"Artist {i}"}
        song |= {"energy": "0.5", "danceability": "0.5", "valence": "0.5", "preview_file": f"song{i}.mp3"}
        make_clip(paths.preview(song), seed=i)
        songs.append(song | {"preview_sha256": sha256_of(paths.preview(song))})
    return songs


def repeat(songs: list[dict[str, str]], source: DataPaths, destination: DataPaths, count: int) -> None:
    """Write `count` songs that share the clips of the given ones."""
    destination.previews.mkdir(parents=True)
    repeated = []
    for i in range(count):
        song = songs[i % len(songs)]
        suffix = Path(song["preview_file"]).suffix
        song_id = f"copy{i:06}"
        copy = song | {"song_id": song_id, "artist": f"{song['artist']} {i}", "preview_file": song_id + suffix}
        destination.preview(copy).symlink_to(source.preview(song).resolve())
        repeated.append(copy)
    write_table(destination.songs, SONG_COLUMNS, repeated)


def peak_mb(paths: DataPaths) -> float:
    """The largest resident set of a run of data_loading.py, in MB."""
    process = subprocess.Popen(
        [sys.executable, "data_loading.py", "--data", str(paths.root)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit("error: data_loading.py failed")
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    with TemporaryDirectory() as folder:
        source = DataPaths(ROOT / "data")
        if source.songs.exists():
            songs = read_song_rows(source)
        else:
            source = DataPaths(Path(folder) / "source")
            songs = synthetic_songs(source)
        peaks = []
        for count in COUNTS:
            paths = DataPaths(Path(folder) / str(count))
            repeat(songs, source, paths, count)
            peaks.append(peak_mb(paths))
            print(f"{count:6,} songs: peak {peaks[-1]:5.0f} MB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
