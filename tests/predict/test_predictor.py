import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, chord, own_index, write_audio, write_with_ffmpeg

from music_learning.audio import AudioPipeline
from music_learning.columns import AUDIO_FEATURES, PREDICTED, PREDICTION_COLUMNS, TARGETS
from music_learning.errors import AudioError, UserError
from music_learning.evaluation.conformal import Interval
from music_learning.files import read_table
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.model.ensemble import load_model, save_model
from music_learning.model.kernel import GaussianProcess
from music_learning.paths import CHARTS, DataPaths, ModelPaths
from music_learning.predict.predictor import Predictor, read_rank_intervals
from music_learning.predict.similarity import YEAR


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


def noisy_chord(seconds, *, level=0.3, rate_hz=16_000, seed=0):
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))
    return chord(seconds=seconds, level=level, rate_hz=rate_hz) + 0.02 * noise


def test_values_are_those_of_the_models(predictor, trained):
    samples = torch.from_numpy(noisy_chord(12).astype(np.float32))
    analysis = predictor.predict(samples, sample_rate_hz=16_000)
    spectrogram = AudioPipeline()(samples)
    for target in TARGETS:
        model, _ = load_model(ModelPaths(trained), target)
        with torch.inference_mode():
            assert analysis.values[target] == pytest.approx(float(model(spectrogram[None])), abs=1e-5)


def test_file_and_waveform_say_the_same(predictor, tmp_path):
    samples = noisy_chord(5, rate_hz=44_100)
    path = write_audio(tmp_path / "a.wav", np.stack([samples, 0.5 * samples], axis=1), 44_100, subtype="FLOAT")
    by_file = predictor.predict(path)
    by_waveform = predictor.predict(np.stack([samples, 0.5 * samples]), sample_rate_hz=44_100)
    assert by_file.to_dict() == by_waveform.to_dict()
    assert predictor.predict(str(path)).to_dict() == by_file.to_dict()


@pytest.mark.parametrize(("seconds", "moments"), [(3, 1), (4.2, 2), (30, 8), (62, 16), (66, 18)])
def test_timeline_covers_the_recording_and_its_mean_is_the_value(predictor, seconds, moments):
    analysis = predictor.predict(noisy_chord(seconds), sample_rate_hz=16_000)
    starts = [moment.start_s for moment in analysis.timeline]
    assert analysis.duration_s == pytest.approx(seconds)
    assert len(starts) == moments
    assert starts[0] == 0
    assert all(2 < gap <= 4.1 for gap in np.diff(starts))
    if seconds <= 30:
        for target in TARGETS:
            mean = np.mean([moment.values[target] for moment in analysis.timeline])
            assert analysis.values[target] == pytest.approx(mean, abs=1e-6)


def test_timeline_follows_the_recording(predictor):
    """Two halves that differ: the timeline tells them apart, and a positive mood is the mean of both."""
    quiet, loud = noisy_chord(30, level=0.01), noisy_chord(30, level=0.9)
    analysis = predictor.predict(np.concatenate([quiet, loud]), sample_rate_hz=16_000)
    alone = [predictor.predict(half, sample_rate_hz=16_000) for half in (quiet, loud)]
    for target in TARGETS:
        timeline = [moment.values[target] for moment in analysis.timeline]
        assert len(set(timeline)) > 1
        assert timeline == pytest.approx([m.values[target] for half in alone for m in half.timeline], abs=1e-5)
    assert analysis.values["valence"] == pytest.approx(np.mean([half.values["valence"] for half in alone]), abs=1e-5)


def test_energy_is_that_of_the_loud_part(predictor):
    quiet, loud = noisy_chord(30, level=0.01), noisy_chord(30, level=0.9)
    analysis = predictor.predict(np.concatenate([quiet, loud]), sample_rate_hz=16_000)
    of_quiet, of_loud = (predictor.predict(x, sample_rate_hz=16_000).values["energy"] for x in (quiet, loud))
    assert abs(of_loud - of_quiet) > 0.01
    assert analysis.values["energy"] == pytest.approx(of_loud, abs=0.2 * abs(of_loud - of_quiet))


