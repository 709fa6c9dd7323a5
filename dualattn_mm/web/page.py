"""The page of a server, made of Gradio's components."""

import asyncio
import contextlib
import os
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, UploadFile
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from ..utils.errors import reason_of
from ..utils.libraries import library
from ..utils.terminal import warn
from .guard import UPLOAD_PATH, Guard
from .limits import Refused, full
from .page_files import KEEP_SECONDS, PageFiles
from .service import Service, shown_name, store, stored_name

_WATCHABLE = ('.mp4', '.m4v', '.mov', '.webm')  # what browsers play
_TIDY_SECONDS = 300

_INTRODUCTION = """
# Colorize photos and videos

The result keeps the size and the lightness of the original. {weights}
"""
_BUNDLED = (
    'The bundled weights are small, meant as a demonstration, and for non-commercial research '
    'only: sky, water, plants and skin are mostly right, while objects that can have any color, '
    'such as cars and clothes, become brown, gray or pale.'
)
_LIMITS = (
    'At most {megabytes:g} MB per file, {megapixels:g} million pixels per photo and {frames:,} '
    'frames per video; a file that takes longer than {seconds:g} seconds is rejected. Files are '
    'deleted {hours:g} hour after their last use, and none leaves this server.'
)


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page to the application of `create_app`, at '/'."""
    files = PageFiles(service.folder.resolve() / 'page', service.limits.bytes)
    files.folder.mkdir()
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED='False',
        GRADIO_TEMP_DIR=str(files.folder),
        HF_HUB_DISABLE_TELEMETRY='1',
        HF_HUB_OFFLINE='1',
    )
    _add_routes(app, service, files)
    install = "'dualattn_mm[web]' in an environment without mmagic, or pass --no-page"
    gr = library('gradio', 'the page', install)
    blocks = _blocks(service, files)
    gr.mount_gradio_app(
        app,
        blocks,
        '/',
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        allowed_paths=[],
        max_file_size=service.limits.bytes,
        theme=gr.themes.Default(font='sans-serif', font_mono='monospace'),
        css=_CSS,
    )
    blocks.has_launched = True  # else a mounted page of Gradio 6 reads any path in a request
    _tidy_while_running(app, files)
    app.state.page_files = files
    app.state.stores[UPLOAD_PATH] = files.room
    # Behind the others, which limit what it reads; `add_middleware` would put it before them.
    app.user_middleware.append(Middleware(Guard, folder=files.folder))


_CSS = """
.gradio-container { max-width: 960px !important; margin: auto !important; }
"""


def _add_routes(app: FastAPI, service: Service, files: PageFiles) -> None:
    """Take the place of Gradio's routes for uploads and files.

    Gradio's own would use the names of strangers for files, and fetch addresses.
    """

    @app.post(UPLOAD_PATH, include_in_schema=False)
    async def upload(files_: Annotated[list[UploadFile], File(alias='files')]) -> list[str]:
        if any((part.size or 0) > service.limits.bytes for part in files_):
            raise service.limits.too_large()
        paths = []
        for part in files_:
            name = part.filename or ''
            path = files.new_folder() / stored_name(name)
            await run_in_threadpool(store, part, path)
            files.names[str(path)] = shown_name(name)
            paths.append(str(path))
        return paths

    @app.get('/gradio_api/upload_progress', include_in_schema=False)
    async def upload_progress() -> PlainTextResponse:
        # The page asks for it beside every upload.
        return PlainTextResponse('data: {"msg": "done"}\n\n', media_type='text/event-stream')

    @app.get('/gradio_api/file={path:path}', include_in_schema=False)
    async def file(path: str) -> FileResponse:
        real = os.path.realpath(path)
        if not (real.startswith(f'{files.folder}{os.sep}') and os.path.isfile(real)):
            raise Refused(404, 'There is no such file.')
        return FileResponse(real, filename=files.names.get(real))


@dataclass
class _Result:
    """A colorized file: its path, its name for the user, and for a photo the two previews."""

    path: Path
    name: str
    previews: tuple[str, str] | None


def _blocks(service: Service, files: PageFiles) -> Any:
    import gradio as gr
    from gradio.data_classes import FileData

    async def colorize(
        chosen: list[tuple[str, str]],
        saturation: float,
        before: list[str],
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> AsyncIterator[tuple]:
        if not chosen:
            raise gr.Error('Choose a photo or a video first.', print_exception=False)
        await run_in_threadpool(files.remove, before)
        uploads = {Path(path).parent.name for path, _ in chosen if path in files.names}
        kept = set(uploads)

        def new_folder() -> Path:
            folder = files.new_folder()
            kept.add(folder.name)
            return folder

        with files.kept(kept):
            yield *_shown([], [], None), []
            results: list[_Result] = []
            notes: list[str] = []
            for index, (path, given) in enumerate(chosen):
                if index:  # Gradio ends the run here if the page was closed
                    yield *[gr.skip()] * 7, list(kept - uploads)
                name = files.names.get(path)
                if name is None:  # none of the paths that this server has returned
                    name = shown_name(given)
                    notes.append(
                        f'**{_plain(name)}:** It was deleted after an hour: choose it again.'
                    )
                    continue
                progress((index, len(chosen)), desc=name, unit='files')
                try:
                    if await run_in_threadpool(files.room) <= 0:
                        raise full()
                    done = await service.colorize(
                        Path(path), new_folder(), None, saturation, preview=True
                    )
                except Refused as refusal:
                    notes.append(f'**{_plain(name)}:** {_plain(refusal.detail)}')
                    if refusal.status_code == full().status_code:
                        break
                    continue
                result = Path(done['result'])
                previews = (done['before'], done['after']) if 'before' in done else None
                results.append(_Result(result, Path(name).stem + result.suffix, previews))
                if done['remark']:
                    notes.append(f'**{_plain(name)}:** {_plain(done["remark"])}')
            download = results[0].path if results else None
            if len(results) > 1:
                size = sum(result.path.stat().st_size for result in results)
                if size > await run_in_threadpool(files.room):
                    download = None
                    notes.append('The store has no room for the ZIP file: choose fewer files.')
                else:
                    download = new_folder() / 'colorized.zip'
                    await run_in_threadpool(_zip, results, download)
            yield *_shown(results, notes, download), list(kept - uploads)

    def _shown(results: list[_Result], notes: list[str], download: Path | None) -> tuple:
        photos = [result for result in results if result.previews]
        films = [result.path for result in results if not result.previews]
        watchable = [str(path) for path in films if path.suffix in _WATCHABLE][:1]
        if others := len(films) - len(watchable):
            notes.append(f'Videos that can only be watched after the download: {others}')
        if download:
            only = len(results) == 1
            label = f'Download {"the result" if only else f"all {len(results)} results"}'
            files.names[str(download)] = results[0].name if only else 'colorized.zip'
            button = gr.DownloadButton(label, str(download), visible=True)
        else:
            button = gr.DownloadButton(visible=False)
        first = photos[0].previews if photos else None
        return (
            [result.previews for result in photos],
            gr.ImageSlider(first, visible=bool(photos)),
            gr.Gallery(
                [(result.previews[1], result.name) for result in photos if result.previews],
                visible=len(photos) > 1,
                selected_index=None,
            ),
            watchable[0] if watchable else None,
            gr.Column(visible=bool(watchable)),
            button,
            gr.Markdown('\n\n'.join(notes), visible=bool(notes)),
        )

    def _zip(results: list[_Result], path: Path) -> None:
        used: set[str] = set()
        with zipfile.ZipFile(path, 'w') as archive:  # photos are compressed already
            for result in results:
                stem, suffix = os.path.splitext(result.name)
                name, number = result.name, 1
                while name.lower() in used:
                    number += 1
                    name = f'{stem}-{number}{suffix}'
                used.add(name.lower())
                archive.write(result.path, name)

    def select(event: gr.SelectData, previews: list[tuple[str, str]]) -> Any:
        return gr.ImageSlider(previews[event.index])

    limits, about = service.limits, service.worker.about
    default = float(about['saturation'])
    bundled = about['file'] == 'bundled'
    weights = _BUNDLED if bundled else f'Weights: {about["file"]} ({about["network"]}).'
    with gr.Blocks(title='Colorize photos', analytics_enabled=False) as blocks:
        gr.Markdown(_INTRODUCTION.format(weights=weights))
        chosen = gr.File(
            label='Photos or videos',
            file_count='multiple',
            file_types=['image', 'video'],
            height=170,
        )
        # Gradio's makes an empty file for each, and wants their suffixes.
        chosen.preprocess = lambda payload: [
            (file.path, file.orig_name or 'file') for file in (payload.root if payload else [])
        ]
        with gr.Row(equal_height=True):
            saturation = gr.Slider(
                0,
                max(2, default),
                default,
                step=0.05,
                label='Saturation',
                info='0 is gray; a higher value gives stronger colors and mistakes',
                scale=2,
            )
            start = gr.Button('Colorize', variant='primary', scale=1, min_width=160)
        notes = gr.Markdown(visible=False)
        slider = gr.ImageSlider(
            label='Before and after',
            type='filepath',
            interactive=False,
            visible=False,
            buttons=['fullscreen'],
            max_height=640,
        )
        with gr.Column(visible=False) as around_film:
            film = gr.Video(label='The video in color', interactive=False, buttons=[], height=480)
        # Gradio's would convert a video that it does not know with ffmpeg, without any limits. This
        # only holds as long as events return a path for the video: after `gr.Video(...)`, which
        # could also hide it, Gradio uses a new instance.
        film.postprocess = lambda path: path and FileData(path=path)
        download = gr.DownloadButton(visible=False, variant='primary')
        gallery = gr.Gallery(
            label='Choose one to compare',
            visible=False,
            columns=4,
            height='auto',
            allow_preview=False,
            interactive=False,
            buttons=[],
            object_fit='contain',
        )
        gr.Markdown(
            _LIMITS.format(
                megabytes=limits.bytes / 2**20,
                megapixels=limits.pixels / 1e6,
                frames=limits.frames,
                seconds=limits.seconds,
                hours=KEEP_SECONDS / 3600,
            )
        )
        previews, before = gr.State([]), gr.State([])
        outputs = [previews, slider, gallery, film, around_film, download, notes, before]
        events = dict(api_visibility='private', concurrency_limit=limits.requests)
        inputs = [chosen, saturation, before]
        start.click(colorize, inputs, outputs, show_progress_on=[chosen], **events)
        gallery.select(select, previews, slider, show_progress='hidden', **events)
    blocks.queue(max_size=limits.requests, api_open=False)
    return blocks


def _plain(text: str) -> str:
    """Return a text as it is to be read, for Markdown."""
    return ''.join(f'\\{c}' if c in r'\`*_{}[]<>()#+-!|&~$' else c for c in ' '.join(text.split()))


def _tidy_while_running(app: FastAPI, files: PageFiles) -> None:
    """Remove old files now and then."""
    others = app.router.lifespan_context

    async def tidy() -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            try:
                await run_in_threadpool(files.tidy)
            except OSError as error:  # too many open files, for example
                warn(f'old files of the page are not removed now: {reason_of(error)}')

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        task = asyncio.create_task(tidy())
        async with others(app) as state:
            yield state
        task.cancel()

    app.router.lifespan_context = lifespan
