"""A library's songs as an index, in which similar songs are looked for."""

from pathlib import PurePath

import torch

from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.embeddings import read_embeddings
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import OWN_COLUMNS, SongIndex, Songs, year_of

MAX_LETTERS = 1000  # of a tag


def own_index(library: Library, predictor: Predictor) -> SongIndex:
    """The songs that a predictor's models heard, one for each content, as OWN_COLUMNS names them.

    A song without a title has its file's name, and the artist and the year are empty where no tag tells them.

    Raises:
        UserError: there are fewer than two, or the library can't be read.
    """
    columns = ("song_id", "title", "artist", "file", "date")
    (song_ids, titles, artists, files, dates), embeddings = read_embeddings(
        library, columns, predictor.models_version, order="song_id"
    )
    if len(song_ids) < 2:
        raise UserError(
            f"{library.path} has {len(song_ids)} songs that these models heard, at least 2 are needed; "
            f"run music-learning scan FOLDER --library {library.path}"
        )
    training_songs = predictor.training_songs
    if embeddings.shape[1] != training_songs.components.shape[1]:
        raise UserError(f"{library.path} is damaged: its embeddings are not of these models; restore it")
    names = (
        list(map(str, song_ids)),
        [_tag(title) or PurePath(file).stem for title, file in zip(titles, files, strict=True)],
        list(map(_tag, artists)),
        files,
        [str(year_of(date) or "") for date in dates],
    )
    songs = Songs(dict(zip(OWN_COLUMNS, names, strict=True)))
    return SongIndex(songs, torch.from_numpy(embeddings), training_songs.mean, training_songs.basis)


def _tag(text: str | None) -> str:
    """A tag as a table holds it: without the zero bytes that some have, and no longer than anybody reads."""
    return (text or "").replace("\0", "")[:MAX_LETTERS]
