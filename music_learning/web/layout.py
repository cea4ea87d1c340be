"""The page's parts and their events."""

import os

# Read by Gradio when it is imported.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

import gradio as gr

from music_learning.predict.saved import title_of
from music_learning.web.guard import uploads_only
from music_learning.web.service import HINT, Service

AT_ONCE = 2  # recordings; more wait
MAX_WAITING = 100

# Tells a screen reader where the result is, and brings it into view on a phone.
GO_TO_RESULT = "() => document.querySelector('#result [tabindex]')?.focus({preventScroll: innerWidth > 700})"

INTRO = """
<div class="intro">
  <h1>What does my song sound like?</h1>
  <p>Drop a song, or record one, and see how energetic, danceable and positive it sounds, and what it resembles.</p>
  <p class="quiet">Nothing leaves this machine: the song is analysed right here, and deleted after ten minutes.</p>
</div>
"""


def build_page(service: Service) -> gr.Blocks:
    """The page with its events."""
    with gr.Blocks(title="What does my song sound like?", analytics_enabled=False) as page:
        gr.HTML(INTRO)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                audio = gr.Audio(
                    sources=["upload", "microphone"],
                    type="filepath",
                    label="Your song",
                    editable=False,
                    buttons=[],
                    elem_id="song",
                )
                # Not public: Gradio has no other place in which to refuse what is no upload.
                take_file = uploads_only(audio.async_move_resource_to_block_cache, service.folder)
                audio.async_move_resource_to_block_cache = take_file
                if service.saved is not None:
                    samples = [[title_of(song)] for song in service.saved.songs]
                    examples = gr.Dataset(
                        components=[gr.Textbox(visible=False)],
                        samples=samples,
                        type="index",
                        label="Or a song that the models never heard",
                        samples_per_page=8,
                        elem_id="examples",
                    )
            with gr.Column(scale=5, min_width=320):
                result = gr.HTML(HINT, elem_id="result")
                with gr.Row():
                    picture = gr.DownloadButton("Download the picture", visible=False, elem_id="picture")
                    numbers = gr.DownloadButton("Download the numbers (JSON)", visible=False, elem_id="numbers")
                values = gr.JSON(visible=False)
        outputs = [result, picture, numbers, values]
        queued = {"outputs": outputs, "concurrency_limit": AT_ONCE, "concurrency_id": "predict"}
        events = [
            gr.on([audio.upload, audio.stop_recording], service.predict_file, audio, api_name="predict", **queued)
        ]
        audio.clear(service.no_file, outputs=outputs, api_visibility="private")
        if service.saved is not None:
            events.append(examples.click(service.predict_example, examples, api_name="predict_example", **queued))
        for event in events:
            event.then(None, js=GO_TO_RESULT, api_visibility="private")
    return page.queue(max_size=MAX_WAITING)
