import pytest

from music_learning.errors import UserError
from music_learning.paths import DataPaths, ModelPaths


@pytest.mark.parametrize(
    "name", ["../x.mp3", "/etc/passwd", "other.mp3", "a.mp3/../../x", "a.", "a.mp3\n", "", "a/b.mp3"]
)
def test_unsafe_preview_file_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="unsafe preview_file"):
        DataPaths(tmp_path).preview({"song_id": "a", "preview_file": name})


@pytest.mark.parametrize("song_id", ["..", "a/b", "", "a b", "x" * 129])
def test_unsafe_song_id_is_refused(tmp_path, song_id):
    with pytest.raises(UserError, match="unsafe"):
        DataPaths(tmp_path).preview({"song_id": song_id, "preview_file": f"{song_id}.mp3"})


def test_safe_preview_file(tmp_path):
    path = DataPaths(tmp_path).preview({"song_id": "a-_1", "preview_file": "a-_1.mp3"})
    assert path == tmp_path / "previews" / "a-_1.mp3"


def test_paths_of_a_model_are_all_different(tmp_path):
    paths = ModelPaths(tmp_path)
    of_energy = {
        paths.weights("energy"),
        paths.description("energy"),
        paths.predictions("energy", "test"),
        paths.predictions("energy", "test", cached=True),
        paths.checkpoint("energy"),
        paths.picture("energy"),
    }
    assert len(of_energy) == 6
    assert all(path.is_relative_to(tmp_path) for path in of_energy)
