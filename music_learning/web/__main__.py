import music_learning.needs  # noqa: F401  (first, since it says what is missing)

from music_learning.errors import run
from music_learning.web.server import main

run(main)
