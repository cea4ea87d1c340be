/** Results that stay in this browser: numbers, no audio. Where IndexedDB is refused nothing is kept. */

const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open("music-learning", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("results", { keyPath: "id" });
  request.onsuccess = () => resolve(request.result);
  request.onerror = reject;
}).catch(() => null); // the browser's settings forbid it

async function run(mode, ask) {
  const database = await opened;
  return database && new Promise((resolve, reject) => {
    const transaction = database.transaction("results", mode);
    const request = ask(transaction.objectStore("results"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

/** Whether results outlast the page. */
export const isKept = async () => (await opened) !== null;

/** Keep a result under its `id`. */
export const put = (result) => run("readwrite", (results) => results.put(result));

/** Keep what has become of a result, unless it was removed. */
export const replace = (result) => run("readwrite", (results) => Object.assign(
  results.openCursor(result.id), { onsuccess() { this.result?.update(result); } }));

/** All results, the song chosen last first: the ids are in order. */
export const all = async () => ((await run("readonly", (results) => results.getAll())) ?? []).reverse();

export const remove = (id) => run("readwrite", (results) => results.delete(id));

export const clear = () => run("readwrite", (results) => results.clear());

/** A small setting of this browser: set with a value, else read; null if unknown. */
export function setting(name, value) {
  try {
    if (value) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null; // the browser's settings forbid it
  }
}
