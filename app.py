"""The web page, as `music-learning serve` starts it: `python app.py --help` tells more."""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

from music_learning.commands.serve import main
from music_learning.errors import run

if __name__ == "__main__":
    run(main)
