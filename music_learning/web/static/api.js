/** The HTTP interface: a song up, its events down. */

/** What the interface answers to a GET. */
export async function getJson(path) {
  const response = await fetch(`api/${path}`);
  if (!response.ok) throw new Error(`The server answered with ${response.status}.`);
  return response.json();
}

/**
 * Have a song analysed.
 * @param {{file: File}|{example: string}} source
 * @param {object} on - `upload(share)`; the interface's events by their names, `error` with {error, status}, or
 *   {error, isLasting} without an answer, for all that goes wrong as well; and `end()`, the last
 * @returns {XMLHttpRequest} its `abort()` closes the connection and so ends the work
 */
export function analyse({ file, example }, on) {
  const request = new XMLHttpRequest(), form = new FormData();
  let read = 0, failure = Promise.resolve();
  const readEvents = () => {
    for (let end; (end = request.responseText.indexOf("\n\n", read)) >= 0; read = end + 2) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(request.responseText.slice(read, end)) ?? [];
      on[name]?.(JSON.parse(data));
    }
  };
  request.upload.onprogress = ({ loaded, total }) => on.upload(total ? loaded / total : 0);
  request.onprogress = readEvents;
  request.onload = () => {
    readEvents();
    const { status, responseText: text } = request, isJson = text.startsWith("{"); // or comes from a server in between
    if (status !== 200) on.error({ status, ...(isJson ? JSON.parse(text) : {}) });
  };
  request.onerror = () => (failure = whyNot(file).then(on.error));
  request.onloadend = () => failure.then(on.end);
  request.open("POST", `api/${file ? "analyses" : `examples/${encodeURIComponent(example)}`}?explain=true`);
  request.setRequestHeader("Accept", "text/event-stream");
  if (file) form.append("file", file, file.name);
  request.send(file ? form : null);
  return request;
}

/** What kept a request from its answer: the file, or the way to the server. */
async function whyNot(file) {
  const isRead = await file?.stream().getReader().read().catch(() => false);
  return isRead === false ?
    { error: "This file can't be read: it is a folder, or was moved or changed. Choose it again.", isLasting: true } :
    { error: "The server can't be reached. Is it still running, and are you connected to it?" };
}
