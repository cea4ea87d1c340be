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
TAGS = ("title", "artist", "album", "date", "isrc")  # of an audio file
# What Spotify's endpoint of audio features says of a track, in its order, but for ids and addresses.
AUDIO_FEATURES = (
    *("danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness", "instrumentalness"),
    *("liveness", "valence", "tempo", "duration_ms", "time_signature"),
)
PREDICTED = ("acousticness", "speechiness", "instrumentalness")  # of these, what models predict beside the targets
# The row of a file in a run over many.
PREDICTION_COLUMNS = (
    *("file", "duration_s", *TARGETS, "error"),
    *(f"{target}_{end}" for target in TARGETS for end in ("low", "high")),
    *(f"{target}_percentile" for target in TARGETS),
    *(name for name in AUDIO_FEATURES if name not in TARGETS),
    *(f"{name}_{end}" for name in PREDICTED for end in ("low", "high")),
    *("lost_s", "mood", "mood_probability", "moods", "warnings", "similar_songs", "similar_artists", "markets"),
    "timeline",
    *TAGS,
    *("bytes", "modified", "sha256", "model"),
)
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
