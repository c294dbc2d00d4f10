// Pictures without a list of classes: colours, or ids as other programs store them, and which palette's they are.
//
// A palette is {name, classes: [{name, color}], values: [[name, [[value, id], ...]], ...]}: the ways in which id maps store the
// classes, `classes.length` being unpainted.

import { UNPAINTED, checkSize, usedIn } from "./document.mjs";
import { readGreys } from "./png.mjs";

const COLOR_TOLERANCE = 32; // distance in RGB up to which a colour is that of a class
const SAMPLES = 2 ** 16; // pixels that tell whose colours they are
const CERTAIN = 0.75; // of a palette's score, from which on the colours are its own; photographs have less
const BETTER = 0.05; // than the score of the classes that are here: what another palette's must be to be offered
const NONE = "The picture has none of the classes' colours: use it as an underlay, or choose a picture in class colours.";

// A layout that has to be translated: `choices`, the likeliest first, are what it may be, {label, read()}, where `read`
// gives {width, height, ids, names, unmatched}. The message is for hosts that do not ask which.
export class OtherClasses extends Error {
  constructor(message, question, choices) {
    super(message);
    Object.assign(this, { question, choices });
  }
}

// A picture in the classes' colours: {width, height, ids, unmatched}, where `unmatched` is the share of its pixels that have
// no class's colour and are unpainted. Throws an Error whose message is a sentence: OtherClasses for what is a layout in the
// classes of one of the palettes, or an id map.
export async function readPicture(file, classes, palettes, mostSide) {
  const greys = await readGreys(file);
  if (greys && !isPainted(greys, classes)) throw ofIds(greys, palettes);
  const picture = await pixelsOf(file, mostSide);
  const grey = greys ? null : greysOf(picture);
  const choice = grey && !isPainted(grey, classes) && ofIds(grey, palettes);
  if (choice?.choices) throw choice;
  const score = scoring(picture.pixels);
  const own = score(classes);
  const rated = palettes.map((palette) => ({ palette, score: score(palette.classes) }));
  const best = Math.max(0, ...rated.map(({ score }) => score));
  if (best < CERTAIN || best < own + BETTER) return inColors(picture, classes);
  throw ofColors(picture, rated.filter(({ score }) => score > best - BETTER).sort((a, b) => b.score - a.score));
}

async function pixelsOf(file, mostSide) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error("The file is no picture that this browser reads: choose a PNG.");
  }
  const { width, height } = bitmap;
  try {
    checkSize(width, height, mostSide);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { width, height, pixels: new Uint32Array(context.getImageData(0, 0, width, height).data.buffer) };
  } finally {
    bitmap.close();
  }
}

// Colours

function inColors({ width, height, pixels }, classes) {
  const known = new Map();
  const ids = new Uint16Array(width * height);
  let unmatched = 0;
  for (let i = 0; i < pixels.length; i++) {
    const pixel = pixels[i];
    if (!known.has(pixel)) known.set(pixel, isOpaque(pixel) ? nearest(pixel, classes).id : UNPAINTED);
    ids[i] = known.get(pixel);
    if (ids[i] === UNPAINTED && isOpaque(pixel)) unmatched++;
  }
  if (unmatched === pixels.length) throw new Error(NONE);
  return { width, height, ids, unmatched: unmatched / pixels.length };
}

function ofColors(picture, rated) {
  const [{ palette }] = rated;
  const choices = rated.map(({ palette: { name, classes } }) => ({
    label: name,
    read: () => ({ ...inColors(picture, classes), names: classes.map(({ name }) => name) }),
  }));
  const words = `The picture is a layout in the colours of ${palette.name}`;
  return new OtherClasses(`${words}, whose classes are others: choose that palette, or translate it.`, `${words}.`, choices);
}

// How well classes explain some of the opaque pixels, from 0 to 1: 1 where each has the very colour of one.
function scoring(pixels) {
  const counts = new Map();
  const step = Math.max(1, Math.floor(pixels.length / SAMPLES));
  for (let i = 0; i < pixels.length; i += step) if (isOpaque(pixels[i])) counts.set(pixels[i], (counts.get(pixels[i]) ?? 0) + 1);
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return (classes) => {
    let sum = 0;
    for (const [pixel, count] of counts) sum += count * (1 - Math.min(1, nearest(pixel, classes).distance / COLOR_TOLERANCE));
    return all ? sum / all : 0;
  };
}

const isOpaque = (pixel) => pixel >>> 24 > 127;

// The class whose colour is nearest to a pixel (ABGR), or unpainted, and the distance.
function nearest(pixel, classes) {
  const [r, g, b] = [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  let id = UNPAINTED;
  let least = COLOR_TOLERANCE ** 2 + 1;
  for (let i = 0; i < classes.length; i++) {
    const { color } = classes[i];
    if (!color) continue;
    const distance = (color[0] - r) ** 2 + (color[1] - g) ** 2 + (color[2] - b) ** 2;
    if (distance < least) [id, least] = [i, distance];
  }
  return { id, distance: Math.sqrt(least) };
}

// Ids

// Whether all greys are the very colours of several classes, and no ids.
function isPainted({ bits, values }, classes) {
  const greys = new Set(classes.filter(({ color }) => color && new Set(color).size === 1).map(({ color }) => color[0]));
  const found = [...usedIn(values)];
  return bits <= 8 && found.every((value) => greys.has((value * 255) / (2 ** bits - 1)));
}

// The values of a picture whose colours are all grey, as some programs store ids; null for others.
function greysOf({ width, height, pixels }) {
  const isGrey = (pixel) => pixel >>> 24 === 255 && (pixel & 255) === ((pixel >> 8) & 255) && (pixel & 255) === ((pixel >> 16) & 255);
  return pixels.every(isGrey) ? { width, height, bits: 8, values: Uint16Array.from(pixels, (pixel) => pixel & 255) } : null;
}

// What to ask, or an Error where the values are those of no palette.
function ofIds({ width, height, bits, values }, palettes) {
  const found = [...usedIn(values)];
  const choices = palettes.flatMap(({ name, classes, values: ways }) =>
    ways.flatMap(([way, pairs]) => {
      const table = new Map(pairs);
      const first = found.find((value) => value > 0 && table.get(value) < classes.length) ?? found[0];
      if (!found.every((value) => table.has(value)) || found.every((value) => table.get(value) === classes.length)) return [];
      const label = `${name}, ${way} (${first} is ${classes[table.get(first)]?.name ?? "unpainted"})`;
      return [{ label, read: () => ({ width, height, ids: values.map((value) => idOf(table.get(value), classes)), names: classes.map(({ name }) => name) }) }];
    }),
  );
  const most = found.reduce((most, value) => (value < 2 ** bits - 1 ? Math.max(most, value) : most), 0);
  const words = `The picture looks like an id map without the names of its classes: greys of ${bits} bits, up to ${most}`;
  if (choices.length) return new OtherClasses(`${words}. Say which palette's ids they are.`, `${words}.`, choices);
  return new Error(`The picture is grey, without the names of classes, and its values, up to ${most}, are ids of no palette here: use it as an underlay, or open a picture in class colours.`);
}

const idOf = (id, classes) => (id < classes.length ? id : UNPAINTED);
