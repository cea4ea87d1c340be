import dataclasses
import re

import av
import numpy as np
import pytest
import torch
from conftest import chord, tone, write_audio, write_silent_video, write_with_ffmpeg

from music_learning.audio import AudioPipeline
from music_learning.errors import AudioError
from music_learning.pipeline_config import PipelineConfig

AUDIBLE_DB = -40.0  # 8-bit samples and lossy codecs differ below it
N_MELS, N_ROWS = PipelineConfig().n_mels, PipelineConfig().n_rows


@pytest.fixture(scope="module")
def pipeline():
    return AudioPipeline()


@pytest.fixture(scope="module")
def reference(pipeline):
    """The chord's spectrogram, without any file."""
    with torch.inference_mode():
        return pipeline(torch.tensor(chord(), dtype=torch.float32))


def assert_sounds_like(spectrogram, reference, *, tolerance_db=1.0):
    assert abs(spectrogram.shape[1] - reference.shape[1]) <= 3  # codecs add up to 50 ms
    frames = slice(3, min(spectrogram.shape[1], reference.shape[1]) - 3)
    ours, theirs = spectrogram[:N_MELS, frames], reference[:N_MELS, frames]
    audible = theirs > AUDIBLE_DB
    assert audible.any(dim=1).sum() >= 10
    difference = (ours - theirs)[audible].abs()
    assert difference.median() < tolerance_db / 2
    assert difference.quantile(0.95) < tolerance_db
    assert (ours[theirs < -80] < -35).all()
    ours, theirs = spectrogram[N_MELS:, frames], reference[N_MELS:, frames]
    assert (ours - theirs)[theirs > AUDIBLE_DB].abs().median() < tolerance_db


LIBSNDFILE_FORMATS = [
    ("a.wav", {"subtype": "PCM_U8"}),
    ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_24"}),
    ("a.wav", {"subtype": "PCM_32"}),
    ("a.wav", {"subtype": "FLOAT"}),
    ("a.wav", {"subtype": "DOUBLE"}),
    ("a.flac", {}),
    ("a.ogg", {"subtype": "VORBIS"}),
    ("a.oga", {"format": "OGG", "subtype": "VORBIS"}),
    ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ("a.mp3", {}),
    ("a.aiff", {}),
    ("a.aif", {"format": "AIFF"}),
    ("UPPER.WAV", {}),
    ("UPPER.MP3", {}),
    ("really a flac.mp3", {"format": "FLAC"}),
    ("really an mp3.wav", {"format": "MP3"}),
    ("really a wav.m4a", {"format": "WAV"}),
    ("really a wav.raw", {"format": "WAV"}),
    ("no suffix", {"format": "WAV"}),
]


@pytest.mark.parametrize(("name", "options"), LIBSNDFILE_FORMATS)
def test_formats_of_libsndfile_sound_alike(pipeline, reference, tmp_path, name, options):
    file = write_audio(tmp_path / name, chord(rate_hz=48_000), 48_000, **options)
    spectrograms, duration_s = pipeline.log_mels(file)
    assert duration_s == pytest.approx(4, abs=0.06)
    assert len(spectrograms) == 1
    assert_sounds_like(spectrograms[0], reference)


FFMPEG_FORMATS = [
    ("a.m4a", "aac", None),
    ("a.M4A", "aac", "mp4"),
    ("a.mp4", "aac", None),
    ("a.aac", "aac", "adts"),
    ("a.m4a", "alac", None),
    ("a.opus", "libopus", None),
    ("really m4a.flac", "aac", "mp4"),
    ("a.webm", "libopus", None),
]


