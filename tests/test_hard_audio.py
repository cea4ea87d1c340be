"""Recordings that a player plays from end to end, and of which a decoder that believes what files say gets a part."""

import io
import os
import struct

import av
import numpy as np
import pytest
import soundfile
import torch
from av.error import OSError as FFmpegOSError
from conftest import write_with_ffmpeg

from music_learning import decoder
from music_learning.audio import AudioPipeline, Losses
from music_learning.errors import AudioError

RATE_HZ = 44_100
SECONDS = 8
NO_XING = {"write_xing": "0", "id3v2_version": "0"}


def music(*, seconds=SECONDS, rate_hz=RATE_HZ, seed=0):
    """A beat under a chord, other in each channel: (samples, 2)"""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    beat = np.random.default_rng(seed).standard_normal(len(t)) * np.exp(-8 * (2 * t % 1)) * 0.2
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330)) * 0.1
    return np.stack([beat + chord, 0.5 * beat + chord], axis=1)


def encoded(tmp_path, samples, codec, container, *, rate_hz=RATE_HZ, options=None) -> bytes:
    path = write_with_ffmpeg(tmp_path / "encoded", samples, rate_hz, codec=codec, container=container, options=options)
    data = path.read_bytes()
    path.unlink()
    return data


def by_libsndfile(samples, form, subtype=None, *, rate_hz=RATE_HZ) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format=form, subtype=subtype)
    return out.getvalue()


def damaged(data: bytes, at: float = 0.4, n: int = 600) -> bytes:
    """The same with some bytes in the middle replaced by noise."""
    start = int(at * len(data))
    return data[:start] + np.random.default_rng(1).bytes(n) + data[start + n :]


def with_inside(data: bytes, other: bytes, at: float = 0.5) -> bytes:
    return data[: int(at * len(data))] + other + data[int(at * len(data)) :]


def mp3(tmp_path, **options):
    return encoded(tmp_path, music(), "libmp3lame", "mp3", options=options)


