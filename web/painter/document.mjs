// A layout that is painted: the class id of every pixel, never a colour. Each change is a step that undo takes back.

export const UNPAINTED = 65535;
export const MOST_PIXELS = 4096 * 4096;
const MOST_UNDO_BYTES = 128 * 2 ** 20;
const TILE = 64; // pixels: a side of the squares that a step keeps, for most of a long stroke's rectangle is as before
const MOST_TILES = MOST_PIXELS / TILE; // in a row

// Of both directions, from how much larger the new size is in each.
const SCALES = {
  resize: (x, y) => [x, y],
  crop: (x, y) => Array(2).fill(Math.max(x, y)),
  pad: (x, y) => Array(2).fill(Math.min(x, y)),
  keep: () => [1, 1],
};

// Rectangles are {x, y, width, height} in pixels, or null for none.
export function union(a, b) {
  if (!a || !b) return a ?? b;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  const right = Math.max(a.x + a.width, b.x + b.width);
  const bottom = Math.max(a.y + a.height, b.y + b.height);
  return { x, y, width: right - x, height: bottom - y };
}

export function intersection(a, b) {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.min(a.x + a.width, b.x + b.width) - x;
  const height = Math.min(a.y + a.height, b.y + b.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

// Layouts are large areas of one class: runs of (count - 1) << 16 | id, unless the ids themselves are smaller.
function packed(ids) {
  let runs = new Uint32Array(1024);
  let length = 0;
  for (let start = 0, end = 0; start < ids.length; start = end) {
    const id = ids[start];
    const most = Math.min(ids.length, start + 65536);
    while (end < most && ids[end] === id) end++;
    if (length === runs.length) {
      if (2 * runs.byteLength >= ids.byteLength) return ids;
      const more = new Uint32Array(2 * length);
      more.set(runs);
      runs = more;
    }
    runs[length++] = ((end - start - 1) << 16) | id;
  }
  return runs.slice(0, length);
}

function unpacked(content, length) {
  if (content instanceof Uint16Array) return content;
  const ids = new Uint16Array(length);
  let at = 0;
  for (const run of content) ids.fill(run & 65535, at, (at += (run >>> 16) + 1));
  return ids;
}

// The ids that occur, as a Set. (Made from millions of ids, a Set alone takes long.)
export function usedIn(ids) {
  const flags = new Uint8Array(65536);
  for (let i = 0; i < ids.length; i++) flags[ids[i]] = 1;
  const used = new Set();
  flags.forEach((flag, id) => flag && used.add(id));
  return used;
}

export function translated(ids, table) {
  const made = new Uint16Array(ids.length);
  for (let i = 0; i < ids.length; i++) made[i] = table[ids[i]];
  return made;
}

// A size that a document may have, or an Error that says why not. mostSide: what the host takes, in pixels.
export function checkSize(width, height, mostSide = Infinity) {
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!whole) throw new Error(`A layout has a whole number of pixels each way, not ${width} x ${height}.`);
  if (width * height > MOST_PIXELS) throw new Error(`${width} x ${height} pixels are more than the ${MOST_PIXELS / 2 ** 20} megapixels that can be painted: scale it down first.`);
  if (Math.max(width, height) > mostSide) throw new Error(`A layout has up to ${mostSide} pixels a side here, not ${width} x ${height}: scale it down first.`);
}

export class LayoutDocument {
  unpainted = UNPAINTED;
  #before; // the ids as they were when the step began
  #dirty = null; // what the step may have changed
  #tiles = new Set(); // the same, as places in rows of tiles
  #undone = [];
  #done = [];

  // classes: [{name, color: [r, g, b]}], where the place in the list is the class id.
  // mostSide: pixels.
  constructor({ classes, width, height, mostSide, mostUndoBytes = MOST_UNDO_BYTES }) {
    checkSize(width, height, mostSide);
    this.classes = classes;
    this.mostSide = mostSide;
    this.mostUndoBytes = mostUndoBytes;
    this.#adopt(width, height, new Uint16Array(width * height).fill(UNPAINTED));
  }

  get all() {
    return { x: 0, y: 0, width: this.width, height: this.height };
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  get isBlank() {
    return this.ids.every((id) => id === UNPAINTED);
  }

  idAt(x, y) {
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    return inside ? this.ids[Math.floor(y) * this.width + Math.floor(x)] : UNPAINTED;
  }

  nameOf(id) {
    return id === UNPAINTED ? "unpainted" : this.classes[id].name;
  }

  // Shapes. Each fills the pixels whose centres it covers, without anti-aliasing, and returns the rectangle it lies in.

  // What a round brush covers on its way from one point to another, {x, y, size}, sizes in pixels.
  line(from, to, id) {
    const [a, b] = [placed(from), placed(to)];
    const rows = new Rows();
    for (const disc of [a, b]) rows.addDisc(disc);
    rows.addHull(a, b);
    return this.#fillRows(rows, id);
  }

  rectangle(from, to, id) {
    const [left, right] = [from.x, to.x].map(Math.floor).sort((a, b) => a - b);
    const [top, bottom] = [from.y, to.y].map(Math.floor).sort((a, b) => a - b);
    const part = intersection(this.all, { x: left, y: top, width: right - left + 1, height: bottom - top + 1 });
    if (!part) return null;
    for (let y = part.y; y < part.y + part.height; y++) this.#span(y, part.x, part.x + part.width, id);
    return this.#touched(part);
  }

  // The area inside a closed line of points {x, y}; where it crosses itself, the even-odd rule holds.
  polygon(points, id) {
    const tops = points.map(({ y }) => y);
    const top = Math.max(0, Math.floor(Math.min(...tops)));
    const bottom = Math.min(this.height - 1, Math.ceil(Math.max(...tops)));
    let touched = null;
    for (let y = top; y <= bottom; y++) {
      const xs = crossings(points, y + 0.5);
      for (let i = 0; i + 1 < xs.length; i += 2) touched = union(touched, this.#clippedSpan(y, xs[i], xs[i + 1], id));
    }
    return this.#widened(touched);
  }

  // The area of one class around a pixel, connected through the four sides of pixels.
  flood(x, y, id) {
    const { width, height, ids } = this;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    if (column < 0 || row < 0 || column >= width || row >= height) return null;
    const old = ids[row * width + column];
    if (old === id) return null;
    const waiting = [row * width + column];
    let [left, right, top, bottom] = [column, column, row, row];
    while (waiting.length) {
      const at = waiting.pop();
      if (ids[at] !== old) continue;
      const start = at - (at % width);
      let from = at;
      let to = at;
      while (from > start && ids[from - 1] === old) from--;
      while (to < start + width - 1 && ids[to + 1] === old) to++;
      ids.fill(id, from, to + 1);
      const y = start / width;
      left = Math.min(left, from - start);
      right = Math.max(right, to - start);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      if (y > 0) starts(ids, from - width, to - width, old, waiting);
      if (y < height - 1) starts(ids, from + width, to + width, old, waiting);
    }
    return this.#touched({ x: left, y: top, width: right - left + 1, height: bottom - top + 1 });
  }

  // One class instead of another, everywhere.
  replace(from, to) {
    if (from === to) return null;
    const { ids } = this;
    for (let at = ids.indexOf(from); at >= 0; at = ids.indexOf(from, at + 1)) ids[at] = to;
    return this.#touched(this.all);
  }

  clear() {
    this.ids.fill(UNPAINTED);
    return this.#touched(this.all);
  }

  // Whole documents

  // how: what becomes of other proportions. "resize" stretches; "crop" fills the size and cuts off what hangs over; "pad"
  // fits the whole inside; "keep" keeps the scale. All but "resize" keep the centre, and leave unpainted what is new.
  // Returns the rectangle that changed, or null.
  resize(width, height, how = "resize") {
    checkSize(width, height, this.mostSide);
    if (!(how in SCALES)) throw new Error(`A layout is resized by ${Object.keys(SCALES).join(", ")}, not by "${how}".`);
    if (width === this.width && height === this.height) return null;
    const [across, down] = SCALES[how](width / this.width, height / this.height);
    return this.adopt(width, height, resampled(this, width, height, across, down));
  }

  // Takes these ids, and with them a size and classes, as one step.
  adopt(width, height, ids, classes = this.classes) {
    checkSize(width, height, this.mostSide);
    this.#remember(this.#whole());
    this.classes = classes;
    this.#adopt(width, height, ids);
    return this.all;
  }

  // Other classes, kept by name: {kept, lost, isStep}, names of classes. What is lost becomes unpainted; `lost` are those that were
  // painted. isStep: whether undo takes it back, as there is something to take back where ids change.
  setClasses(classes) {
    const before = this.classes;
    const { table, kept, lost } = byName(before.map(({ name }) => name), classes);
    const used = usedIn(this.ids);
    const isStep = before.some((_, id) => table[id] !== id) && (used.size > 1 || !used.has(UNPAINTED) || this.canUndo);
    if (!isStep) this.#rename(classes);
    else this.adopt(this.width, this.height, translated(this.ids, table), classes);
    return { kept, lost: lost.filter((id) => used.has(id)).map((id) => before[id].name), isStep };
  }

  // Steps

  // Ends a step: the rectangle that it changed, or null where every pixel is as before, which leaves no step.
  commit() {
    const { dirty, parts } = this.#taken();
    const changed = parts.filter((part) => this.#differs(part));
    if (!changed.length) return null;
    this.#remember(this.#step(this.#before, dirty, changed));
    this.#settle(changed);
    return dirty;
  }

  // Gives a step up: the rectangle that is as before again, or null.
  cancel() {
    const { dirty, parts } = this.#taken();
    for (const part of parts) paste(copied(this.#before, this.width, part), this.ids, this.width, part);
    return dirty;
  }

  undo() {
    this.cancel();
    return this.#exchange(this.#done, this.#undone);
  }

  redo() {
    this.cancel();
    return this.#exchange(this.#undone, this.#done);
  }

  // Takes away all steps: what is here now is where undo ends.
  forget() {
    this.cancel();
    this.#done = [];
    this.#undone = [];
  }

  #exchange(from, to) {
    const step = from.pop();
    if (!step) return null;
    const parts = step.pieces.map(({ part }) => part);
    const contents = step.pieces.map(({ part, content }) => unpacked(content, part.width * part.height));
    to.push(step.isWhole ? this.#whole() : this.#step(this.ids, step.part, parts));
    this.classes = step.classes;
    if (step.isWhole) this.#adopt(step.part.width, step.part.height, contents[0]);
    else parts.forEach((part, i) => paste(contents[i], this.ids, this.width, part));
    if (!step.isWhole) this.#settle(parts);
    return step.part;
  }

  // Classes of which those that were have kept their ids, which so mean the same in every step.
  #rename(classes) {
    for (const step of [...this.#done, ...this.#undone]) if (step.classes === this.classes) step.classes = classes;
    this.classes = classes;
  }

  #whole() {
    return { ...this.#step(this.ids, this.all, [this.all]), isWhole: true };
  }

  // What ids hold in these parts of a rectangle.
  #step(ids, part, parts) {
    const pieces = parts.map((each) => ({ part: each, content: packed(copied(ids, this.width, each)) }));
    return { part, pieces, bytes: pieces.reduce((sum, { content }) => sum + content.byteLength, 0), classes: this.classes };
  }

  #remember(step) {
    this.#undone = [];
    this.#done.push(step);
    let bytes = this.#done.reduce((sum, step) => sum + step.bytes, 0);
    while (bytes > this.mostUndoBytes && this.#done.length > 1) bytes -= this.#done.shift().bytes;
  }

  #adopt(width, height, ids) {
    this.#taken();
    Object.assign(this, { width, height, ids });
    this.#before = ids.slice();
  }

  #settle(parts) {
    for (const part of parts) paste(copied(this.ids, this.width, part), this.#before, this.width, part);
  }

  #differs({ x, y, width, height }) {
    for (let row = y; row < y + height; row++) {
      for (let at = row * this.width + x, end = at + width; at < end; at++) if (this.ids[at] !== this.#before[at]) return true;
    }
    return false;
  }

  // Pixels

  #touched(part) {
    this.#note(part);
    return this.#widened(part);
  }

  #widened(part) {
    this.#dirty = union(this.#dirty, part);
    return part;
  }

  #note({ x, y, width, height }) {
    const [left, right, top, bottom] = [x, x + width - 1, y, y + height - 1].map((at) => Math.floor(at / TILE));
    for (let row = top; row <= bottom; row++) for (let column = left; column <= right; column++) this.#tiles.add(row * MOST_TILES + column);
  }

  // The rectangle that the step may have changed, and those within it that it may have.
  #taken() {
    const dirty = this.#dirty;
    const parts = rectangles(this.#tiles).map((part) => intersection(part, dirty));
    this.#dirty = null;
    this.#tiles.clear();
    return { dirty, parts };
  }

  #span(y, from, to, id) {
    this.ids.fill(id, y * this.width + from, y * this.width + to);
  }

  #clippedSpan(y, left, right, id) {
    const [first, end] = covered(left, right);
    const [from, to] = [Math.max(0, first), Math.min(this.width, end)];
    if (y < 0 || y >= this.height || from >= to) return null;
    this.#span(y, from, to, id);
    const part = { x: from, y, width: to - from, height: 1 };
    this.#note(part);
    return part;
  }

  #fillRows(rows, id) {
    let touched = null;
    for (const [y, [left, right]] of rows.spans) touched = union(touched, this.#clippedSpan(y, left, right, id));
    return this.#widened(touched);
  }
}