@pytest.mark.parametrize(("name", "codec", "container"), FFMPEG_FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_of_ffmpeg_sound_alike(pipeline, reference, tmp_path, name, codec, container, channels):
    samples = chord(rate_hz=48_000)
    if channels == 2:
        samples = np.stack([samples * 1.5, samples * 0.5], axis=1)
    write_with_ffmpeg(tmp_path / name, samples, 48_000, codec=codec, container=container)
    spectrograms, duration_s = pipeline.log_mels(tmp_path / name)
    assert duration_s == pytest.approx(4, abs=0.1)
    assert_sounds_like(spectrograms[0], reference)


@pytest.mark.parametrize(
    "rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 44_101, 48_000, 88_200, 96_000, 192_000]
)
def test_rates_sound_alike(pipeline, reference, tmp_path, rate_hz):
    write_audio(tmp_path / "a.wav", chord(rate_hz=rate_hz), rate_hz, subtype="FLOAT")
    spectrograms, duration_s = pipeline.log_mels(tmp_path / "a.wav")
    assert duration_s == pytest.approx(4)
    # Rates are rounded to ratios of small terms: 88.2 kHz sounds 0.2 % off, which moves the flanks of a tone.
    assert_sounds_like(spectrograms[0], reference, tolerance_db=2 if rate_hz == 88_200 else 1)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_full_clip_of_any_rate_has_the_same_frames(pipeline, tmp_path, rate_hz):
    write_audio(tmp_path / "a.wav", chord(seconds=30, rate_hz=rate_hz), rate_hz)
    spectrograms, _ = pipeline.log_mels(tmp_path / "a.wav")
    assert [tuple(spectrogram.shape) for spectrogram in spectrograms] == [(N_ROWS, 936)]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_are_averaged(pipeline, tmp_path, channels):
    gains = np.linspace(0.5, 1.5, channels) if channels > 1 else np.ones(1)
    noise = np.random.default_rng(0).standard_normal((64_000, channels)) * 0.05
    samples = chord()[:, None] * gains + noise
    write_audio(tmp_path / "many.wav", samples, subtype="FLOAT")
    write_audio(tmp_path / "one.wav", samples.mean(axis=1), subtype="FLOAT")
    (many,), _ = pipeline.log_mels(tmp_path / "many.wav")
    (one,), _ = pipeline.log_mels(tmp_path / "one.wav")
    torch.testing.assert_close(many, one, atol=0.01, rtol=0)


def test_opposite_channels_are_heard_as_a_player_plays_them(pipeline, reference, tmp_path):
    write_audio(tmp_path / "a.wav", np.stack([chord(), -chord()], axis=1), subtype="FLOAT")
    (spectrogram,), _ = pipeline.log_mels(tmp_path / "a.wav")
    assert_sounds_like(spectrogram, reference)


def test_one_inverted_channel_is_heard(pipeline, tmp_path):
    """A song with something of its own in each channel, of which one is inverted: the louder one stands for both."""
    sides = np.random.default_rng(0).standard_normal((2, 64_000)) * 0.02
    left, right = chord() + sides[0], 0.9 * chord() + sides[1]
    write_audio(tmp_path / "a.wav", np.stack([left, -right], axis=1), subtype="FLOAT")
    write_audio(tmp_path / "left.wav", left, subtype="FLOAT")
    (heard,), _ = pipeline.log_mels(tmp_path / "a.wav")
    (louder,), _ = pipeline.log_mels(tmp_path / "left.wav")
    torch.testing.assert_close(heard, louder, atol=0.01, rtol=0)


def test_surround_sound_is_mixed_as_for_two_loudspeakers(pipeline, tmp_path):
    """The effects' channel is left out; centre and rear count 3 dB less than left and right."""
    samples = np.random.default_rng(0).standard_normal((64_000, 6)) * 0.05
    left, right, centre, _, rear_left, rear_right = samples.T
    near = 0.5**0.5
    expected = (left + near * centre + near * rear_left + right + near * centre + near * rear_right) / 2
    write_audio(tmp_path / "many.wav", samples, subtype="FLOAT")
    write_audio(tmp_path / "one.wav", expected, subtype="FLOAT")
    (many,), _ = pipeline.log_mels(tmp_path / "many.wav")
    (one,), _ = pipeline.log_mels(tmp_path / "one.wav")
    torch.testing.assert_close(many, one, atol=0.02, rtol=0)


def test_full_scale_sine_is_0_db_in_its_band(pipeline):
    spectrogram = pipeline(torch.tensor(tone(), dtype=torch.float32))[:N_MELS]
    band = int(spectrogram.mean(dim=1).argmax())
    assert spectrogram[band].mean() == pytest.approx(0, abs=2)
    assert spectrogram[band + 6 :].max() < -40


def test_6_db_of_gain_raise_every_value_by_6_db(pipeline):
    waveform = torch.tensor(chord(level=0.2), dtype=torch.float32)
    quiet, loud = pipeline(waveform)[:N_MELS], pipeline(2 * waveform)[:N_MELS]
    above_floor = quiet > pipeline.config.floor_db + 1
    torch.testing.assert_close((loud - quiet)[above_floor], torch.tensor(6.0206).expand(above_floor.sum()))


def test_silence_is_the_floor(pipeline):
    spectrogram = pipeline(torch.zeros(16_000))
    torch.testing.assert_close(spectrogram, torch.full((N_ROWS, spectrogram.shape[1]), -120.0))


def test_nothing_is_farther_below_the_loudest_than_the_range(pipeline):
    loud, soft = (pipeline(torch.tensor(level * tone(level=0.5), dtype=torch.float32)) for level in (1, 0.1))
    for rows in (slice(0, N_MELS), slice(N_MELS, N_ROWS - 1)):
        assert loud[rows].amax() - loud[rows].amin() == pytest.approx(80, abs=1e-3)
        torch.testing.assert_close(soft[rows], loud[rows] - 20, atol=0.02, rtol=0)


@pytest.mark.parametrize("frequency_hz", [110, 220, 277.18, 440, 659.26, 1567.98])
def test_tone_is_at_its_pitch(pipeline, frequency_hz):
    waveform = torch.tensor(tone(frequency_hz=frequency_hz, level=0.1), dtype=torch.float32)
    pitches = pipeline(waveform)[N_MELS:-1]
    assert (pitches.argmax(dim=0) == round(12 * np.log2(frequency_hz / 55))).all()
    strongest = pitches.topk(2, dim=0).values
    assert (strongest[0] - strongest[1]).min() > 3  # beside it, in the filters' flanks


def test_pitches_are_those_of_the_time(pipeline):
    notes = np.concatenate([tone(frequency_hz=hz, seconds=1, level=0.1) for hz in (440, 523.25, 440)])
    pitches = pipeline(torch.tensor(notes, dtype=torch.float32))[N_MELS:-1]
    time_s = 0.032 + torch.arange(pitches.shape[1]) * 0.032
    inside = ((time_s % 1 > 0.2) & (time_s % 1 < 0.8)).nonzero()[:, 0]
    expected = torch.where((time_s > 1) & (time_s < 2), 39, 36)
    assert (pitches.argmax(dim=0) == expected)[inside].all()


def test_peaks_are_the_largest_samples_up_or_down(pipeline):
    waveform = torch.zeros(8 * 512)
    waveform[1_100], waveform[2_600] = 0.5, -0.1
    peaks = pipeline(waveform)[-1]
    torch.testing.assert_close(peaks, torch.tensor([-120, -6.02, -6.02, -120, -20, -20, -120]), atol=0.01, rtol=0)


def test_less_than_a_frame_of_pitches_is_filled_up(pipeline):
    assert pipeline(torch.tensor(tone(seconds=0.1), dtype=torch.float32)).shape == (N_ROWS, 2)


def test_batch_equals_one_by_one(pipeline):
    waveforms = torch.tensor(np.stack([chord(), chord(level=0.1)]), dtype=torch.float32)
    batch = pipeline(waveforms)
    assert batch.shape == (2, N_ROWS, 124)
    for spectrogram, waveform in zip(batch, waveforms, strict=True):
        torch.testing.assert_close(spectrogram, pipeline(waveform))


GOLDEN_FRAME_20 = [-95.35, -18.39, -71.72, -85.2, -18.13, -34.32, -95.35, -95.35, -95.35, -95.35, -95.35, -95.35]
GOLDEN_PEAKS = [-64.99, -15.35, -22.7, -20.7, -15.89, -20.13, -20.51, -20.2, -19.06, -18.81, -19.18, -18.7]
GOLDEN_MEAN = -80.278
GOLDEN_PITCHES_20 = [-102.33] * 4 + [-93.74, -36.73, -102.33, -102.33, -43.18, -102.33, -29.17, -36.67]
GOLDEN_PEAK_LEVELS = [-6.22, -5.67, -6.97, -9.52, -7.06, -4.7, -6.81]


def test_golden_values():
    """Changes of a library or of the code that move these values would silently change every model's input."""
    t = np.arange(64_000) / 16_000
    sweep = 0.1 * np.sin(2 * np.pi * (100 * t + 900 * t**2))  # 100 to 7,300 Hz in 4 s
    spectrogram = AudioPipeline(PipelineConfig())(torch.tensor(chord() + sweep, dtype=torch.float32))
    assert spectrogram.shape == (N_ROWS, 124)
    levels, pitches, peaks = spectrogram[:N_MELS], spectrogram[N_MELS:-1], spectrogram[-1]
    np.testing.assert_allclose(levels[::8, 20], GOLDEN_FRAME_20, atol=0.05)
    np.testing.assert_allclose(levels[::8].amax(dim=1), GOLDEN_PEAKS, atol=0.05)
    np.testing.assert_allclose(levels.mean(), GOLDEN_MEAN, atol=0.02)
    np.testing.assert_allclose(pitches[::5, 20], GOLDEN_PITCHES_20, atol=0.05)
    np.testing.assert_allclose(peaks[::20], GOLDEN_PEAK_LEVELS, atol=0.02)


def test_same_file_same_values(tmp_path):
    write_audio(tmp_path / "a.mp3", chord(rate_hz=44_100), 44_100)
    (first,), _ = AudioPipeline().log_mels(tmp_path / "a.mp3")
    (second,), _ = AudioPipeline().log_mels(tmp_path / "a.mp3")
    assert torch.equal(first, second)


def test_long_file_is_cut_into_windows(pipeline, tmp_path):
    samples = np.concatenate([chord(seconds=30, rate_hz=8_000, level=0.1 * k) for k in (1, 2, 3)])
    samples = np.concatenate([samples, chord(seconds=5, rate_hz=8_000)])
    write_audio(tmp_path / "a.wav", samples, 8_000)
    spectrograms, duration_s = pipeline.log_mels(tmp_path / "a.wav")
    assert [spectrogram.shape[1] for spectrogram in spectrograms] == [936, 936, 936, 155]
    assert duration_s == pytest.approx(95)
    loudness = [float(spectrogram[:N_MELS].max()) for spectrogram in spectrograms[:3]]
    assert loudness[1] - loudness[0] == pytest.approx(6.02, abs=0.1)
    assert loudness[2] - loudness[0] == pytest.approx(9.54, abs=0.1)


def test_windows_don_t_depend_on_the_decoder(pipeline, tmp_path):
    samples = chord(seconds=38, rate_hz=44_100)
    write_audio(tmp_path / "a.flac", samples, 44_100)
    write_with_ffmpeg(tmp_path / "a.m4a", samples, 44_100, codec="alac")
    flac, flac_s = pipeline.log_mels(tmp_path / "a.flac")
    m4a, m4a_s = pipeline.log_mels(tmp_path / "a.m4a")
    assert flac_s == pytest.approx(38)
    assert m4a_s == pytest.approx(38)
    for one, other in zip(flac, m4a, strict=True):
        assert_sounds_like(one, other, tolerance_db=0.1)


def test_remainder_under_3_s_is_left_out(pipeline, tmp_path):
    write_audio(tmp_path / "a.wav", chord(seconds=32.5))
    spectrograms, duration_s = pipeline.log_mels(tmp_path / "a.wav")
    assert [spectrogram.shape[1] for spectrogram in spectrograms] == [936]
    assert duration_s == pytest.approx(32.5)


def test_exactly_3_s_are_enough(pipeline, tmp_path):
    write_audio(tmp_path / "a.wav", chord(seconds=3))
    spectrograms, duration_s = pipeline.log_mels(tmp_path / "a.wav")
    assert (len(spectrograms), duration_s) == (1, 3)


def test_silence_at_both_ends_is_cut_off(pipeline, tmp_path):
    sound, silence = chord(seconds=3.2), np.zeros(64_000)
    write_audio(tmp_path / "alone.wav", sound)
    write_audio(tmp_path / "between.wav", np.concatenate([silence, sound, silence]))
    (alone,), _ = pipeline.log_mels(tmp_path / "alone.wav")
    (between,), duration_s = pipeline.log_mels(tmp_path / "between.wav")
    assert duration_s == pytest.approx(11.2)
    torch.testing.assert_close(between, alone)


def test_silence_in_the_middle_stays(pipeline, tmp_path):
    write_audio(tmp_path / "a.wav", np.concatenate([chord(seconds=2), np.zeros(16_000), chord(seconds=2)]))
    (spectrogram,), _ = pipeline.log_mels(tmp_path / "a.wav")
    assert spectrogram.shape[1] == 1 + (80_000 - 1024) // 512
    assert (spectrogram[:N_MELS, 65:90] == spectrogram[:N_MELS].amax() - 80).all()


def test_windows_with_too_little_sound_are_left_out(pipeline, tmp_path):
    mostly_silent = np.concatenate([chord(seconds=2), np.zeros(28 * 16_000)])
    write_audio(tmp_path / "a.wav", np.concatenate([mostly_silent, chord(seconds=10)]))
    (spectrogram,), duration_s = pipeline.log_mels(tmp_path / "a.wav")
    assert (spectrogram.shape[1], duration_s) == (1 + (160_000 - 1024) // 512, 40)
    write_audio(tmp_path / "b.wav", np.concatenate([mostly_silent, mostly_silent]))
    with pytest.raises(AudioError, match="nowhere 3 s of sound in a row"):
        pipeline.log_mels(tmp_path / "b.wav")


def with_bad_sample(value):
    samples = chord()
    samples[30_000] = value
    return samples


UNUSABLE = {
    "text": (lambda path: path.write_text("This is no audio. " * 100), "not an audio file"),
    "random bytes": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(50_000)), "not an audio file"),
    "empty": (lambda path: path.touch(), "empty"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "missing": (lambda path: None, "no such file"),
    "silent": (lambda path: write_audio(path, np.zeros(64_000)), "silent"),
    "nearly silent": (lambda path: write_audio(path, chord(level=0.0005)), "silent"),
    "short": (lambda path: write_audio(path, chord(seconds=2.9)), r"only 2\.9 s of audio; at least 3 s"),
    "very short": (lambda path: write_audio(path, chord(seconds=0.01)), r"only 0\.0 s of audio"),
    "mostly silent": (
        lambda path: write_audio(path, np.concatenate([chord(seconds=2), np.zeros(64_000)])),
        r"only (2\.0|1\.9) s of sound in 6\.0 s",
    ),
    "NaN": (lambda path: write_audio(path, with_bad_sample(np.nan), subtype="FLOAT"), "NaN or infinite"),
    "infinite": (lambda path: write_audio(path, with_bad_sample(-np.inf), subtype="DOUBLE"), "NaN or infinite"),
    "header only": (lambda path: write_audio(path, np.zeros(0)), r"only 0\.0 s of audio"),
    "half a header": (lambda path: path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt "), "not an audio file"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_file_has_a_clear_reason(pipeline, tmp_path, case):
    make, reason = UNUSABLE[case]
    make(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=reason):
        pipeline.log_mels(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_nan_survives_resampling(pipeline, tmp_path, rate_hz):
    samples = chord(seconds=35, rate_hz=rate_hz)
    samples[33 * rate_hz] = np.nan
    write_audio(tmp_path / "a.wav", samples, rate_hz, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        pipeline.log_mels(tmp_path / "a.wav")


def test_film_without_sound(pipeline, tmp_path):
    write_silent_video(tmp_path / "film.mp4")
    with pytest.raises(AudioError, match="no audio stream"):
        pipeline.log_mels(tmp_path / "film.mp4")


@pytest.mark.parametrize("rate_hz", [500, 2_000_000])
def test_absurd_rate(pipeline, tmp_path, rate_hz):
    write_audio(tmp_path / "a.wav", np.zeros(64_000), rate_hz)
    with pytest.raises(AudioError, match=f"sample rate is {rate_hz} Hz"):
        pipeline.log_mels(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.aiff", "a.m4a", "a.aac"])
def test_truncated_file_is_used_as_far_as_it_goes(pipeline, reference, tmp_path, name):
    samples = chord(seconds=12, rate_hz=44_100)
    if name.endswith(("m4a", "aac")):
        options = {"movflags": "faststart"} if name == "a.m4a" else {}
        write_with_ffmpeg(tmp_path / name, samples, 44_100, codec="aac", options=options)
    else:
        write_audio(tmp_path / name, samples, 44_100)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    spectrograms, duration_s = pipeline.log_mels(tmp_path / name)
    assert 5 < duration_s < 9
    assert_sounds_like(spectrograms[0][:, : reference.shape[1]], reference)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_garbage_in_the_middle_is_no_crash(pipeline, tmp_path, name):
    write_audio(tmp_path / name, chord(seconds=12, rate_hz=44_100), 44_100)
    damaged = bytearray((tmp_path / name).read_bytes())
    middle = len(damaged) * 2 // 3
    damaged[middle : middle + 3000] = np.random.default_rng(2).bytes(3000)
    (tmp_path / name).write_bytes(damaged)
    _, duration_s = pipeline.log_mels(tmp_path / name)
    assert 5 < duration_s < 12.1


def test_m4a_without_its_table_of_contents(pipeline, tmp_path):
    write_with_ffmpeg(tmp_path / "a.m4a", chord(rate_hz=44_100), 44_100, codec="aac")
    whole = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="not an audio file, or too damaged"):
        pipeline.log_mels(tmp_path / "a.m4a")


def test_stream_that_changes_its_format_is_used_or_refused(pipeline, tmp_path):
    """Two recordings of a radio stream, one after the other in a file."""
    stereo = np.stack([chord(rate_hz=44_100)] * 2, axis=1)
    write_with_ffmpeg(tmp_path / "stereo.aac", stereo, 44_100, codec="aac", container="adts")
    write_with_ffmpeg(tmp_path / "mono.aac", chord(rate_hz=22_050), 22_050, codec="aac", container="adts")
    parts = [(tmp_path / name).read_bytes() for name in ("stereo.aac", "mono.aac")]
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    try:
        _, duration_s = pipeline.log_mels(tmp_path / "both.aac")
    except AudioError as error:
        assert "change" in str(error)
    else:
        assert duration_s > 3.9


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.aac\n#EXT-X-ENDLIST\n",
    "a.ffconcat": "ffconcat version 1.0\nfile secret.aac\n",
    "a.mp3": "ffconcat version 1.0\nfile secret.aac\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_playlist_can_t_name_another_file(pipeline, tmp_path, name):
    write_with_ffmpeg(tmp_path / "secret.aac", chord(rate_hz=44_100), 44_100, codec="aac", container="adts")
    (tmp_path / name).write_text(PLAYLISTS[name])
    with av.open(str(tmp_path / name)) as container:  # by itself FFmpeg plays it
        assert container.streams.audio
    with pytest.raises(AudioError, match="not an audio file"):
        pipeline.log_mels(tmp_path / name)


@pytest.mark.parametrize("name", ["Live: at home.m4a", "Live: at home.wav", "-", "-x.m4a", "file:.m4a", "100%d.m4a"])
def test_odd_names_in_the_current_folder(pipeline, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name.endswith("m4a"):
        write_with_ffmpeg(tmp_path / name, chord(rate_hz=44_100), 44_100, codec="aac", container="mp4")
    else:
        write_audio(tmp_path / name, chord(), format="WAV")
    _, duration_s = pipeline.log_mels(name)
    assert duration_s == pytest.approx(4, abs=0.1)


def test_non_latin_names(pipeline, tmp_path):
    write_audio(tmp_path / "夜に駆ける 🎵.flac", chord())
    write_with_ffmpeg(tmp_path / "Ночь.m4a", chord(rate_hz=44_100), 44_100, codec="aac")
    assert pipeline.log_mels(tmp_path / "夜に駆ける 🎵.flac")[1] == 4
    assert pipeline.log_mels(tmp_path / "Ночь.m4a")[1] == pytest.approx(4, abs=0.1)


def test_file_that_may_not_be_read(pipeline, tmp_path, monkeypatch):
    """The tests may run as root, who may read everything, so the refusal is simulated."""
    write_audio(tmp_path / "a.wav", chord())

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError, match="Permission denied"):
        pipeline.log_mels(tmp_path / "a.wav")


def test_config_survives_json():
    config = PipelineConfig(hop_samples=256, f_max_hz=7_000.0)
    assert PipelineConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "change",
    [{"hop_samples": "512"}, {"hop_samples": None}, {"unknown": 1}, {"hop_samples": True}],
    ids=["text", "null", "unknown", "boolean"],
)
def test_damaged_config_is_refused(change):
    with pytest.raises(TypeError):
        PipelineConfig.from_dict(PipelineConfig().to_dict() | change)


def test_config_with_a_missing_setting_is_refused():
    values = PipelineConfig().to_dict()
    del values["n_mels"]
    with pytest.raises(TypeError, match="n_mels"):
        PipelineConfig.from_dict(values)


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_config_that_is_no_object_is_refused(values):
    with pytest.raises(TypeError):
        PipelineConfig.from_dict(values)


def test_differences_name_both_values():
    config = PipelineConfig(hop_samples=512, n_mels=96)
    other = dataclasses.replace(config, hop_samples=256, n_mels=64)
    assert set(re.split(", ", config.differences(other))) == {"hop_samples 512 and 256", "n_mels 96 and 64"}
    assert config.differences(PipelineConfig(hop_samples=512, n_mels=96)) == ""


def test_other_settings_are_used(tmp_path):
    write_audio(tmp_path / "a.wav", chord(seconds=9))
    config = PipelineConfig(sample_rate_hz=8_000, f_max_hz=4_000, n_mels=40, clip_s=4, hop_samples=256)
    spectrograms, _ = AudioPipeline(config).log_mels(tmp_path / "a.wav")
    assert [tuple(spectrogram.shape) for spectrogram in spectrograms] == [(101, config.clip_frames)] * 2


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mka", "flac"), ("a.m4a", "aac"), ("a.tta", "tta"), ("a.wv", "wavpack")]
)
def test_title_in_a_wrong_encoding_costs_no_file(tmp_path, name, codec):
    path = write_with_ffmpeg(tmp_path / name, chord(rate_hz=44_100), 44_100, codec=codec, tags={"title": "THE TITLE"})
    content = path.read_bytes()
    assert b"THE TITLE" in content
    path.write_bytes(content.replace(b"THE TITLE", b"\xc7\xe0\xef\xe8\xf1\xfc\xff\xfe\xfd"))
    _, duration_s = AudioPipeline().log_mels(path)
    assert duration_s == pytest.approx(4, abs=0.1)