def test_parts_of_a_mix_vote_for_similar_songs(predictor, library):
    """Two songs of the index, one after the other: each is found by its own window, though their mean is neither."""
    clips = [soundfile.read(library / "clips" / f"song{number:02}.wav")[0] for number in (3, 8)]
    rate_hz = soundfile.info(library / "clips" / "song03.wav").samplerate
    windows = [
        window
        for clip in clips
        for window in predictor.pipeline.windows(predictor.pipeline.waveforms_of(clip, rate_hz))
    ]
    analysis = predictor.analyse(windows)
    found = {song.song_id: song.similarity_percentile for song in analysis.similar_songs}
    assert [found["song03"], found["song08"]] == pytest.approx([100, 100])


def test_silent_half_minutes_are_left_out(predictor):
    song = noisy_chord(30)
    analysis = predictor.predict(np.concatenate([np.zeros(30 * 16_000), song]), sample_rate_hz=16_000)
    assert analysis.duration_s == 60
    assert analysis.values == pytest.approx(predictor.predict(song, sample_rate_hz=16_000).values)
    assert analysis.timeline[0].start_s == 30
    silent = (analysis.spectrogram == predictor.pipeline.config.floor_db).all(dim=0)
    assert silent.float().mean() == pytest.approx(0.5, abs=0.01)  # where they are in the picture
    assert silent[: len(silent) // 2 - 5].all()


def test_windows_are_dropped_as_soon_as_they_are_heard(predictor):
    """An hour is analysed without being held: each window is gone when the next but one is asked for."""
    window, seen = torch.from_numpy(noisy_chord(30).astype(np.float32)), []

    def hour():
        for _ in range(12):
            waveform = window.clone()
            seen.append(weakref.ref(waveform))
            yield waveform, 30.0
            del waveform
            assert sum(reference() is not None for reference in seen) <= 1

    analysis = predictor.predict_waveforms(hour())
    assert analysis.duration_s == 360
    assert analysis.spectrogram.shape[1] <= 1024


def test_percentiles_count_the_chart_songs(predictor):
    analysis = predictor.predict(noisy_chord(5), sample_rate_hz=16_000)
    table = read_table(CHARTS.songs, TARGETS, "")
    for target in TARGETS:
        lower = [float(song[target]) < analysis.values[target] for song in table]
        assert analysis.percentiles[target] == pytest.approx(100 * np.mean(lower))
        assert analysis.to_dict()[f"{target}_percentile"] == round(analysis.percentiles[target], 1)


def test_versions_follow_the_charts(trained):
    """A library keeps the percentiles, so that it follows the songs; a table has the markets as well."""
    one, other, third = (Predictor.load(trained) for _ in range(3))
    other.charts = replace(other.charts, rates=other.charts.rates / 2)
    third.charts = replace(third.charts, songs=replace(third.charts.songs, sha256="another"))
    assert one.models_version == other.models_version != third.models_version
    assert len({one.version, other.version, third.version}) == 3


def test_markets_follow_the_features_and_are_none_of_what_is_no_music(predictor, monkeypatch):
    samples, noise = noisy_chord(5), np.random.default_rng(0).standard_normal(5 * 16_000)
    assert predictor.predict(samples, sample_rate_hz=16_000).markets == ()  # these models know no loudness
    others = AudioFeatureModel.load(ModelPaths(ROOT / "models"), predictor.features)
    monkeypatch.setattr(predictor, "audio_features", others)
    monkeypatch.setattr(predictor.no_music, "kind", lambda features: None)
    analysis = predictor.predict(samples, sample_rate_hz=16_000)
    features = analysis.values | {name: analysis.other_features[name] for name in (*PREDICTED, "loudness")}
    assert analysis.markets == predictor.charts.markets(features) and len(analysis.markets) == 10
    assert analysis.to_dict()["markets"] == [market.to_dict() for market in analysis.markets]
    monkeypatch.setattr(predictor.no_music, "kind", lambda features: "noise")
    analysis = predictor.predict(0.1 * noise, sample_rate_hz=16_000)
    assert analysis.warnings and analysis.markets == () and analysis.to_dict()["markets"] == []


def test_training_songs_are_those_learned_from(predictor, loaded):
    splits = {row["song_id"]: row["split"] for row in read_table(DataPaths(loaded).splits, ("song_id",), "")}
    indexed = [song["song_id"] for song in predictor.training_songs.songs]
    assert sorted(indexed) == sorted(song for song, split in splits.items() if split != "test")


def test_indexed_song_finds_itself(predictor, library):
    analysis = predictor.predict(library / "clips" / "song03.wav")
    assert analysis.similar_songs[0].song_id == "song03"
    assert analysis.similar_songs[0].similarity_percentile == pytest.approx(100)
    assert analysis.similar_artists[0].artist == "Artist 3"
    assert analysis.warnings == ()


def test_similar_songs_have_the_years_of_the_table(predictor, library, loaded):
    years = {row["song_id"]: row["release_year"] for row in read_table(DataPaths(loaded).songs, ("song_id",), "")}
    analysis = predictor.predict(library / "clips" / "song03.wav")
    assert [str(song.year or "") for song in analysis.similar_songs] == [
        years[song.song_id] for song in analysis.similar_songs
    ]
    assert all(song["year"] for song in analysis.to_dict()["similar_songs"])


def test_version_of_the_models_does_not_follow_from_years(trained, predictor):
    """A library's rows stay those of the same models, though what is said of similar songs changes."""
    other = Predictor.load(trained)
    other.training_songs.songs.columns[YEAR] = ["1900"] * len(other.training_songs.songs)
    assert other.models_version == predictor.models_version
    assert other.version != predictor.version
    del other.training_songs.songs.columns[YEAR]
    del other.models_version
    assert other.models_version == predictor.models_version
    other.training_songs.songs.columns["title"][0] = "Another"
    del other.models_version
    assert other.models_version != predictor.models_version


def test_noise_is_warned_of(predictor):
    noise = 0.3 * np.random.default_rng(1).standard_normal(16_000 * 31)
    assert "not like music" in predictor.predict(noise, sample_rate_hz=16_000).warnings[0]


@pytest.fixture
def unit_std(monkeypatch):
    """In place of how sure the kernel model is: a standard deviation of 1."""
    monkeypatch.setattr(GaussianProcess, "predict", lambda model, x: (model(x), torch.ones(len(x))))


def test_mood_follows_from_the_intervals_and_the_correlation(trained, unit_std):
    predictor = Predictor.load(trained)
    described = predictor.predict(noisy_chord(4), sample_rate_hz=16_000).to_dict()
    assert described["mood"] is not None
    assert (described["mood_probability"], described["moods"]) == (None, {})
    wide = Interval(low=(-0.5, 0, 0), high=(0.5, 0, 0), margin=0)
    found, versions = [], [predictor.version]
    for correlation in (0.0, 0.5):
        predictor = Predictor.load(trained)
        predictor.intervals, predictor.correlation = dict.fromkeys(TARGETS, wide), correlation
        found.append(predictor.predict(noisy_chord(4), sample_rate_hz=16_000).to_dict())
        versions.append(predictor.version)
    for described in found:
        assert sum(described["moods"].values()) == pytest.approx(1, abs=3e-4)
        assert described["mood_probability"] == max(described["moods"].values())
    assert found[0]["moods"] != found[1]["moods"]
    assert len(set(versions)) == 3


def test_intervals_are_in_the_result_where_there_are_some(predictor, trained, unit_std):
    assert predictor.predict(noisy_chord(4), sample_rate_hz=16_000).intervals == {}
    other = Predictor.load(trained)
    other.intervals = {"energy": Interval(low=(-0.1, 0, 0), high=(0.2, 0, 0), margin=0)}
    analysis = other.predict(noisy_chord(4), sample_rate_hz=16_000)
    assert analysis.intervals["energy"] == pytest.approx(
        (analysis.values["energy"] - 0.1, analysis.values["energy"] + 0.2)
    )
    assert {"energy_low", "energy_high"} <= set(analysis.to_dict())


def test_recordings_of_several_windows_have_the_intervals_of_songs(trained, unit_std):
    predictor = Predictor.load(trained)
    predictor.intervals = {"valence": Interval(low=(-0.1, 0, 0), high=(0.2, 0, 0), margin=0, songs_scale=0.5)}
    for seconds, scale in ((30, 1.0), (40, 0.5)):
        analysis = predictor.predict(noisy_chord(seconds), sample_rate_hz=16_000)
        value = analysis.values["valence"]
        assert analysis.intervals["valence"] == pytest.approx((value - 0.1 * scale, value + 0.2 * scale))


def test_result_is_json(predictor):
    values = json.loads(json.dumps(predictor.predict(noisy_chord(9), sample_rate_hz=16_000).to_dict()))
    assert list(values)[:4] == ["duration_s", *TARGETS]
    assert len(values["timeline"]) == 3
    assert set(values["timeline"][0]) == {"start_s", *TARGETS}


def test_threads_share_a_predictor(predictor):
    samples = [noisy_chord(4, seed=k, level=0.05 * (k + 1)) for k in range(8)]
    alone = [predictor.predict(x, sample_rate_hz=16_000).to_dict() for x in samples]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: predictor.predict(x, sample_rate_hz=16_000).to_dict(), samples))
    assert together == alone