// From ids of these names to those of the classes of the same names, whatever their case: {table of 65536 ids, kept (names),
// lost (ids)}.
export function byName(names, classes) {
  const exact = new Map(classes.map(({ name }, id) => [name, id]).reverse()); // the first of a name counts
  const folded = new Map(classes.map(({ name }, id) => [name.toLowerCase(), id]).reverse());
  const found = (name, id) => (classes[id]?.name === name ? id : exact.get(name) ?? folded.get(name.toLowerCase()));
  const table = new Uint16Array(65536).fill(UNPAINTED);
  names.forEach((name, id) => (table[id] = found(name, id) ?? UNPAINTED));
  return { table, kept: names.filter((_, id) => table[id] !== UNPAINTED), lost: [...names.keys()].filter((id) => table[id] === UNPAINTED) };
}

// The pixels that a round brush covers at a point {x, y, size}: for each row, [y, from, to), from top to bottom.
export function stamp(point) {
  const rows = new Rows();
  rows.addDisc(placed(point));
  return [...rows.spans].map(([y, [left, right]]) => [y, ...covered(left, right)]).filter(([, from, to]) => from < to);
}

// The pixels [from, to) of a row whose centres lie from left to right.
function covered(left, right) {
  return [Math.ceil(left - 0.5), Math.floor(right - 0.5) + 1];
}

