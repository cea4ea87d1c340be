"""What charts where: how a song compares with the songs in the charts of 71 countries, and whose are most like it.

`charts.csv` has a row for each song in the daily top 50 of a country: Spotify's features of it, a number that stands
for its group of artists, and the countries; no title and no artist's name. `countries.csv` names the countries, and
`markets.json` has what `fit_markets` measured. tools/make_charts.py makes the first and the last.

The charts of a country are a cloud of points in the space of FEATURES, each feature in its standard deviations over all
songs. How dense the cloud is at a song x is estimated with a Gaussian kernel (Parzen, 1962,
doi:10.1214/aoms/1177704472):

    d_c(x) = mean over the songs s in the charts of c of exp(-|x - s|^2 / (2 WIDTH^2))

A wide cloud is rather dense in most places that are far from the middle: by d_c alone, one country would be among the
first ten of more than half of all songs. So each is divided by u_c, the mean of d_c over all chart songs as the models
would hear them: first comes the country where x is most at home, compared with other songs. That is right as often, and
tells more. benchmarks/markets.py measures both, and other features and widths. The loudness would find a few more
countries. It is left out, since the level of a mix is not that of its song: by it, a song that is made softer gets
other countries, in the end fewer right ones than by chance. The tempo adds nothing.

How sure that is: local songs, which chart in at most LOCAL countries, are looked for in the charts without the songs of
their artists. At place p of their lists, the countries where they chart stand s_p times per song. Some countries have
many local songs in their charts and some hardly any, so it is likelier to be right about the former; but much of that
is a few artists with many songs, and tells little of others. With n_c the local songs of c by other artists, and EXTRA
more, which is about what predicts best for artists that r_p was not measured with, the chance of c at place p is

    r_p * (n_c + EXTRA), where r_p = s_p / (mean of n_c + EXTRA over the countries at place p)
"""

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Self

import numpy as np

from music_learning.columns import PREDICTED, TARGETS
from music_learning.files import damaged, read_columns, read_json, sha256_of
from music_learning.paths import CHARTS, ChartPaths
from music_learning.pipeline_config import is_number
from music_learning.songs.table import parse_number

FEATURES = (*TARGETS, *PREDICTED)  # by which songs are compared
CHART_FEATURES = (*FEATURES, "loudness", "tempo")  # that are kept of a song
CHART_COLUMNS = (*CHART_FEATURES, "artists", "countries")
COUNTRY_COLUMNS = ("code", "name")
WIDTH = 1.0  # of the kernel, in standard deviations
EXTRA = 100  # local songs of each country, as if there were
LOCAL = 2  # countries: who charts in more does so for other reasons than its sound
N_MARKETS = 10
MADE_BY = "tools/make_charts.py"


@dataclass(frozen=True)
class Market:
    """A country whose charts are like a song.

    `percentile` is the % of the other countries whose charts are less like it. `chance` is the chance, in [0, 1], that
    a song which charts in one or two countries charts in this one, if it is at this place of the song's list, and
    `guess` the chance at any place. The first is measured on chart songs, the other songs of their artists left out,
    and with features that are off by as much as the models are.
    """

    country: str  # ISO 3166-1 code of two letters
    name: str  # in English
    percentile: float
    chance: float
    guess: float

    def to_dict(self) -> dict:
        rounded = {"chance": round(self.chance, 4), "guess": round(self.guess, 4)}
        return asdict(self) | {"percentile": round(self.percentile, 1)} | rounded


@dataclass(frozen=True)
class ChartSongs:
    """The songs of the charts."""

    features: np.ndarray  # (songs, CHART_FEATURES), Spotify's: in [0, 1], loudness in dB, tempo in bpm
    artists: np.ndarray  # (songs,), the number of each one's group of artists, which shares no artist with others
    charted: np.ndarray  # (songs, countries) of bool
    countries: tuple[str, ...]  # codes, sorted
    names: tuple[str, ...]  # of the countries
    sha256: str = ""  # of charts.csv

    @classmethod
    def open(cls, paths: ChartPaths = CHARTS) -> Self:
        """Read charts.csv and countries.csv. Raises UserError where one is missing or damaged."""
        columns = read_columns(paths.songs, CHART_COLUMNS, MADE_BY)
        numbers = [[parse_number(text) for text in columns[name]] for name in (*CHART_FEATURES, "artists")]
        if any(number is None for column in numbers for number in column) or len(numbers[0]) < 2:
            raise damaged(paths.songs, "it needs numbers, of two songs or more", MADE_BY)
        lists = [text.split() for text in columns["countries"]]
        countries = tuple(sorted({code for codes in lists for code in codes}))
        table = read_columns(paths.countries, COUNTRY_COLUMNS, MADE_BY)
        names = dict(zip(table["code"], table["name"], strict=True))
        if unnamed := [code for code in countries if code not in names]:
            raise damaged(paths.countries, f"it has no name for {unnamed[0]}", MADE_BY)
        *features, artists = np.array(numbers, float)
        charted = np.array([[code in codes for code in countries] for codes in lists])
        named = tuple(names[code] for code in countries)
        return cls(np.stack(features, axis=1), artists.astype(int), charted, countries, named, sha256_of(paths.songs))

    @cached_property
    def is_local(self) -> np.ndarray:
        """(songs,) of bool: those that chart in at most LOCAL countries."""
        return self.charted.sum(axis=1) <= LOCAL

    @cached_property
    def n_local(self) -> np.ndarray:
        """(countries,): how many local songs each has in its charts."""
        return self.charted[self.is_local].sum(axis=0)

    @cached_property
    def n_local_of_others(self) -> np.ndarray:
        """(songs, countries): how many of those are by other artists than each song's."""
        local = (self.charted & self.is_local[:, None]).astype(float)
        return (self.artists[:, None] != self.artists).astype(float) @ local

    def densities(
        self,
        points: np.ndarray,
        artists: np.ndarray | None = None,
        *,
        names: Sequence[str] = FEATURES,
        width: float = WIDTH,
    ) -> np.ndarray:
        """How dense each country's charts are at some points: d_c as above, (points, countries) in [0, 1].

        Args:
            points: (points, CHART_FEATURES) in the units of `features`; those that aren't in `names` may be anything.
            artists: (points,), the groups of artists whose songs are left out for each; none are without it.
            names: the features to compare.
            width: of the kernel.
        """
        places = [CHART_FEATURES.index(name) for name in names]
        scale = self.features[:, places].std(axis=0).clip(1e-9)
        points, songs = points[:, places] / scale, self.features[:, places] / scale
        squares = (points**2).sum(axis=1)[:, None] + (songs**2).sum(axis=1) - 2 * points @ songs.T
        kept = np.ones_like(squares) if artists is None else (artists[:, None] != self.artists).astype(float)
        kernel = kept * np.exp(squares.clip(0) / (-2 * width**2))
        charted = self.charted.astype(float)
        return (kernel @ charted) / (kept @ charted).clip(1)


