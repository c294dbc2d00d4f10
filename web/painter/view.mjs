// The document on a canvas: zoom and pan, the outline of what a tool would do, and a picture that lies over it.
//
// Only what has changed is drawn, straight from ids to pixels of the screen: a copy of the document in colours would cost a
// large canvas's copying for each frame of a stroke.

import { canvasPixels, colorTable } from "./classes.mjs";
import { intersection, UNPAINTED, union } from "./document.mjs";

const LEAST_ZOOM = 0.02; // pixels of the screen for one of the document
const MOST_ZOOM = 64;
const SMOOTH = 3; // zoom up to which fractions would show as steps of unequal size
const CHECK = 3; // log2 of the side of a check, in pixels of the screen

export class View {
  zoom = 1;
  x = 0; // where the document's corner lies, in pixels of the canvas
  y = 0;
  #frame = null; // ImageData of the whole canvas
  #pixels; // the same, (H * W) ABGR
  #dirty = null; // of the document
  #isStale = true; // whether everything must be drawn
  #marks = true; // whether the marks must be drawn
  #waiting = 0;
  #fitted = true; // follows the size of the stage until somebody zooms

  // stage: the element with room for the canvases; drawMarks(context, view) draws over them.
  constructor(stage, document, drawMarks) {
    this.stage = stage;
    this.document = document;
    this.drawMarks = drawMarks;
    this.layout = canvas(stage, "scdm-layout");
    this.underlay = canvas(stage, "scdm-underlay");
    this.marks = canvas(stage, "scdm-marks");
    this.context = this.layout.getContext("2d", { willReadFrequently: true });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(stage);
    this.resize();
  }