// The brush where pixels are: odd sizes about the middle of one, even sizes about a corner.
function placed({ x, y, size }) {
  const whole = Math.max(1, Math.round(size));
  const at = whole % 2 ? (value) => Math.floor(value) + 0.5 : Math.round;
  return { x: at(x), y: at(y), radius: whole / 2 };
}

// A convex shape: from where to where it covers each row, in pixels.
class Rows {
  spans = new Map();

  add(y, left, right) {
    const known = this.spans.get(y);
    this.spans.set(y, known ? [Math.min(known[0], left), Math.max(known[1], right)] : [left, right]);
  }

  addDisc({ x, y, radius }) {
    for (let row = Math.ceil(y - radius - 0.5); row + 0.5 <= y + radius; row++) {
      const half = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - y) ** 2));
      this.add(row, x - half, x + half);
    }
  }

  // The area between two discs: the quadrangle of the points where their outer tangents touch.
  addHull(a, b) {
    const distance = Math.hypot(b.x - a.x, b.y - a.y);
    if (distance <= Math.abs(a.radius - b.radius)) return;
    const direction = Math.atan2(b.y - a.y, b.x - a.x);
    const turn = Math.acos((a.radius - b.radius) / distance);
    const touching = (disc, angle) => ({ x: disc.x + disc.radius * Math.cos(angle), y: disc.y + disc.radius * Math.sin(angle) });
    const points = [touching(a, direction + turn), touching(b, direction + turn), touching(b, direction - turn), touching(a, direction - turn)];
    const ys = points.map(({ y }) => y);
    for (let row = Math.ceil(Math.min(...ys) - 0.5); row + 0.5 <= Math.max(...ys); row++) {
      const xs = crossings(points, row + 0.5);
      if (xs.length) this.add(row, xs[0], xs.at(-1));
    }
  }
}

