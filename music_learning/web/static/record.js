/** Recording a song with the microphone. */

import { clock } from "./dom.js";

const ENDINGS = { "audio/mp4": "m4a", "audio/ogg": "ogg", "audio/webm": "webm" };
let recorder = null;

/**
 * Begin to record, or end the recording under way.
 * @param {HTMLButtonElement} button - shows how long it has been
 * @param {{onFile: function(File), onTrouble: function(string)}} on
 */
export async function toggleRecording(button, { onFile, onTrouble }) {
  if (recorder) return recorder.stop();
  const music = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: music }).catch(() => null);
  if (!stream) return onTrouble("The microphone can't be used. Allow it in the browser's settings, or choose a file.");
  const parts = [], label = button.textContent, start = Date.now();
  const showTime = () => (button.textContent = `Stop ${clock((Date.now() - start) / 1000)}`);
  const timer = setInterval(showTime, 500);
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    clearInterval(timer);
    button.textContent = label;
    button.classList.remove("recording");
    stream.getTracks().forEach((track) => track.stop());
    const type = recorder.mimeType.split(";")[0];
    recorder = null;
    const name = `Recording ${new Date(start).toLocaleString("sv").replaceAll(":", ".")}`;
    onFile(new File(parts, `${name}.${ENDINGS[type] ?? "webm"}`, { type }));
  };
  recorder.start(1000);
  button.classList.add("recording");
  showTime();
}
