// The painter's documents as PNG: the class id of each pixel, the classes' colours in the colour table, their names in a
// chunk. Up to 255 classes are places in the table, the one after the last being unpainted; more are 16-bit greys.

import { canvasPixels, colorTable } from "./classes.mjs";
import { UNPAINTED, checkSize } from "./document.mjs";

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const KEYWORD = "scdm:classes";
const MOST_INDEXED = 255;
const MOST_FILE_BYTES = 2 ** 28;
const TYPE_AT = 25; // bytes, where the kind of the pixels is
const GREY = 0;
const INDEXED = 3;
const DAMAGED = "The PNG is damaged or incomplete: export it again.";

const CRCS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let value = -1;
  for (const byte of bytes) value = CRCS[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

// Writing

// The document as a Blob that any viewer shows in the classes' colours.
export async function documentBlob({ width, height, ids, classes }) {
  if (classes.length > MOST_INDEXED) return blob(width, height, 16, GREY, wide(ids), [names(classes)]);
  const table = new Uint8Array(3 * classes.length + 3);
  const opacity = new Uint8Array(classes.length + 1);
  classes.forEach(({ color }, id) => {
    table.set(color ?? [0, 0, 0], 3 * id);
    opacity[id] = color ? 255 : 0;
  });
  const chunks = [chunk("PLTE", table), chunk("tRNS", opacity), names(classes)];
  return blob(width, height, 8, INDEXED, narrow(ids, classes.length), chunks);
}

// The ids as greys, unpainted being white: 8 bits where there are at most 255 classes, else 16.
export async function idMapBlob({ width, height, ids, classes }) {
  const isWide = classes.length > MOST_INDEXED;
  return blob(width, height, isWide ? 16 : 8, GREY, isWide ? wide(ids) : narrow(ids, 255), [names(classes)]);
}

function narrow(ids, unpainted) {
  const bytes = new Uint8Array(ids.length);
  for (let i = 0; i < ids.length; i++) bytes[i] = ids[i] === UNPAINTED ? unpainted : ids[i];
  return bytes;
}

function wide(ids) {
  const bytes = new Uint8Array(2 * ids.length);
  for (let i = 0; i < ids.length; i++) {
    bytes[2 * i] = ids[i] >> 8;
    bytes[2 * i + 1] = ids[i];
  }
  return bytes;
}

function names(classes) {
  const listed = JSON.stringify(classes.map(({ name }) => name));
  return chunk("iTXt", new TextEncoder().encode(`${KEYWORD}\0\0\0\0\0${listed}`));
}

function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

async function blob(width, height, bits, type, samples, chunks) {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([bits, type], 8);
  const stride = samples.length / height;
  const rows = new Uint8Array(samples.length + height); // each begins with its filter, which is 0 (none)
  for (let y = 0; y < height; y++) rows.set(samples.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const parts = [SIGNATURE, chunk("IHDR", header), ...chunks, chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

// Reading

// A document {width, height, names, ids}, or null where the file is a picture without a list of classes. Throws an Error
// whose message is a sentence.
export async function readDocument(file, mostSide) {
  if (file.size > MOST_FILE_BYTES) throw new Error(`The file has more than ${MOST_FILE_BYTES / 2 ** 20} MiB: scale the picture down first.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return null;
  const chunks = parsed(bytes);
  const header = sizesIn(chunks, mostSide); // before anything is unpacked
  const listed = chunks.filter(({ type }) => type === "iTXt").map(({ data }) => listIn(data)).find(Boolean);
  if (!listed) return null;
  requireIds(header);
  return { width: header.width, height: header.height, names: listed, ids: idsIn(await content(chunks, header), header, listed.length) };
}

// The rows of pixels as bytes.
async function content(chunks, header) {
  const data = new Blob(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  return unfiltered(await inflated(data, header.height * (header.stride + 1)), header);
}

// The greys of a PNG as they are stored: {width, height, bits, values}; null for other files. (A canvas has 8 bits.)
export async function readGreys(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte) || bytes[TYPE_AT] !== GREY) return null;
  const chunks = parsed(bytes);
  const header = sizesIn(chunks);
  if (header.interlaced) return null;
  return { width: header.width, height: header.height, bits: header.bits, values: samples(await content(chunks, header), header) };
}

function parsed(bytes) {
  const view = new DataView(bytes.buffer);
  const chunks = [];
  for (let at = SIGNATURE.length; at < bytes.length; ) {
    if (at + 12 > bytes.length) throw new Error(DAMAGED);
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length || crc(bytes.subarray(at + 4, end)) !== view.getUint32(end)) throw new Error(DAMAGED);
    chunks.push({ type: String.fromCharCode(...bytes.subarray(at + 4, at + 8)), data: bytes.subarray(at + 8, end) });
    at = end + 4;
  }
  return chunks;
}

// The names in a text chunk: keyword, 0, whether compressed, method, language, 0, translated keyword, 0, text.
function listIn(data) {
  const text = new TextDecoder().decode(data);
  const [keyword, flags] = [text.slice(0, text.indexOf("\0")), text.slice(text.indexOf("\0") + 1)];
  if (keyword !== KEYWORD || flags[0] !== "\0") return null;
  const [, , ...rest] = flags.slice(2).split("\0");
  return checkedNames(rest.join("\0"));
}

function checkedNames(text) {
  let listed = null;
  try {
    listed = JSON.parse(text);
  } catch {} // eslint-disable-line no-empty
  const isList = Array.isArray(listed) && listed.length > 0 && listed.length < UNPAINTED && listed.every((name) => typeof name === "string");
  if (!isList) throw new Error("The PNG's list of classes is none: export it again.");
  return listed;
}

function requireIds({ bits, type, interlaced }) {
  const isKnown = (type === INDEXED && [1, 2, 4, 8].includes(bits)) || (type === GREY && [8, 16].includes(bits));
  if (!isKnown || interlaced) throw new Error("The PNG lists classes but holds no ids of them: export it again from the painter.");
}

function sizesIn(chunks, mostSide) {
  const [first] = chunks;
  if (first?.type !== "IHDR" || first.data.length !== 13) throw new Error(DAMAGED);
  const view = new DataView(first.data.buffer, first.data.byteOffset);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [bits, type, , , interlaced] = first.data.subarray(8);
  checkSize(width, height, mostSide);
  return { width, height, bits, type, interlaced, stride: Math.ceil((width * bits) / 8), step: Math.max(1, bits / 8) };
}

async function inflated(data, length) {
  const rows = new Uint8Array(length);
  let at = 0;
  try {
    const reader = data.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      rows.set(value, at); // throws where there is more than the size allows
      at += value.length;
    }
  } catch {
    at = -1;
  }
  if (at !== length) throw new Error(DAMAGED);
  return rows;
}

// The rows without the filters of the PNG specification (section 9), (H * stride).
function unfiltered(rows, { height, stride, step }) {
  const out = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = FILTERS[rows[y * (stride + 1)]];
    if (!filter) throw new Error(DAMAGED);
    const [from, to] = [y * (stride + 1) + 1, y * stride];
    if (filter === FILTERS[0]) out.set(rows.subarray(from, from + stride), to);
    else for (let x = 0; x < stride; x++) {
      const left = x < step ? 0 : out[to + x - step];
      const up = y ? out[to + x - stride] : 0;
      const corner = x < step || !y ? 0 : out[to + x - stride - step];
      out[to + x] = rows[from + x] + filter(left, up, corner);
    }
  }
  return out;
}

const FILTERS = [
  () => 0,
  (left) => left,
  (left, up) => up,
  (left, up) => (left + up) >> 1,
  (left, up, corner) => {
    const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
    return a <= b && a <= c ? left : b <= c ? up : corner;
  },
];

function idsIn(bytes, header, count) {
  const values = samples(bytes, header);
  const unpainted = header.type === INDEXED ? count : 2 ** header.bits - 1;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === unpainted) values[i] = UNPAINTED;
    else if (values[i] >= count) throw new Error(`The PNG holds class ${values[i]}, and lists ${count} classes: export it again.`);
  }
  return values;
}

function samples(bytes, { width, height, bits, stride }) {
  if (bits === 8) return new Uint16Array(bytes);
  const values = new Uint16Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const row = y * stride;
    if (bits === 16) for (let x = 0; x < width; x++) values[at++] = (bytes[row + 2 * x] << 8) | bytes[row + 2 * x + 1];
    else for (let x = 0; x < width; x++) values[at++] = (bytes[row + ((x * bits) >> 3)] >> (8 - bits - ((x * bits) & 7))) & (2 ** bits - 1);
  }
  return values;
}

// The layout as a picture in the classes' colours, transparent where unpainted.
export async function pictureBlob({ width, height, ids, classes }) {
  const colors = colorTable(classes);
  const { pixels, picture } = canvasPixels(width, height);
  for (let i = 0; i < ids.length; i++) pixels[i] = colors[ids[i]];
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
