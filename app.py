"""The web page: drop a song, or record one, and see what the models predict.

    python app.py                     then open http://127.0.0.1:7860
    python app.py --index mine/index  look for similar songs among your own: music-learning index

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach the page unless `--host` says otherwise.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

from functools import partial

from music_learning.errors import run
from music_learning.web.server import main

if __name__ == "__main__":
    run(partial(main, __doc__))