def wav_of_size(size: int) -> bytes:
    data = bytearray(by_libsndfile(music(), "WAV", "PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    return bytes(data)


def flac_without_length() -> bytes:
    data = bytearray(by_libsndfile(music(), "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def mp3_with_wrong_count(tmp_path) -> bytes:
    """An mp3 whose Xing header says that it has 20 frames."""
    data = bytearray(mp3(tmp_path))
    at = data.index(b"Xing") if b"Xing" in data else data.index(b"Info")
    data[at + 8 : at + 12] = struct.pack(">I", 20)
    return bytes(data)


def vorbis(samples) -> bytes:
    return by_libsndfile(samples, "OGG", "VORBIS")


def opus(tmp_path, samples) -> bytes:
    return encoded(tmp_path, samples, "libopus", "ogg", rate_hz=48_000)


# How each is made, its suffix, and how much of it is to be heard, in seconds.
WHOLE = {
    "mp3 without a header, of two bit rates": (
        lambda p: mp3(p, **NO_XING, b="320000") + mp3(p, **NO_XING, b="64000"),
        "mp3",
        2 * SECONDS,
    ),
    "mp3 whose header counts too few frames": (mp3_with_wrong_count, "mp3", SECONDS),
    "two mp3s": (lambda p: mp3(p) * 2, "mp3", 2 * SECONDS),
    "mp3s of other rates": (
        lambda p: mp3(p) + encoded(p, music(rate_hz=22_050), "libmp3lame", "mp3", rate_hz=22_050),
        "mp3",
        2 * SECONDS,
    ),
    "mp3s of other channels": (
        lambda p: mp3(p) + encoded(p, music()[:, 0], "libmp3lame", "mp3"),
        "mp3",
        2 * SECONDS,
    ),
    "mp3 with zeros inside": (lambda p: with_inside(mp3(p), bytes(20_000)), "mp3", SECONDS),
    "mp3 with a web page inside": (lambda p: with_inside(mp3(p), b"<html><p>not found</p>\n" * 400), "mp3", SECONDS),
    "two Ogg Vorbis": (lambda p: vorbis(music()) + vorbis(music(seed=1)), "ogg", 2 * SECONDS),
    "two Opus": (
        lambda p: (
            encoded(p, music(rate_hz=48_000), "libopus", "ogg", rate_hz=48_000)
            + encoded(p, music(rate_hz=48_000, seed=1), "libopus", "ogg", rate_hz=48_000)
        ),
        "opus",
        2 * SECONDS,
    ),
    "one Ogg Vorbis twice": (lambda p: vorbis(music()) * 2, "ogg", 2 * SECONDS),
    "one Opus twice": (lambda p: opus(p, music(rate_hz=48_000)) * 2, "opus", 2 * SECONDS),
    "two FLACs": (lambda p: by_libsndfile(music(), "FLAC") + by_libsndfile(music(seed=1), "FLAC"), "flac", 2 * SECONDS),
    "FLAC without its length": (lambda _: flac_without_length(), "flac", SECONDS),
    "WAV of 0 bytes": (lambda _: wav_of_size(0), "wav", SECONDS),
    "WAV of 4 GB": (lambda _: wav_of_size(0xFFFFFFFF), "wav", SECONDS),
    "AAC named mp3": (lambda p: encoded(p, music(), "aac", "ipod"), "mp3", SECONDS),
    "ALAC named flac": (lambda p: encoded(p, music(), "alac", "ipod"), "flac", SECONDS),
}
DAMAGED = {
    "mp3": (lambda p: damaged(mp3(p)), "mp3"),
    "AAC": (lambda p: damaged(encoded(p, music(), "aac", "ipod")), "m4a"),
    "FLAC": (lambda _: damaged(by_libsndfile(music(), "FLAC")), "flac"),
    "Vorbis": (lambda _: damaged(vorbis(music(seconds=30))), "ogg"),
    "Opus": (
        lambda p: damaged(encoded(p, music(seconds=30, rate_hz=48_000), "libopus", "ogg", rate_hz=48_000)),
        "opus",
    ),
}


def heard(path):
    """Seconds decoded, and what was lost."""
    losses = Losses()
    return sum(duration_s for _, duration_s in AudioPipeline().waveforms(path, losses)), losses


@pytest.mark.parametrize("kind", WHOLE)
def test_all_that_a_player_plays_is_heard(tmp_path, kind):
    make, suffix, seconds = WHOLE[kind]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(make(tmp_path))
    heard_s, losses = heard(path)
    assert heard_s == pytest.approx(seconds, abs=0.12)
    assert losses.lost_s < 0.1


@pytest.mark.parametrize(
    ("layout", "codec", "container"),
    [
        ("7.1", "aac", "ipod"),  # eight planes
        ("7.1", "pcm_s16be", "aiff"),  # an order of its own
        ("7.1", "pcm_s16le", "caf"),
        ("7.1.4", "pcm_s16le", "wav"),
        ("5.1", "libopus", "ogg"),
        ("5.1", "flac", "flac"),
        ("3.0", "aac", "ipod"),
    ],
)
def test_surround_sound_is_heard_by_its_loudspeakers(tmp_path, layout, codec, container):
    """The centre 3 dB down, the effects not at all, wherever a format puts them."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    t = np.arange(4 * 48_000) / 48_000
    samples = np.zeros((len(t), len(names)), np.float32)
    samples[:, names.index("FC")] = 0.2 * np.sin(2 * np.pi * 1_000 * t)
    if "LFE" in names:
        samples[:, names.index("LFE")] = 0.5 * np.sin(2 * np.pi * 60 * t)
    write_packed(tmp_path / "a", samples, layout, codec, container)
    waveform = torch.cat([window for window, _ in AudioPipeline().waveforms(tmp_path / "a")])
    spectrum = torch.fft.rfft(waveform[16_000:48_000] * torch.hann_window(32_000)).abs() / 8_000
    assert spectrum[2_000].item() == pytest.approx(0.2 * 0.5**0.5, rel=0.06)
    assert spectrum[120].item() < 0.005


def write_packed(path, samples, layout, codec, container):
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout=layout, bit_rate=400_000)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate = 48_000
        for piece in av.AudioResampler(stream.format, layout, 48_000).resample(frame):
            output.mux(stream.encode(piece))
        output.mux([packet for packet in stream.encode(None) if packet.size])


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_place_costs_that_place(tmp_path, kind):
    make, suffix = DAMAGED[kind]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(make(tmp_path))
    seconds = 30 if kind in ("Vorbis", "Opus") else SECONDS
    heard_s, losses = heard(path)
    assert seconds - 2 < heard_s <= seconds + 0.1
    assert heard_s + losses.lost_s == pytest.approx(seconds, abs=0.25)


def test_sound_behind_a_damaged_place_is_the_right_one(tmp_path):
    """A high tone in the second half is there behind noise bytes in the first."""
    t = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    samples = 0.2 * np.sin(2 * np.pi * np.where(t < SECONDS / 2, 300, 3_000) * t)
    (tmp_path / "a.mp3").write_bytes(damaged(encoded(tmp_path, samples, "libmp3lame", "mp3"), at=0.2))
    waveform = torch.cat([window for window, _ in AudioPipeline().waveforms(tmp_path / "a.mp3")])
    spectrum = torch.fft.rfft(waveform[-32_000:]).abs()
    assert spectrum.argmax().item() == pytest.approx(3_000 * 32_000 / 16_000, abs=3)


def test_where_most_is_missing_is_an_error(tmp_path):
    data = encoded(tmp_path, music(), "aac", "ipod")
    start = data.index(b"mdat") + 8
    noise = np.random.default_rng(0).bytes(len(data) // 2)
    (tmp_path / "a.m4a").write_bytes(data[:start] + noise + data[start + len(noise) :])
    with pytest.raises(AudioError, match=r"\d of its \d s can't be decoded|too damaged to decode"):
        heard(tmp_path / "a.m4a")


def test_lost_seconds_of_an_mp3_are_told(tmp_path):
    data = bytearray(mp3(tmp_path))
    data[60_000:80_000] = bytes(20_000)  # a second at 160 kbit/s
    (tmp_path / "a.mp3").write_bytes(data)
    heard_s, losses = heard(tmp_path / "a.mp3")
    assert heard_s == pytest.approx(SECONDS - 1, abs=0.12)
    assert losses.lost_s == pytest.approx(1, abs=0.15)


def test_damaged_mp3_prints_nothing(tmp_path, capfd):
    """Frames in order and with a right header, so that libsndfile gets them, but with noise for contents."""
    data = bytearray(mp3(tmp_path))
    start = max(data.find(b"Xing"), data.find(b"Info"))
    noise = np.random.default_rng(0)
    at = data.index(b"\xff\xfb", start)
    while at + 400 < len(data) and at < 100_000:
        data[at + 4 : at + 40] = noise.bytes(36)
        at = data.index(data[at : at + 2], at + 400)
    (tmp_path / "a.mp3").write_bytes(data)
    heard(tmp_path / "a.mp3")
    soundfile.read(tmp_path / "a.mp3")  # as libsndfile does by itself
    assert "libmpg123" in capfd.readouterr().err
    heard(tmp_path / "a.mp3")
    assert capfd.readouterr() == ("", "")


def test_few_frames_at_another_rate_are_damage(tmp_path):
    """They neither cut the recording in two nor are heard."""
    other = encoded(tmp_path, music(rate_hz=22_050), "libmp3lame", "mp3", rate_hz=22_050, options=NO_XING)[:2_000]
    data = mp3(tmp_path, **NO_XING)
    (tmp_path / "a.mp3").write_bytes(with_inside(data, other))
    windows = list(AudioPipeline().waveforms(tmp_path / "a.mp3"))
    assert len(windows) == 1
    assert windows[0][1] == pytest.approx(SECONDS, abs=0.2)


def test_wrong_time_is_no_loss(tmp_path):
    data = encoded(tmp_path, music(seconds=12), "libmp3lame", "matroska")
    clusters = [at for at in range(len(data) - 4) if data[at : at + 4] == b"\x1f\x43\xb6\x75"]
    at = data.index(b"\xe7", clusters[len(clusters) // 2])
    n = data[at + 1] & 0x7F
    (tmp_path / "a.mka").write_bytes(data[: at + 2] + b"\xff" * n + data[at + 2 + n :])
    heard_s, losses = heard(tmp_path / "a.mka")
    assert heard_s == pytest.approx(12, abs=0.1)
    assert losses.lost_s < 0.1


def test_noise_that_can_be_decoded_is_not_heard(tmp_path):
    """Behind a damaged place, AAC's decoder gives out what is a thousand times full scale."""
    data = encoded(tmp_path, music(), "aac", "ipod")
    noise = np.random.default_rng(44).bytes(600)  # of which the decoder makes 900,000 times full scale
    (tmp_path / "a.m4a").write_bytes(data[:50_000] + noise + data[50_600:])
    assert max(window.abs().max() for window, _ in AudioPipeline().waveforms(tmp_path / "a.m4a")) < 2


def test_samples_beyond_all_measure_give_no_warning(tmp_path, recwarn):
    samples = music() * 1e30
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"far beyond full scale|NaN or infinite"):
        AudioPipeline().log_mels(tmp_path / "a.wav")
    assert not recwarn.list


def test_read_error_of_the_disk_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.mp3").write_bytes(mp3(tmp_path))

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(decoder, "_mp3_frames", fail)
    with pytest.raises(AudioError, match="can't be read to its end: Input/output error"):
        AudioPipeline().log_mels(tmp_path / "a.mp3")


def unknown_codec() -> bytes:
    data = bytearray(by_libsndfile(music(), "WAV", "PCM_16"))
    data[20:22] = struct.pack("<H", 0x7FFF)
    return bytes(data)


REFUSED = {
    "unknown codec": (lambda: unknown_codec(), "wav", "unknown here, or protected"),
    "text": (lambda: b"Not a song, but a story. " * 2_000, "au", "not an audio file"),
    "text named mp3": (lambda: b"Not a song, but a story. " * 2_000, "mp3", "not an audio file"),
    "noise named snd": (lambda: np.random.default_rng(0).bytes(50_000), "snd", "not an audio file"),
    "noise named vox": (lambda: np.random.default_rng(0).bytes(50_000), "vox", "not an audio file"),
    "noise named raw": (lambda: np.random.default_rng(0).bytes(50_000), "raw", "not an audio file"),
    "an Ogg of its first page": (lambda: vorbis(music())[:58], "ogg", "not an audio file"),
    "an offset": (lambda: by_libsndfile(np.full((5 * RATE_HZ, 1), 0.3), "WAV"), "wav", "only 0.1 s of sound"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_sound_is_refused(tmp_path, kind):
    make, suffix, reason = REFUSED[kind]
    (tmp_path / f"a.{suffix}").write_bytes(make())
    with pytest.raises(AudioError, match=reason):
        AudioPipeline().log_mels(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    "tag", [b"TAG" + b"x" * 125, b"APETAGEX" + bytes(300), b"<html>" * 50], ids=["ID3v1", "APE", "HTML"]
)
@pytest.mark.parametrize("form", ["FLAC", "OGG", "WAV"])
def test_what_stands_behind_a_recording_costs_nothing_of_it(tmp_path, form, tag):
    samples = music(seconds=3.5)
    (tmp_path / "a").write_bytes(by_libsndfile(samples, form) + tag)
    losses = Losses()
    heard_s = sum(seconds for _, seconds in AudioPipeline().waveforms(tmp_path / "a", losses))
    assert heard_s == pytest.approx(3.5, abs=0.02)
    assert losses.lost_s == 0


def test_hole_in_opus_is_lost_and_nothing_is_played_twice(tmp_path):
    data = encoded(tmp_path, music(seconds=20, rate_hz=48_000), "libopus", "opus", rate_hz=48_000)
    start = len(data) // 3
    hole = len(data) // 10
    (tmp_path / "a.opus").write_bytes(data[:start] + bytes(hole) + data[start + hole :])
    losses = Losses()
    heard_s = sum(seconds for _, seconds in AudioPipeline().waveforms(tmp_path / "a.opus", losses))
    assert heard_s < 19
    assert heard_s + losses.lost_s == pytest.approx(20, abs=0.3)


@pytest.mark.parametrize(
    "data", [b"/home/me/a.flac\n", b"Not a song. " * 5_000, np.random.default_rng(0).bytes(50_000)]
)
def test_text_and_noise_named_flac_are_no_audio(tmp_path, data):
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(AudioError, match="not an audio file"):
        AudioPipeline().log_mels(tmp_path / "a.flac")


@pytest.mark.parametrize("mark", [b"drms", b"enca", b"aavd"])
def test_protected_song_is_refused(tmp_path, mark):
    """What decodes of it would be noise."""
    data = encoded(tmp_path, music(), "aac", "ipod")
    (tmp_path / "a.m4a").write_bytes(data.replace(b"mp4a", mark))
    with pytest.raises(AudioError, match="protected against copying"):
        AudioPipeline().log_mels(tmp_path / "a.m4a")


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp3")
    with pytest.raises(AudioError, match="a pipe or a device, no file"):
        AudioPipeline().log_mels(tmp_path / "a.mp3")


def test_name_too_long_is_refused(tmp_path):
    with pytest.raises(AudioError, match="File name too long"):
        AudioPipeline().log_mels(tmp_path / f"{'a' * 300}.mp3")


def test_read_error_is_an_error_and_not_the_end(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(encoded(tmp_path, music(), "aac", "ipod"))
    opened = decoder._opened

    class Failing:
        """A file whose disk fails behind ten packets."""

        def __init__(self, container):
            self.container, self.streams, self.format = container, container.streams, container.format

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.container.close()

        def demux(self, stream):
            for number, packet in enumerate(self.container.demux(stream)):
                if number == 10:
                    raise FFmpegOSError(5, "Input/output error")
                yield packet

    monkeypatch.setattr(decoder, "_opened", lambda path: Failing(opened(path)))
    with pytest.raises(AudioError, match="can't be read to its end: Input/output error"):
        AudioPipeline().log_mels(tmp_path / "a.m4a")


def test_hours_of_silence_are_not_decoded_to_their_end():
    """The waveforms of a day, of which no more than an hour is asked for."""
    asked = []

    def day():
        for hour in range(24 * 120):
            asked.append(hour)
            yield torch.zeros(480_000), 30.0

    with pytest.raises(AudioError, match="silent: nothing in its first 60 minutes is above -60 dB"):
        list(AudioPipeline().windows(day()))
    assert len(asked) <= 121
