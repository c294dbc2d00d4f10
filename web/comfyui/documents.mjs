// What a painting is in a workflow: "" where nothing is painted, the PNG document itself where it is small, and else the name
// of an uploaded one. So most workflows hold what they need, and strokes leave no files behind.

export const INLINE = "data:image/png;base64,";
const MOST_INLINE = 48 * 1024; // characters
const FOLDER = "scdm";
const LONGEST = 20_000; // milliseconds of an upload, for which runs and strokes wait

// Of a server that does not answer, and may do so later.
export class Away extends Error {}

export async function inline(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return INLINE + btoa(text);
}

export const isLarge = (value) => value.startsWith(INLINE) && value.length > MOST_INLINE;

// Uploads a document: its name. The name tells the content, so that copies and undone graphs keep theirs. Rejects if that fails.
export async function uploaded(api, blob) {
  const form = new FormData();
  form.append("image", new File([blob], `painting-${await fingerprint(blob)}.png`, { type: "image/png" }));
  form.append("subfolder", FOLDER);
  form.append("type", "input"); // where another content has the name, the server gives this one another
  const response = await api.fetchApi("/upload/image", { method: "POST", body: form, signal: AbortSignal.timeout(LONGEST) });
  if (!response.ok) throw new Error(`The server refuses the painting (${response.status}).`);
  const { name, subfolder } = await response.json();
  return `${subfolder ? `${subfolder}/` : ""}${name} [input]`;
}

// The document behind a value. Rejects with a sentence if there is none.
export async function opened(api, value) {
  if (value.startsWith(INLINE)) return decoded(value.slice(INLINE.length));
  const response = await api.fetchApi(viewed(value)).catch(() => null);
  if (!response) throw new Away("ComfyUI does not answer: the painting is opened when it does.");
  if (!response.ok) throw new Error(`There is no painting ${value} on the server: paint it again, or put the file back.`);
  return response.blob();
}

function decoded(text) {
  try {
    return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: "image/png" });
  } catch {
    throw new Error("The painting is damaged: paint it again, or open a saved one.");
  }
}

// Where the server shows a file, "folder/name.png [input]" or {filename, subfolder, type}.
export function viewed(file) {
  return `/view?${new URLSearchParams(typeof file === "string" ? parts(file) : file)}`;
}

function parts(value) {
  const [, path, type = "input"] = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(value);
  const at = path.lastIndexOf("/");
  return { filename: path.slice(at + 1), subfolder: path.slice(0, Math.max(0, at)), type };
}

// 64 bits of two FNV-1a hashes: browsers hash by themselves only where pages are secure.
async function fingerprint(blob) {
  let [a, b] = [0x811c9dc5, 0x9dc5811c];
  for (const byte of new Uint8Array(await blob.arrayBuffer())) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte ^ (a >>> 24), 0x01000193);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