@pytest.mark.parametrize(
    ("samples", "rate_hz", "reason"),
    [
        (np.zeros(16_000 * 4), 16_000, "silent"),
        (np.zeros(16_000), 16_000, "at least 3 s are needed"),
        (np.full(16_000 * 4, np.nan), 16_000, "NaN"),
        (chord(), 0, "sample rate is 0 Hz"),
        (chord(), None, "needs its sample_rate_hz"),
        ((chord() * 30_000).astype(np.int16), 16_000, "must be floats from -1 to 1"),
        (np.stack([chord()] * 2, axis=1), 16_000, r"\(channels, samples\)"),
        (np.zeros((2, 2, 9)), 16_000, r"\(channels, samples\)"),
    ],
)
def test_what_can_t_be_heard_is_an_error(predictor, samples, rate_hz, reason):
    with pytest.raises(UserError, match=reason):
        predictor.predict(samples, sample_rate_hz=rate_hz)


def test_missing_file_is_an_error(predictor, tmp_path):
    with pytest.raises(AudioError, match="there is no such file"):
        predictor.predict(tmp_path / "gone.mp3")


def test_own_index_is_searched_and_percentiles_stay(trained, tmp_path, predictor):
    own_index(trained, tmp_path / "index", songs=18)
    own = Predictor.load(trained, index=tmp_path / "index")
    assert len(own.index.songs) == 18
    assert len(own.training_songs.songs) == 14
    samples = noisy_chord(5)
    mine, theirs = (p.predict(samples, sample_rate_hz=16_000) for p in (own, predictor))
    assert mine.percentiles == theirs.percentiles
    assert len(mine.similar_songs) == 10
    assert own.models_version == predictor.models_version
    assert own.version != predictor.version


