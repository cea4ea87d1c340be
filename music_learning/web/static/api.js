/** The HTTP interface: a song up, its events down. */

const GONE = "The server can't be reached. Is it still running, and are you connected to it?";

/** What the interface answers to a GET. Rejects with a sentence. */
export async function getJson(path) {
  const response = await fetch(`api/${path}`).catch(() => {
    throw new Error(GONE);
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The server answered with ${response.status}.`);
  return body;
}

/** An error whose `isLasting` says that trying again would end in the same way. */
function failure({ error, status }) {
  const lasting = [400, 413, 415, 422].includes(status);
  return Object.assign(new Error(error ?? `The server answered with ${status}. Try again.`), { isLasting: lasting });
}

/**
 * Have a song analysed.
 * @param {{file: File}|{example: string}} source
 * @param {object} on - onUpload(share), onWaiting({ahead}), onProgress({heard_s, duration_s}), onResult, onExplanation
 * @returns {{promise: Promise<void>, cancel: function}} the promise ends with the connection; it rejects with a
 *   sentence, and with null after `cancel()`, which closes the connection and so ends the work
 */
export function analyse(source, on) {
  const request = new XMLHttpRequest();
  const promise = new Promise((resolve, reject) => {
    let read = 0, error = null, isDone = false;
    const take = {
      waiting: on.onWaiting, progress: on.onProgress, explanation: on.onExplanation,
      result: (result) => {
        isDone = true;
        on.onResult(result);
      },
      error: (body) => {
        error = body;
      },
    };
    const readEvents = () => {
      if (request.status !== 200) return;
      for (let end; (end = request.responseText.indexOf("\n\n", read)) >= 0; read = end + 2) {
        const block = request.responseText.slice(read, end);
        const [name, data] = ["event", "data"].map((key) => new RegExp(`^${key}: (.*)$`, "m").exec(block)?.[1]);
        if (data && take[name]) take[name](JSON.parse(data));
      }
    };
    request.onprogress = readEvents;
    request.upload.onprogress = ({ loaded, total }) => on.onUpload(total ? loaded / total : 0);
    request.onload = () => {
      readEvents();
      if (request.status !== 200) error = { status: request.status, ...parsed(request.responseText) };
      if (error) reject(failure(error));
      else if (isDone) resolve();
      else reject(failure({ error: "The server ended the connection before it had a result. Try again." }));
    };
    request.onerror = () => (isDone ? resolve() : reject(failure({ error: GONE })));
    request.onabort = () => reject(null);
    const place = "example" in source ? `examples/${encodeURIComponent(source.example)}` : "analyses";
    request.open("POST", `api/${place}?explain=true`);
    request.setRequestHeader("Accept", "text/event-stream");
    const form = new FormData();
    if (source.file) form.append("file", source.file, source.file.name);
    request.send(source.file ? form : null);
  });
  return { promise, cancel: () => request.abort() };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
