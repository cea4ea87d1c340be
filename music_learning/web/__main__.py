from music_learning.errors import run
from music_learning.web.server import main

run(main)
