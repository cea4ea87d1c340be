"""The HTTP interface: the page, and what it and programs ask for."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from music_learning import __version__
from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.predict.predictor import Predictor
from music_learning.web.desk import Desk, problem
from music_learning.web.hearing import MAX_LENGTH_S, SCHEMA
from music_learning.web.uploads import MAX_FILE_MB

STATIC = Path(__file__).parent / "static"

router = APIRouter()


def desk(request: Request) -> Desk:
    return request.app.state.desk


@router.post("/api/analyses")
async def analyse(request: Request, name: str | None = None, explain: bool = False) -> Response:
    return await desk(request).upload(request, name=name, explain=explain)


@router.get("/api/examples")
async def examples(request: Request) -> list[dict]:
    return [
        {
            "id": song["song_id"],
            "title": song["title"],
            "artist": song["artist"],
            "year": int(song["release_year"]) if song.get("release_year") else None,
        }
        for song in desk(request).songs.values()
    ]


@router.post("/api/examples/{song_id}")
async def analyse_example(request: Request, song_id: str, explain: bool = False) -> Response:
    return await desk(request).example(request, song_id, explain=explain)


@router.get("/api/health")
async def health(request: Request) -> dict:
    line = desk(request).line
    return {"status": "ok", "analysing": line.analysing, "waiting": line.waiting}


@router.get("/api/models")
async def models(request: Request) -> Response:
    return JSONResponse(facts(desk(request).predictor), headers={"Cache-Control": "private, max-age=600"})


@router.get("/", include_in_schema=False)
async def page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def facts(predictor: Predictor) -> dict:
    """What is said beside a result."""
    songs = predictor.training_songs.songs
    errors = {t: predictor.descriptions[t].get("metrics", {}).get("test", {}).get("mae") for t in TARGETS}
    return {
        "schema": SCHEMA,
        "program": __version__,
        "models": predictor.version,
        "limits": {"file_mb": MAX_FILE_MB, "length_s": MAX_LENGTH_S, "least_s": predictor.pipeline.config.min_s},
        "mean_errors": errors,
        "n_training_songs": len(songs),
        "n_index_songs": len(predictor.index.songs),
        "noise": {"energy": 0.05, "danceability": 0.05, "valence": 0.05},
        "charts": {
            "n_songs": len(songs),
            "n_countries": 0,
            **{target: [round(float(song[target]), 3) for song in songs] for target in TARGETS},
        },
        "markets": None,
    }


def make_app(the_desk: Desk) -> FastAPI:
    off = dict.fromkeys(("auto_configure", "tracing", "metrics", "logs"), False)  # environment variables could turn it on
    app = FastAPI(title="Music-Learning", version=__version__, docs_url=None, redoc_url=None, telemetry=off)
    app.state.desk = the_desk
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.exception_handler(HTTPException)
    @app.exception_handler(UserError)
    @app.exception_handler(Exception)
    async def say_why(_: Request, error: Exception) -> JSONResponse:
        status, sentence = problem(error)
        return JSONResponse({"error": sentence}, status, getattr(error, "headers", None))

    @app.exception_handler(RequestValidationError)
    async def say_what_is_wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}."}, 400)

    return app