  destroy() {
    cancelAnimationFrame(this.#waiting);
    this.observer.disconnect();
  }

  // Takes the colours of classes and theme again.
  theme() {
    this.colors = colorTable(this.document.classes);
    const { color, caretColor } = getComputedStyle(this.stage); // properties that the stage has no other use for
    this.checks = [color, caretColor].map(abgr);
    this.redraw();
  }

  resize() {
    const { clientWidth, clientHeight } = this.stage;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const width = Math.max(1, Math.round(clientWidth * ratio));
    const height = Math.max(1, Math.round(clientHeight * ratio));
    if (width === this.layout.width && height === this.layout.height && this.#frame) return;
    for (const each of [this.layout, this.underlay, this.marks]) Object.assign(each, { width, height });
    ({ pixels: this.#pixels, picture: this.#frame } = canvasPixels(width, height));
    if (this.#fitted) this.fit();
    this.theme(); // a stage outside the document had no style
  }

  // Pixels of the canvas for one of the page: the host may have scaled the element.
  get scale() {
    const { width } = this.stage.getBoundingClientRect();
    return width ? this.layout.width / width : 1;
  }

  // Where a pointer is, in pixels of the document, with fractions.
  at(event) {
    return this.fromCanvas(this.onCanvas(event));
  }

  fromCanvas([x, y]) {
    return { x: (x - this.x) / this.zoom, y: (y - this.y) / this.zoom };
  }

  onCanvas({ clientX, clientY }) {
    const { left, top } = this.stage.getBoundingClientRect();
    return [(clientX - left) * this.scale, (clientY - top) * this.scale];
  }

  toCanvas({ x, y }) {
    return [x * this.zoom + this.x, y * this.zoom + this.y];
  }

  // Shows the whole document.
  fit() {
    const { width, height } = this.layout;
    const margin = Math.min(12, width / 30) * 2;
    this.zoom = Math.min((width - margin) / this.document.width, (height - margin) / this.document.height);
    if (this.zoom > 1) this.zoom = Math.max(1, Math.floor(this.zoom * 8) / 8);
    this.zoom = Math.max(this.zoom, LEAST_ZOOM);
    this.#centre();
    this.#fitted = true;
    this.redraw();
  }

  #centre() {
    this.x = Math.round((this.layout.width - this.document.width * this.zoom) / 2);
    this.y = Math.round((this.layout.height - this.document.height * this.zoom) / 2);
  }

  // Zooms so that a place of the canvas (its middle, if none is given) keeps what it shows.
  zoomBy(factor, [x, y] = [this.layout.width / 2, this.layout.height / 2]) {
    this.zoomTo(this.zoom * factor, [x, y]);
  }

  zoomTo(zoom, [x, y] = [this.layout.width / 2, this.layout.height / 2]) {
    zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, zoom));
    this.x = x - ((x - this.x) / this.zoom) * zoom;
    this.y = y - ((y - this.y) / this.zoom) * zoom;
    this.zoom = zoom;
    this.panBy(0, 0);
  }

  // Moves what is shown, in pixels of the canvas; some of the document stays in sight.
  panBy(dx, dy) {
    const within = (at, size, room) => Math.min(room - Math.min(room, size) / 4, Math.max(Math.min(room, size) / 4 - size, at));
    this.x = within(this.x + dx, this.document.width * this.zoom, this.layout.width);
    this.y = within(this.y + dy, this.document.height * this.zoom, this.layout.height);
    this.#fitted = false;
    this.redraw();
  }

  // Moves so that a point of the document is in sight.
  reveal(point) {
    const [x, y] = this.toCanvas(point);
    const { width, height } = this.layout;
    const dx = x < 0 ? -x + width / 4 : x > width ? width - x - width / 4 : 0;
    const dy = y < 0 ? -y + height / 4 : y > height ? height - y - height / 4 : 0;
    if (dx || dy) this.panBy(dx, dy);
  }

  // opacity: from 0 to 1, of the picture over the layout.
  setUnderlay(picture, opacity) {
    this.picture = picture;
    this.underlay.style.opacity = opacity;
    this.underlay.hidden = !picture;
    this.redraw();
  }

  // Drawing

  redraw() {
    this.#isStale = true;
    this.#wait();
  }

  // Draws a rectangle of the document with the next frame.
  show(part) {
    this.#dirty = union(this.#dirty, part);
    this.#wait();
  }

  showMarks() {
    this.#marks = true;
    this.#wait();
  }

  #wait() {
    this.#waiting ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.#waiting);
    this.#waiting = 0;
    const part = this.#isStale ? this.document.all : this.#dirty;
    if (this.#isStale) this.#drawGround();
    if (part) this.#drawPart(part);
    if (this.#isStale) this.#drawUnderlay();
    if (this.#isStale || this.#marks) this.#drawMarks();
    this.#isStale = this.#marks = false;
    this.#dirty = null;
    this.onFrame?.();
  }

  #drawGround() {
    this.#pixels.fill(0);
    this.context.clearRect(0, 0, this.layout.width, this.layout.height);
  }

  // The pixels of the canvas that show a part of the document.
  #onScreen({ x, y, width, height }) {
    const [left, top] = this.toCanvas({ x, y }).map(Math.floor);
    const [right, bottom] = this.toCanvas({ x: x + width, y: y + height }).map(Math.ceil);
    return intersection({ x: left, y: top, width: right - left, height: bottom - top }, { x: 0, y: 0, width: this.layout.width, height: this.layout.height });
  }

  #drawPart(part) {
    const screen = this.#onScreen(part);
    if (!screen) return;
    if (this.zoom < SMOOTH && !Number.isInteger(this.zoom)) this.#sampleSmooth(screen);
    else this.#sample(screen);
    this.context.putImageData(this.#frame, 0, 0, screen.x, screen.y, screen.width, screen.height);
  }

  // For each place of the screen, the place of the document that lies at this offset into it; -1 outside.
  #places(from, count, offset, origin, size) {
    return Int32Array.from({ length: count }, (_, i) => {
      const at = Math.floor((from + i + offset - origin) / this.zoom);
      return at >= 0 && at < size ? at : -1;
    });
  }

  #sample({ x, y, width, height }) {
    const { ids, width: stride } = this.document;
    const [pixels, colors, checks, across] = [this.#pixels, this.colors, this.checks, this.layout.width];
    const columns = this.#places(x, width, 0.5, this.x, stride);
    const rows = this.#places(y, height, 0.5, this.y, this.document.height);
    for (let j = 0; j < height; j++) {
      const row = rows[j];
      let at = (y + j) * across + x;
      for (let i = 0; i < width; i++, at++) {
        if (row < 0 || columns[i] < 0) continue;
        const id = ids[row * stride + columns[i]];
        pixels[at] = id === UNPAINTED ? checks[(((x + i) >> CHECK) ^ ((y + j) >> CHECK)) & 1] : colors[id];
      }
    }
  }

  // The mean of four samples: what is thin does not vanish where the document is shown smaller, and edges are even.
  #sampleSmooth({ x, y, width, height }) {
    const { ids, width: stride } = this.document;
    const [pixels, colors, checks, across] = [this.#pixels, this.colors, this.checks, this.layout.width];
    const [columns, nextColumns] = [0.25, 0.75].map((offset) => this.#places(x, width, offset, this.x, stride));
    const [rows, nextRows] = [0.25, 0.75].map((offset) => this.#places(y, height, offset, this.y, this.document.height));
    for (let j = 0; j < height; j++) {
      const [first, second] = [rows[j] * stride, nextRows[j] * stride];
      let at = (y + j) * across + x;
      for (let i = 0; i < width; i++, at++) {
        if (first < 0 || second < 0 || columns[i] < 0 || nextColumns[i] < 0) continue;
        const check = checks[(((x + i) >> CHECK) ^ ((y + j) >> CHECK)) & 1];
        const [a, b, c, d] = [ids[first + columns[i]], ids[first + nextColumns[i]], ids[second + columns[i]], ids[second + nextColumns[i]]];
        if (a === b && a === c && a === d) pixels[at] = a === UNPAINTED ? check : colors[a];
        else pixels[at] = mean(mean(colors[a] || check, colors[b] || check), mean(colors[c] || check, colors[d] || check));
      }
    }
  }

  #drawUnderlay() {
    if (!this.picture) return;
    const context = this.underlay.getContext("2d");
    context.clearRect(0, 0, this.underlay.width, this.underlay.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, this.x, this.y, this.document.width * this.zoom, this.document.height * this.zoom);
  }

  #drawMarks() {
    const context = this.marks.getContext("2d");
    context.clearRect(0, 0, this.marks.width, this.marks.height);
    this.drawMarks(context, this);
  }
}

// Half of each channel of two opaque colours.
function mean(a, b) {
  return ((((a ^ b) & 0xfefefefe) >>> 1) + (a & b)) | 0xff000000;
}

function canvas(stage, name) {
  const made = stage.ownerDocument.createElement("canvas");
  made.className = name;
  made.setAttribute("aria-hidden", "true");
  stage.append(made);
  return made;
}

// "rgb(r, g, b)", as computed styles have it, as a pixel.
function abgr(color) {
  const [r = 255, g = 255, b = 255] = color.match(/[\d.]+/g)?.map(Number) ?? [];
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
