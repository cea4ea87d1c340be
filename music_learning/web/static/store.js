/** Results that stay in this browser: numbers, no audio. Where IndexedDB is refused they last as long as the page. */

const memory = new Map();
let opened = null;

function open() {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open("music-learning", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("results", { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    } catch {
      resolve(null); // the browser's settings forbid it
    }
  });
  return opened;
}

async function run(mode, work, fallback) {
  const database = await open();
  if (!database) return fallback();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("results", mode), request = work(transaction.objectStore("results"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

/** Whether results outlast the page. */
export const isKept = async () => (await open()) !== null;

/** Keep a result under its `id`. */
export const put = (result) => run("readwrite", (results) => results.put(result), () => memory.set(result.id, result));

/** All results, the song chosen last first: the ids are in order. */
export async function all() {
  const results = await run("readonly", (results) => results.getAll(), () => [...memory.values()]);
  return results.sort((a, b) => (a.id < b.id ? 1 : -1));
}

export const remove = (id) => run("readwrite", (results) => results.delete(id), () => memory.delete(id));

export const clear = () => run("readwrite", (results) => results.clear(), () => memory.clear());

/** A small setting of this browser: set with a value, else read; null if unknown. */
export function setting(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    // the browser's settings forbid it
  }
  return value ?? null;
}
