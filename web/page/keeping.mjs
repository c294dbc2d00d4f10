// What the browser keeps of the painting, through reloads and restarts: in IndexedDB, one record.

const STORE = "paintings";
const KEY = "current";

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function store(mode) {
  const request = indexedDB.open("scdm-paint", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return (await done(request)).transaction(STORE, mode).objectStore(STORE);
}

// {document, settings, live, image, painted}: Blobs of PNG, where `painted` is the document that the image was made for.
// Empty if nothing is kept, or the browser keeps nothing.
export async function kept() {
  try {
    return (await done((await store("readonly")).get(KEY))) ?? {};
  } catch {
    return {};
  }
}

// Puts these values into the record; false if the browser keeps nothing.
export async function keep(values) {
  try {
    const records = await store("readwrite");
    const before = (await done(records.get(KEY))) ?? {};
    await done(records.put({ ...before, ...values }, KEY));
    return true;
  } catch {
    return false;
  }
}
