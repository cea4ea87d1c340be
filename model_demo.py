"""Stage 4: what the models predict, of a song that they never heard or of your own.

    python model_demo.py                          a random song that the models never heard, beside Spotify's values
    python model_demo.py --song Yellow            a certain one of the saved songs, by id or a part of its title
    python model_demo.py song.mp3                 all that can be said of a file of yours, and a picture of it
    python model_demo.py song.mp3 --explain       and what in it raised or lowered each value
    python model_demo.py song.mp3 album/          several files and folders: a line for each
    python model_demo.py album/ --csv moods.csv --json moods.json

Reads models/ and, without files, data/demo/. Writes a picture (demo.png) of a single song, and the tables you ask for.
Each of your files gets its row, in the order given and folders in sorted order; a file that can't be used has the
reason in its `error` column, does not stop the rest, and makes the exit status 1. A row is written as soon as it is
known, and the same command goes on where a stopped run was: only files that are new, that failed or that have changed
since (by size and time of change) are heard, or all with other models.

`--explain` takes about a second for each 30 s of a single song, saved or your own: it masks one cell of the spectrogram
after the other, 6 groups of frequencies times 3 to 4 seconds, and sees how far the values of those 30 s fall or rise.
It says where most, draws all of it over the spectrogram, and adds it to the JSON.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

from functools import partial

from music_learning.commands.predict import main
from music_learning.errors import run

if __name__ == "__main__":
    run(partial(main, __doc__))
