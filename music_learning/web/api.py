"""The HTTP interface, which the page uses, too."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from music_learning import __version__
from music_learning.columns import TARGETS
from music_learning.predict.markets import N_MARKETS
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import YEAR, year_of
from music_learning.predict.versions import NOISE
from music_learning.web.desk import Desk, problem
from music_learning.web.hearing import MAX_LENGTH_S
from music_learning.web.schema import BODY, described
from music_learning.web.uploads import AT_ONCE, MAX_FILE_MB

STATIC = Path(__file__).parent / "static"
SETTINGS = {  # FastAPI's
    "title": "Music-Learning",
    "version": __version__,
    "redirect_slashes": False,
    "description": "`curl -F file=@song.mp3 http://127.0.0.1:7860/api/analyses` is the whole manual.",
    **dict.fromkeys(("docs_url", "redoc_url")),  # whose pages load from elsewhere
    "telemetry": dict.fromkeys(("auto_configure", "tracing", "metrics", "logs"), False),  # a variable could turn it on
}


def make_app(desk: Desk) -> FastAPI:
    """The interface to a desk, and the page."""
    app = FastAPI(**SETTINGS)
    app.mount("/static/swagger", StaticFiles(directory=str(files("fastapi_offline") / "static")))
    app.mount("/static", StaticFiles(directory=STATIC))
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_route(path, lambda _, name=name: FileResponse(STATIC / name))
    about_models = facts(desk.predictor)

    @app.post("/api/analyses", **described("What a recording sounds like", BODY))
    async def analyse(request: Request, name: str = "", explain: bool = False) -> Response:
        """The recording is a form's field `file`, or the body itself, which `name` names. It may take 300 MB, and
        last 3 seconds to 2 hours. With `explain`, the analysis says what raised and what lowered its values."""
        return await desk.upload(request, name=name, explain=explain)

    @app.post("/api/examples/{song_id}", **described("What an example sounds like, beside Spotify's values"))
    async def analyse_example(request: Request, song_id: str, explain: bool = False) -> Response:
        return await desk.example(request, song_id, explain=explain)

    @app.get("/api/examples", summary="Songs that the models never heard, to try")
    async def examples() -> list[dict]:
        return [
            {"id": song["song_id"], "title": song["title"], "artist": song["artist"], "year": year_of(song.get(YEAR))}
            for song in desk.examples.values()
        ]

    @app.get("/api/health", summary="How many recordings are heard, and wait")
    async def health() -> dict:
        n = len(desk.line)
        return {"status": "ok", "analysing": min(n, AT_ONCE), "waiting": max(n - AT_ONCE, 0)}

    @app.get("/api/models", summary="How sure the values are, and what songs they are compared with")
    async def models() -> Response:
        return JSONResponse(about_models, headers={"Cache-Control": "private, max-age=600"})

    async def say_why(_: Request, error: Exception) -> JSONResponse:
        status, sentence = problem(error)
        return JSONResponse({"error": sentence}, status, getattr(error, "headers", None))

    for kind in (HTTPException, RequestValidationError, OSError, Exception):
        app.add_exception_handler(kind, say_why)
    return app


def facts(predictor: Predictor) -> dict:
    """What is said beside a result."""
    charts, descriptions = predictor.charts, predictor.descriptions
    return {
        "schema": 1,
        "program": __version__,
        "models": predictor.version,
        "limits": {"file_mb": MAX_FILE_MB, "length_s": MAX_LENGTH_S, "least_s": predictor.pipeline.config.min_s},
        "mean_errors": {t: descriptions[t].get("metrics", {}).get("test", {}).get("mae") for t in TARGETS},
        "n_index_songs": len(predictor.index.songs),
        "noise": NOISE,
        "charts": {"n_songs": charts.n_songs, "n_countries": charts.n_countries, **charts.values},
        "markets": {"top": N_MARKETS, "share": round(charts.share(), 3), "chance": round(charts.guess(), 3)},
    }