def test_songs_of_an_own_index_are_as_alike_as_they_would_be_among_the_training_songs(trained, tmp_path, predictor):
    """Of two songs alone, any distance is the smallest."""
    own_index(trained, tmp_path / "index", songs=2)
    own = Predictor.load(trained, index=tmp_path / "index")
    found = own.predict(noisy_chord(5), sample_rate_hz=16_000)
    distances = torch.linalg.vector_norm(own.index.components - found.embedding, dim=1).sort().values
    farther = [100 * float((predictor.index.pair_distances >= distance).double().mean()) for distance in distances]
    assert [song.similarity_percentile for song in found.similar_songs] == pytest.approx(farther, abs=0.01)


def test_version_changes_with_the_index(trained, tmp_path):
    versions = set()
    for n in (5, 6):
        own_index(trained, tmp_path / "index", songs=n)
        versions.add(Predictor.load(trained, index=tmp_path / "index").version)
    assert len(versions) == 2


def test_index_of_other_models_is_refused(own_models):
    paths = ModelPaths(own_models)
    model, _ = load_model(paths, "energy")
    with torch.no_grad():
        model.kernel.prior_mean += 0.01
    save_model(paths, "energy", model, {})
    with pytest.raises(UserError, match=r"made with other models than these; make it again with model_train\.py"):
        Predictor.load(own_models)


