"""The REST interface of a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from ..utils.image_io import OUTPUT_FORMATS, SUFFIXES
from ..version import __version__
from .hosts import KnownHosts
from .intake import Intake
from .limits import Refused
from .service import Service, shown_name, store, stored_name

_DESCRIPTION = """
Colorize photos and videos. Results keep the size and the lightness of the original.

    curl --fail-with-body -F file=@old.jpg http://127.0.0.1:7860/api/colorize -o new.jpg
"""
# The types that Python's mimetypes lacks or that depend on the system.
_MEDIA_TYPES = {
    '.avif': 'image/avif',
    '.m4v': 'video/mp4',
    '.mkv': 'video/x-matroska',
    '.webp': 'image/webp',
}
# Shown in the description of the interface.
_STATUSES = {
    400: 'The body of the request cannot be read, or the server does not answer to this name.',
    403: 'The request comes from a page of another site.',
    408: 'The upload took too long.',
    413: 'The file has too many bytes, pixels or frames.',
    415: 'The file is not a photo or a video of a supported format.',
    422: 'The file is damaged, or an argument is wrong.',
    500: 'An internal error.',
    503: 'The server is busy or cannot colorize; the header Retry-After says when to try again.',
    504: 'Colorizing took too long.',
}


class Problem(BaseModel):
    """The answer to a request that was refused."""

    detail: str

    model_config = {
        'json_schema_extra': {
            'examples': [{'detail': 'The file cannot be colorized: the file is empty.'}]
        }
    }


class Health(BaseModel):
    """The state of the server."""

    status: str
    waiting: int

    model_config = {'json_schema_extra': {'examples': [{'status': 'ok', 'waiting': 0}]}}


class Version(BaseModel):
    """The version of the package, and what `dualattn info --weights` prints."""

    dualattn_mm: str
    weights: dict[str, str]
    limits: dict[str, float]


def create_app(service: Service, hosts: list[str] | None = None) -> FastAPI:
    """Return the ASGI application.

    Args:
        service: colorizes the uploads.
        hosts: the host names by which the server may be called; None accepts all.
    """
    app = FastAPI(
        title='dualattn_mm',
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,  # the pages for these load scripts from the network
        redoc_url=None,
        openapi_url='/api/openapi.json',
    )
    app.state.stores = {}
    app.add_middleware(Intake, limits=service.limits, stores=app.state.stores)
    if hosts is not None:
        app.add_middleware(KnownHosts, hosts=hosts)

    @app.exception_handler(RequestValidationError)
    async def one_sentence(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = '.'.join(map(str, first['loc'][1:]))
        return JSONResponse({'detail': f'{place}: {first["msg"]}.'}, 422)

    @app.exception_handler(Exception)
    async def internal(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({'detail': "Internal error; see the server's log."}, 500)

    def folder() -> Iterator[Path]:
        with service.new_folder() as path:
            yield path

    @app.post(
        '/api/colorize',
        summary='Colorize a photo or a video',
        response_class=FileResponse,
        responses={
            200: {
                'description': 'The colorized file. The header Remark, if there is one, says what '
                'of the file was damaged or not kept; it is percent-encoded.',
                'content': {'image/*': {}, 'video/*': {}},
            },
            **{
                status: {'description': text, 'model': Problem}
                for status, text in _STATUSES.items()
            },
        },
    )
    async def colorize(
        request: Request,
        file: Annotated[UploadFile, File(description='the photo or video')],
        folder: Annotated[Path, Depends(folder)],
        format: Annotated[
            str | None,
            Form(
                description=f'format of a photo: {", ".join(OUTPUT_FORMATS)}; by default that of '
                'the file',
                examples=['PNG'],
            ),
        ] = None,
        saturation: Annotated[
            float | None,
            Form(
                description='factor on the colors: 0 gives gray; by default that of the weights',
                ge=0,
                le=10,
                allow_inf_nan=False,
                examples=[1.0],
            ),
        ] = None,
    ) -> FileResponse:
        if len((await request.form()).getlist('file')) > 1:
            raise Refused(422, 'file: a request has only one.')
        if (file.size or 0) > service.limits.bytes:
            raise service.limits.too_large()
        suffix = _suffix_of(format)
        source = folder / stored_name(file.filename or '')
        await run_in_threadpool(store, file, source)
        done = await service.colorize(
            source, folder / 'out', suffix, saturation, is_gone=request.is_disconnected
        )
        result = Path(done['result'])
        stem = Path(shown_name(file.filename or '') or 'colorized').stem
        headers = {'Remark': quote(done['remark'], safe=' ;:,.()')} if done['remark'] else {}
        return FileResponse(
            result,
            filename=f'{stem}{result.suffix}',
            headers=headers,
            media_type=_MEDIA_TYPES.get(result.suffix),
        )

    @app.get(
        '/api/health',
        summary='Tell whether the server works',
        responses={503: {'description': 'The server cannot colorize.', 'model': Problem}},
    )
    async def health() -> Health:
        if not service.worker.works:
            raise Refused(503, 'The server cannot colorize; its log says why.')
        return Health(status='ok', waiting=service.waiting)

    @app.get('/api/version', summary='Return the version, the weights and the limits')
    async def version() -> Version:
        return Version(
            dualattn_mm=__version__, weights=service.worker.about, limits=vars(service.limits)
        )

    return app


def _suffix_of(format_: str | None) -> str | None:
    """Return the suffix for a format; None for none, which keeps that of the file."""
    if not format_:
        return None
    names = {name[1:]: SUFFIXES[f][0] for f in OUTPUT_FORMATS for name in SUFFIXES[f]}
    if format_.lower() not in names:
        raise Refused(422, f'format: must be one of {", ".join(OUTPUT_FORMATS)}.')
    return names[format_.lower()]