@dataclass(frozen=True)
class Charts:
    """The songs of the charts, with what was measured of how well they tell a song's country."""

    songs: ChartSongs
    usual: np.ndarray  # (countries,), u_c as above
    shares: np.ndarray  # (countries,), s_p as above, falling
    rates: np.ndarray  # (countries,), r_p as above, falling

    @classmethod
    def open(cls, paths: ChartPaths = CHARTS) -> Self:
        """Read the tables and markets.json. Raises UserError where one is missing, damaged, or of other tables."""
        songs, measured = ChartSongs.open(paths), read_json(paths.markets, MADE_BY)
        of = {"songs_sha256": songs.sha256, "features": [*FEATURES], "width": WIDTH, "extra": EXTRA}
        if {name: measured.get(name) for name in of} != of:
            raise damaged(paths.markets, "or of other chart songs or features", MADE_BY)
        columns = [measured.get(name) for name in ("usual", "shares", "rates")]
        for numbers in columns:
            is_whole = isinstance(numbers, list) and len(numbers) == len(songs.countries)
            if not is_whole or not all(is_number(number) and 0 <= number <= 1 for number in numbers):
                raise damaged(paths.markets, "it needs a number from 0 to 1 for each country", MADE_BY)
        if not all(columns[0]) or not any(columns[1]):
            raise damaged(paths.markets, "it has zeros to divide by", MADE_BY)
        return cls(songs, *(np.array(numbers, float) for numbers in columns))

    @property
    def n_songs(self) -> int:
        return len(self.songs.features)

    @property
    def n_countries(self) -> int:
        return len(self.songs.countries)

    @cached_property
    def values(self) -> dict[str, list[float]]:
        """Spotify's values of the songs, for each target in the same order."""
        return {target: self.songs.features[:, CHART_FEATURES.index(target)].tolist() for target in TARGETS}

    @cached_property
    def _ordered(self) -> dict[str, list[float]]:
        return {target: sorted(values) for target, values in self.values.items()}

    def percentile(self, target: str, value: float) -> float:
        """% of the chart songs of which Spotify's value is lower."""
        return 100 * bisect_left(self._ordered[target], value) / self.n_songs

    def share(self, top: int = N_MARKETS) -> float:
        """How often a country where a local song charts is among the first `top` of its list, in [0, 1]."""
        return float(self.shares[:top].sum() / self.shares.sum())

    def guess(self, top: int = N_MARKETS) -> float:
        """How often it would be by chance."""
        return top / self.n_countries

    def markets(self, features: Mapping[str, float | None]) -> tuple[Market, ...]:
        """The N_MARKETS countries whose charts sound most like a song, the likest first.

        Args:
            features: of the song, as `Analysis.audio_features` names them. Where one of FEATURES is unknown, as it is
                to models without those of the other audio features, there are no markets.
        """
        if any(features.get(name) is None for name in FEATURES):
            return ()
        point = np.array([[features.get(name) or 0.0 for name in CHART_FEATURES]], float)
        likeness = self.songs.densities(point)[0] / self.usual
        others = self.n_countries - 1
        n_local = self.songs.n_local + EXTRA
        guesses = n_local / n_local.sum() * self.shares.sum()
        return tuple(
            Market(
                self.songs.countries[country],
                self.songs.names[country],
                percentile=100 * (others - place) / others,
                chance=min(float(self.rates[place] * n_local[country]), 1.0),
                guess=float(guesses[country]),
            )
            for place, country in enumerate(np.argsort(-likeness, kind="stable")[:N_MARKETS])
        )

    @cached_property
    def sha256(self) -> str:
        """A hash of all that markets follow from."""
        state = repr(
            (
                self.songs.sha256,
                self.songs.names,
                *(column.tolist() for column in (self.usual, self.shares, self.rates)),
            )
        )
        return hashlib.sha256(state.encode()).hexdigest()