def test_missing_index_names_the_next_command(own_models):
    shutil.rmtree(ModelPaths(own_models).index)
    with pytest.raises(UserError, match=r"is missing; run model_train\.py first"):
        Predictor.load(own_models)


def test_what_a_damaged_file_lost_is_said(predictor, tmp_path):
    """Noise in place of a second of an m4a: its value is that of the rest, with a warning."""
    path = write_with_ffmpeg(tmp_path / "a.m4a", noisy_chord(12), 16_000, codec="aac")
    whole = predictor.predict(path)
    assert whole.lost_s < 0.1 and not any("damaged" in warning for warning in whole.warnings)
    data = bytearray(path.read_bytes())
    start, n = len(data) // 3, len(data) // 12
    data[start : start + n] = np.random.default_rng(0).bytes(n)
    path.write_bytes(data)
    damaged = predictor.predict(path)
    assert 0.3 < damaged.lost_s < 2
    assert f"{damaged.lost_s:.1f} s of it are damaged and left out." in damaged.warnings
    assert damaged.to_dict()["lost_s"] == round(damaged.lost_s, 2)
    assert damaged.duration_s == pytest.approx(whole.duration_s - damaged.lost_s, abs=0.3)


def test_audio_features_are_the_endpoints(predictor, monkeypatch):
    """All names in the endpoint's order; what there is no model of is None, and so is liveness."""
    samples = noisy_chord(34)
    without = predictor.predict(samples, sample_rate_hz=16_000)
    assert [*without.audio_features()] == [*AUDIO_FEATURES]
    assert without.audio_features()["duration_ms"] == 34_000
    assert without.audio_features()["energy"] == round(without.values["energy"], 4)
    assert without.audio_features()["loudness"] is None

    others = AudioFeatureModel.load(ModelPaths(ROOT / "models"), predictor.features)
    monkeypatch.setattr(predictor, "audio_features", others)
    monkeypatch.setattr(predictor, "rank_intervals", read_rank_intervals(others.intervals, ModelPaths(ROOT / "models")))
    analysis = predictor.predict(samples, sample_rate_hz=16_000)
    features = analysis.audio_features()
    assert features["key"] in range(12) and features["mode"] in (0, 1) and features["time_signature"] in (3, 4)
    assert 60 <= features["tempo"] <= 245 and -60 < features["loudness"] < 0
    for name in PREDICTED:
        low, high = analysis.intervals[name]
        assert 0 <= low <= features[name] + 1e-4 <= high + 2e-4 <= 1.001
        assert analysis.to_dict()[f"{name}_low"] == round(low, 4)
    assert features["instrumentalness"] > 0
    assert features["liveness"] is None
    louder = predictor.predict(2 * samples, sample_rate_hz=16_000).audio_features()
    slope = float(predictor.audio_features.loudness[0])
    assert louder["loudness"] == pytest.approx(features["loudness"] + slope * 6.02, abs=0.1)
    assert json.loads(json.dumps(analysis.to_dict())) | features == analysis.to_dict()
    assert {*features} <= {*PREDICTION_COLUMNS}


def test_damaged_intervals_of_ranks_are_refused(tmp_path):
    assert read_rank_intervals({}, ModelPaths(tmp_path)) == {}
    with pytest.raises(UserError, match="is damaged"):
        read_rank_intervals({"speechiness": {"low": [1]}}, ModelPaths(tmp_path))
