/** Recording a song with the microphone. */

import { clock } from "./dom.js";

const ENDINGS = { "audio/mp4": "m4a", "audio/ogg": "ogg" };
const MUSIC = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
let recorder = null; // one without `stop` is waiting for the microphone

/**
 * Begin to record, or end the recording under way.
 * @param {HTMLButtonElement} button - shows how long it has been
 * @param {{onFile: function(File), onTrouble: function(string), say: function(string)}} on
 */
export async function toggleRecording(button, { onFile, onTrouble, say }) {
  if (recorder) return recorder.stop?.();
  recorder = {};
  const stream = await navigator.mediaDevices.getUserMedia({ audio: MUSIC }).catch(() => null);
  recorder = stream && new MediaRecorder(stream);
  if (!stream) return onTrouble("The microphone can't be used. Allow it in the browser's settings, or choose a file.");
  const parts = [], start = Date.now();
  const showTime = () => (button.textContent = `Stop ${clock((Date.now() - start) / 1000)}`);
  const timer = setInterval(showTime, 500);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    clearInterval(timer);
    button.textContent = "Record";
    button.classList.remove("recording");
    stream.getTracks().forEach((track) => track.stop());
    const type = recorder.mimeType.split(";")[0];
    recorder = null;
    const name = `Recording ${new Date(start).toLocaleString("sv").replaceAll(":", ".")}`;
    say("The recording has ended.");
    onFile(new File(parts, `${name}.${ENDINGS[type] ?? "webm"}`, { type }));
  };
  recorder.start(1000);
  say("The recording has begun.");
  button.classList.add("recording");
  showTime();
}
