"""Two versions of a song, such as two mixes: whether their values differ by more than another form of one does."""

# In 9 of 10 songs that the models never heard, none of these forms of the same 30 s moves the value by more: mp3 of
# 128 kbit/s, Ogg Vorbis, 3 dB louder or softer, mono, resampled to 48 kHz, without its first half second. Measured by
# `benchmarks/robustness.py --audio FOLDER`; whole songs move by about half of it or less (docs/robustness.md).
NOISE = {"energy": 0.019, "danceability": 0.016, "valence": 0.029}


def exceeds_noise(target: str, difference: float) -> bool:
    """Whether two versions' values of a target differ by more than the same music in another form does."""
    return abs(difference) > NOISE[target]
