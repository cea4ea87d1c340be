"""Recordings that players play from end to end, and of which a decoder that believes what files say hears a part.

    python benchmarks/hard_audio.py

Made from 30 s of synthetic music. Prints the length and the values of each beside those of the plain WAV; the length
must be right to 2 % (heard and lost together), the values to .02, or .05 where a part is damaged. The exit status is 1
if any is off.
"""

import argparse
import io
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
from synthetic import RATE_HZ, by_libsndfile, encoded, make_clip

from music_learning.columns import TARGETS
from music_learning.errors import AudioError
from music_learning.predict.predictor import Predictor

LENGTH_OFF = 0.02
VALUES_OFF, VALUES_OFF_DAMAGED = 0.02, 0.05
NO_XING = {"write_xing": "0", "id3v2_version": "0"}


@dataclass(frozen=True)
class Kind:
    make: Callable[[np.ndarray], bytes]  # from (samples, 2)
    times: float = 1  # as long as the reference
    is_damaged: bool = False
    refusal: str = ""  # words of the sentence, where it must be refused


def mp3(x: np.ndarray, **settings) -> bytes:
    return encoded(x, "mp3", "libmp3lame", **settings)


def m4a(x: np.ndarray, **settings) -> bytes:
    return encoded(x, "ipod", "aac", **settings)


def opus(x: np.ndarray) -> bytes:
    return encoded(x, "ogg", "libopus", rate_hz=48_000)


def vorbis(x: np.ndarray) -> bytes:
    return by_libsndfile(x, "OGG", "VORBIS")


def flac(x: np.ndarray) -> bytes:
    return by_libsndfile(x, "FLAC")


def wav(x: np.ndarray) -> bytes:
    return by_libsndfile(x, "WAV", "PCM_16")


# ---------------------------------------------------------------------------------------------------- what is done


def noise_inside(data: bytes, *, at: float = 0.3, n: int = 600) -> bytes:
    """Some bytes replaced by noise."""
    start = int(at * len(data))
    return data[:start] + np.random.default_rng(0).bytes(n) + data[start + n :]