// Where a closed line of points crosses a height, from left to right.
function crossings(points, y) {
  const xs = [];
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    const [a, b] = [points[i], points[j]];
    if (a.y > y !== b.y > y) xs.push(a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x));
  }
  return xs.sort((a, b) => a - b);
}

// Tiles as rectangles in pixels, of which neighbours in a row are one.
function rectangles(tiles) {
  const sorted = [...tiles].sort((a, b) => a - b);
  const lasts = sorted.filter((tile, i) => sorted[i + 1] !== tile + 1);
  const firsts = sorted.filter((tile, i) => sorted[i - 1] !== tile - 1);
  return firsts.map((first, i) => ({ x: (first % MOST_TILES) * TILE, y: Math.floor(first / MOST_TILES) * TILE, width: (lasts[i] - first + 1) * TILE, height: TILE }));
}

// The first pixel of every run of a class between two places.
function starts(ids, from, to, old, found) {
  for (let at = from; at <= to; at++) if (ids[at] === old && (at === from || ids[at - 1] !== old)) found.push(at);
}

function copied(ids, stride, { x, y, width, height }) {
  if (x === 0 && width === stride) return ids.slice(y * stride, (y + height) * stride);
  const copy = new Uint16Array(width * height);
  for (let row = 0; row < height; row++) {
    const at = (y + row) * stride + x;
    copy.set(ids.subarray(at, at + width), row * width);
  }
  return copy;
}

function paste(ids, target, stride, { x, y, width, height }) {
  for (let row = 0; row < height; row++) target.set(ids.subarray(row * width, (row + 1) * width), (y + row) * stride + x);
}

// Nearest neighbour, centred: the scales say how many new pixels an old one is wide and high.
function resampled({ width, height, ids }, newWidth, newHeight, across, down) {
  const old = (at, size, oldSize, scale) => Math.floor((at + 0.5 - size / 2) / scale + oldSize / 2);
  const columns = Int32Array.from({ length: newWidth }, (_, x) => old(x, newWidth, width, across));
  const made = new Uint16Array(newWidth * newHeight).fill(UNPAINTED);
  for (let y = 0; y < newHeight; y++) {
    const row = old(y, newHeight, height, down);
    if (row < 0 || row >= height) continue;
    columns.forEach((column, x) => {
      if (column >= 0 && column < width) made[y * newWidth + x] = ids[row * width + column];
    });
  }
  return made;
}
