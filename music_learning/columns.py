"""The columns of the tables that pass between the stages, and the names they are made of."""

import re

TARGETS = ("energy", "danceability", "valence")
SPLITS = ("train", "validation", "test")
# What the label source may know besides the three targets; missing is empty, never 0.
OTHER_FEATURES = (
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "loudness_db",
    "tempo_bpm",
    "key",
    "mode",
    "time_signature",
)
SONG_COLUMNS = (
    *("song_id", "title", "artist", "artist_id", "album", "isrc", "release_year"),
    *TARGETS,
    *OTHER_FEATURES,
    *("source", "label_source", "preview_file", "preview_sha256"),
)
REJECTED_COLUMNS = ("song_id", "title", "artist", "stage", "reason")
SPLIT_COLUMNS = ("song_id", "split")
INDEX_COLUMNS = ("song_id", "frames", "preview_sha256")
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