def inserted(data: bytes, other: bytes) -> bytes:
    return data[: len(data) // 2] + other + data[len(data) // 2 :]


def with_bytes(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def two_bit_rates(x: np.ndarray) -> bytes:
    cut = len(x) // 6
    parts = ((x[:cut], 320_000), (x[cut:], 64_000))
    return b"".join(mp3(part, bit_rate=bit_rate, options=NO_XING) for part, bit_rate in parts)


def wrong_count(x: np.ndarray, n_frames: int) -> bytes:
    data = mp3(x)
    return with_bytes(data, max(data.find(b"Xing"), data.find(b"Info")) + 8, struct.pack(">I", n_frames))


def wav_of_size(x: np.ndarray, size: int) -> bytes:
    data = wav(x)
    return with_bytes(data, data.index(b"data") + 4, struct.pack("<I", size))


def odd_chunks(x: np.ndarray) -> bytes:
    """A WAV with chunks of odd sizes before and behind its format, and one behind its samples."""
    data = wav(x)
    form, samples = data[12:36], data[data.index(b"data") :]
    junk = b"JUNK" + struct.pack("<I", 7) + bytes(8)
    text = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    body = b"WAVE" + junk + form + text + samples + junk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def without_total(x: np.ndarray) -> bytes:
    data = flac(x)
    return with_bytes(with_bytes(data, 21, bytes([data[21] & 0xF0])), 22, bytes(4))


def with_picture(x: np.ndarray, n_bytes: int = 5_000_000) -> bytes:
    """An mp3 behind an ID3 tag that holds a picture of 5 MB, in which something looks like frames."""
    picture = b"\0image/jpeg\0\3\0" + mp3(x[:RATE_HZ]) * (n_bytes // 16_000)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame + mp3(x, options={"id3v2_version": "0"})


def with_tags_behind(x: np.ndarray) -> bytes:
    """An mp3 with an APE tag and an ID3v1 tag, whose title is Latin-1, at its end."""
    item = struct.pack("<II", 4, 0) + b"Title\0caf\xe9"
    ape = item + b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0) + bytes(8)
    return mp3(x) + ape + b"TAG" + b"Caf\xe9".ljust(125, b"\0")


def surround(x: np.ndarray, container: str, codec: str, **settings) -> bytes:
    """The music in the centre alone, and a loud hum for the subwoofer."""
    centre = x.mean(axis=1) * 2**0.5
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(len(x)) / RATE_HZ)
    nothing = np.zeros_like(centre)
    samples = np.stack([nothing, nothing, centre, hum, nothing, nothing], axis=1)
    return encoded(samples, container, codec, bit_rate=400_000, **settings)


def with_other_streams(x: np.ndarray, container: str, codec: str, *, more_audio: bool = False) -> bytes:
    """A film: a picture every tenth of a second beside the sound; or a second, silent soundtrack behind the first."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as output:
        video = output.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        audio = [output.add_stream(codec, rate=RATE_HZ, layout="stereo") for _ in range(1 + more_audio)]
        for number in range(10 * len(x) // RATE_HZ):
            picture = np.full((64, 64, 3), number % 256, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
        for gain, stream in zip((1, 0), audio, strict=False):
            planes = np.ascontiguousarray(gain * x.T, np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
            frame.sample_rate = RATE_HZ
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return out.getvalue()


def with_a_wrong_time(x: np.ndarray) -> bytes:
    """Matroska of which one cluster in the middle says that it plays more than half a minute later."""
    data = encoded(x, "matroska", "libmp3lame")
    clusters = [at for at in range(len(data) - 4) if data[at : at + 4] == b"\x1f\x43\xb6\x75"]
    at = data.index(b"\xe7", clusters[len(clusters) // 2])
    n = data[at + 1] & 0x7F
    return with_bytes(data, at + 2, b"\xff" * n)


TEN = {
    "vbr_without_header.mp3": Kind(two_bit_rates),
    "joined.mp3": Kind(lambda x: mp3(x) * 2, times=2),
    "chained.ogg": Kind(lambda x: vorbis(x) * 2, times=2),
    "damaged.mp3": Kind(lambda x: noise_inside(mp3(x)), is_damaged=True),
    "damaged.m4a": Kind(lambda x: noise_inside(m4a(x)), is_damaged=True),
    "without_length.flac": Kind(without_total),
    "m4a_named.mp3": Kind(m4a),
    "antiphase.wav": Kind(lambda x: wav(np.stack([x.mean(axis=1), -x.mean(axis=1)], axis=1))),
    "crashed_recorder.wav": Kind(lambda x: wav_of_size(x, 0)),
    "unknown_codec.wav": Kind(lambda x: with_bytes(wav(x), 20, b"\xff\x7f"), refusal="unknown here, or protected"),
}
MORE = {
    "header_counts_20.mp3": Kind(lambda x: wrong_count(x, 20)),
    "header_counts_a_million.mp3": Kind(lambda x: wrong_count(x, 10**6)),
    "joined_with_other_rate.mp3": Kind(lambda x: mp3(x) + mp3(x, rate_hz=32_000), times=2),
    "joined_with_mono.mp3": Kind(lambda x: mp3(x) + mp3(x.mean(axis=1, keepdims=True)), times=2),
    "zeros_inside.mp3": Kind(lambda x: inserted(mp3(x), bytes(30_000)), is_damaged=True),
    "web_page_inside.mp3": Kind(lambda x: inserted(mp3(x), b"<html><p>not found</p>\n" * 2_000), is_damaged=True),
    "lost_second.mp3": Kind(
        lambda x: with_bytes(mp3(x), 100_000, bytes(16_000)),
        is_damaged=True,
    ),
    "picture_of_5_mb.mp3": Kind(with_picture),
    "tags_behind.mp3": Kind(with_tags_behind),
    "chained.opus": Kind(lambda x: opus(x) * 2, times=2),
    "chained.flac": Kind(lambda x: flac(x) * 2, times=2),
    "chained_flac.oga": Kind(lambda x: encoded(x, "ogg", "flac") * 2, times=2),
    "damaged.flac": Kind(lambda x: noise_inside(flac(x)), is_damaged=True),
    "damaged.ogg": Kind(lambda x: noise_inside(vorbis(x)), is_damaged=True),
    "damaged.opus": Kind(lambda x: noise_inside(opus(x)), is_damaged=True),
    "damaged.aac": Kind(lambda x: noise_inside(encoded(x, "adts", "aac")), is_damaged=True),
    "damaged.wma": Kind(lambda x: noise_inside(encoded(x, "asf", "wmav2")), is_damaged=True),
    "damaged.ac3": Kind(lambda x: noise_inside(encoded(x, "ac3", "ac3")), is_damaged=True),
    "damaged.wv": Kind(lambda x: noise_inside(encoded(x, "wv", "wavpack")), is_damaged=True),
    "joined_with_other_rate.aac": Kind(
        lambda x: encoded(x, "adts", "aac") + encoded(x, "adts", "aac", rate_hz=32_000), times=2
    ),
    "size_of_4_gb.wav": Kind(lambda x: wav_of_size(x, 2**32 - 1)),
    "odd_chunks.wav": Kind(odd_chunks),
    "of_24_bits.wav": Kind(lambda x: by_libsndfile(x, "WAVEX", "PCM_24")),
    "beyond_full_scale.wav": Kind(lambda x: by_libsndfile(1.4 * x / np.abs(x).max(), "WAV", "FLOAT")),
    "with_offset.wav": Kind(lambda x: by_libsndfile(x + 0.2, "WAV", "FLOAT")),
    "mp3_inside.wav": Kind(lambda x: encoded(x, "wav", "libmp3lame")),
    "inverted.wav": Kind(lambda x: wav(x * (1, -1))),
    "mono_16_khz.aiff": Kind(lambda x: encoded(x.mean(axis=1, keepdims=True), "aiff", "pcm_s16be", rate_hz=16_000)),
    "surround.wav": Kind(lambda x: surround(x, "wav", "pcm_s16le")),
    "surround.opus": Kind(lambda x: surround(x, "ogg", "libopus", rate_hz=48_000)),
    "surround.m4a": Kind(lambda x: surround(x, "ipod", "aac")),
    "matroska_named.mp3": Kind(lambda x: encoded(x, "matroska", "aac")),
    "wrong_time.mka": Kind(with_a_wrong_time),
    "film.mp4": Kind(lambda x: with_other_streams(x, "mp4", "aac")),
    "film.mkv": Kind(lambda x: with_other_streams(x, "matroska", "ac3")),
    "two_soundtracks.m4b": Kind(lambda x: with_other_streams(x, "mp4", "aac", more_audio=True)),
    "in_fragments.m4a": Kind(lambda x: encoded(x, "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"})),
    "alac.caf": Kind(lambda x: encoded(x, "caf", "alac")),
    "a.w64": Kind(lambda x: by_libsndfile(x, "W64", "PCM_16")),
    "a.webm": Kind(lambda x: encoded(x, "webm", "libopus", rate_hz=48_000)),
    "a.tta": Kind(lambda x: encoded(x, "tta", "tta")),
    "text.au": Kind(lambda x: b"Not a song, but a story. " * 4_000, refusal="not an audio file"),
    "noise.snd": Kind(lambda x: np.random.default_rng(0).bytes(100_000), refusal="not an audio file"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    predictor = Predictor.load(Path(__file__).parents[1] / "models")
    with TemporaryDirectory() as folder:
        make_clip(Path(folder) / "music.wav", seed=0)
        samples, _ = soundfile.read(Path(folder) / "music.wav")
        reference = values_of(predictor, wav(samples), Path(folder) / "reference.wav")
        n_right = 0
        for title, kinds in (("the ten", TEN), ("more", MORE)):
            right = [is_right(predictor, Path(folder) / name, kind, samples, reference) for name, kind in kinds.items()]
            print(f"{title}: {sum(right)} of {len(right)}")
            n_right += sum(right)
    return int(n_right < len(TEN) + len(MORE))


def values_of(predictor: Predictor, data: bytes, path: Path) -> np.ndarray:
    path.write_bytes(data)
    predicted = predictor.predict(path).values
    return np.array([predicted[target] for target in TARGETS])


def is_right(predictor: Predictor, path: Path, kind: Kind, samples: np.ndarray, reference: np.ndarray) -> bool:
    """Print what is heard of a file, and say whether it is what a player plays."""
    data = kind.make(samples)
    try:
        values = values_of(predictor, data, path)
        analysis = predictor.predict(path)
    except AudioError as error:
        right = bool(kind.refusal) and kind.refusal in str(error)
        print(f"{'ok ' if right else 'OFF'} {path.name:28} refused: {error}")
        return right
    expected_s = kind.times * len(samples) / RATE_HZ
    off = np.abs(values - reference).max()
    right = (
        not kind.refusal
        and abs(analysis.duration_s + analysis.lost_s - expected_s) <= LENGTH_OFF * expected_s
        and off <= (VALUES_OFF_DAMAGED if kind.is_damaged else VALUES_OFF)
    )
    shown = " ".join(f"{value:.3f}" for value in values)
    print(
        f"{'ok ' if right else 'OFF'} {path.name:28} {analysis.duration_s:6.2f} s of {expected_s:5.2f}, "
        f"{analysis.lost_s:5.2f} lost   {shown}, {off:.3f} off"
    )
    return right


if __name__ == "__main__":
    sys.exit(main())
