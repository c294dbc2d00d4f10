// The tools: what a pointer, or the keyboard's cursor, does between being put down and being lifted.
//
// Each has begin(point), move(point), end(point), cancel(), which gives up all that is half done, and retract(), which gives up
// what came since begin(); it may draw marks over the canvas. A point is {x, y, size, shift} in pixels of the document. `easel` is
// easel.mjs.

import { UNPAINTED, stamp } from "./document.mjs";

const NEAR = 9; // pixels of the canvas within which a corner is the first one again
const APART = 3; // pixels of the canvas between two points of a lasso
const EXACT = 3; // zoom from which single pixels are seen, which the outline of the brush then follows

class Tool {
  constructor(easel) {
    this.easel = easel;
  }

  begin() {}

  move() {}

  end() {}

  cancel() {
    this.easel.giveUp();
  }

  retract() {
    this.cancel();
  }

  // Whether it is half done while the pointer is lifted.
  get isOpen() {
    return false;
  }

  // Whether each place that the pointer went over matters, and not only where it is.
  get followsAll() {
    return false;
  }

  marks(context, view, point) {
    cross(context, view, point);
  }
}

class Brush extends Tool {
  #last = null;

  get id() {
    return this.easel.id;
  }

  get followsAll() {
    return true;
  }

  begin(point) {
    const from = point.shift && this.#last ? { ...this.#last, size: point.size } : point; // Shift goes on from the last stroke
    this.easel.show(this.easel.document.line(from, point, this.id));
    this.#last = point;
  }

  move(point) {
    this.easel.show(this.easel.document.line(this.#last, point, this.id));
    this.#last = point;
  }

  end() {
    this.easel.finish();
  }

  marks(context, view, point) {
    outline(context, view, point);
  }
}

class Eraser extends Brush {
  get id() {
    return UNPAINTED;
  }
}

class Fill extends Tool {
  begin(point) {
    const { document, id } = this.easel;
    this.easel.show(point.shift ? document.replace(document.idAt(point.x, point.y), id) : document.flood(point.x, point.y, id));
    this.easel.finish();
  }
}

class Replace extends Tool {
  begin(point) {
    const { document, id } = this.easel;
    const old = document.idAt(point.x, point.y);
    this.easel.show(document.replace(old, id));
    if (this.easel.finish()) this.easel.say(`${document.nameOf(old)} is ${document.nameOf(id)} now, everywhere.`);
  }
}

// A shape between two points, which is there while it is drawn.
class Shape extends Tool {
  begin(point) {
    this.start = point;
    this.move(point);
  }

  move(point) {
    const { document, id } = this.easel;
    this.easel.show(document.cancel());
    this.easel.show(this.put(document, this.start, point.shift ? this.straight(point) : point, id));
  }

  end() {
    this.easel.finish();
  }
}

class Line extends Shape {
  put(document, from, to, id) {
    return document.line(from, to, id);
  }

  // In steps of 45 degrees.
  straight(point) {
    const [dx, dy] = [point.x - this.start.x, point.y - this.start.y];
    const angle = (Math.round((Math.atan2(dy, dx) * 4) / Math.PI) * Math.PI) / 4;
    const length = dx * Math.cos(angle) + dy * Math.sin(angle);
    return { ...point, x: this.start.x + length * Math.cos(angle), y: this.start.y + length * Math.sin(angle) };
  }

  marks(context, view, point) {
    outline(context, view, point);
  }
}

class Rectangle extends Shape {
  put(document, from, to, id) {
    return document.rectangle(from, to, id);
  }

  straight(point) {
    const [dx, dy] = [point.x - this.start.x, point.y - this.start.y];
    const side = Math.max(Math.abs(dx), Math.abs(dy));
    return { ...point, x: this.start.x + side * (Math.sign(dx) || 1), y: this.start.y + side * (Math.sign(dy) || 1) };
  }
}

// Corners by clicks, or a lasso by a movement.
class Polygon extends Tool {
  #points = [];
  #start = -1; // how many corners there were before the pointer was put down; -1 while it is lifted

  get isOpen() {
    return this.#points.length > 0;
  }

  get followsAll() {
    return true;
  }

  begin(point) {
    if (this.#points.length > 2 && this.#distance(point, this.#points[0]) < NEAR) return this.close();
    this.#start = this.#points.length;
    this.#points.push(point);
    this.easel.view.showMarks();
  }

  move(point) {
    if (this.#start < 0 || this.#distance(point, this.#points.at(-1)) < APART) return;
    this.#points.push(point);
    this.easel.view.showMarks();
  }

  end() {
    if (this.#start < 0) return;
    const isClick = this.#points.length - this.#start < 3;
    if (!isClick && this.#start === 0) return this.close();
    if (isClick) this.#points.length = this.#start + 1;
    this.#start = -1;
    if (this.#points.length === 1) this.easel.say("Polygon: click its corners, or drag around an area. Enter closes it, Escape gives it up.");
    this.easel.view.showMarks();
  }

  close() {
    const { document, id } = this.easel;
    if (this.#points.length > 2) this.easel.show(document.polygon(this.#points, id));
    this.#forget();
    this.easel.finish();
    this.easel.describe(); // instead of how it is closed
  }

  removeCorner() {
    this.#points.pop();
    this.#start = -1; // the rest of this movement counts no more
    this.easel.view.showMarks();
  }

  cancel() {
    this.#forget();
    super.cancel();
  }

  retract() {
    if (this.#start >= 0) this.#points.length = this.#start;
    this.#start = -1;
    this.easel.view.showMarks();
  }

  #forget() {
    this.#points = [];
    this.#start = -1;
    this.easel.view.showMarks();
  }

  #distance(a, b) {
    return Math.hypot(a.x - b.x, a.y - b.y) * this.easel.view.zoom;
  }

  marks(context, view, point) {
    if (!this.isOpen) return super.marks(context, view, point);
    const points = point ? [...this.#points, point] : this.#points;
    const path = new Path2D();
    points.forEach((each, i) => path[i ? "lineTo" : "moveTo"](...view.toCanvas(each)));
    const closed = new Path2D(path);
    closed.closePath();
    context.globalAlpha = 0.35;
    context.fillStyle = this.easel.color;
    context.fill(closed, "evenodd");
    context.globalAlpha = 1;
    twoTone(context, path);
    corner(context, view.toCanvas(points[0]));
  }
}

class Eyedropper extends Tool {
  begin(point) {
    this.easel.choose(this.easel.document.idAt(point.x, point.y));
  }

  move(point) {
    this.begin(point);
  }

  end() {
    this.easel.useBefore();
  }
}

class Hand extends Tool {
  begin(point) {
    this.held = point;
  }

  move({ x, y }) {
    const { view } = this.easel;
    view.panBy((x - this.held.x) * view.zoom, (y - this.held.y) * view.zoom);
  }

  marks() {}
}

// What each is called, its key, whether the size of the brush matters to it, and the pointer's look.
export const TOOLS = [
  { id: "brush", name: "Brush", key: "b", isSized: true, cursor: "none", Tool: Brush },
  { id: "eraser", name: "Eraser", key: "e", isSized: true, cursor: "none", Tool: Eraser },
  { id: "fill", name: "Fill an area", key: "f", cursor: "none", Tool: Fill },
  { id: "replace", name: "Replace a class everywhere", key: "a", cursor: "none", Tool: Replace },
  { id: "line", name: "Line", key: "l", isSized: true, cursor: "none", Tool: Line },
  { id: "rectangle", name: "Rectangle", key: "r", cursor: "none", Tool: Rectangle },
  { id: "polygon", name: "Polygon or lasso", key: "p", cursor: "none", Tool: Polygon },
  { id: "eyedropper", name: "Pick a class", key: "i", cursor: "none", Tool: Eyedropper },
  { id: "hand", name: "Move the view", key: "h", cursor: "grab", Tool: Hand },
];

// Visible on any colour: white on black.
function twoTone(context, path) {
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.55)";
  context.stroke(path);
  context.lineWidth = 1.2;
  context.strokeStyle = "#fff";
  context.stroke(path);
}

function outline(context, view, point) {
  if (!point) return;
  const [x, y] = view.toCanvas(point);
  twoTone(context, view.zoom < EXACT ? circle(x, y, Math.max(2, (point.size / 2) * view.zoom)) : edge(view, stamp(point)));
  if (point.size * view.zoom > 24) {
    context.fillStyle = "#fff";
    context.fillRect(x - 1, y - 1, 2, 2);
  }
}

function circle(x, y, radius) {
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  return path;
}

// Around rows of pixels: down their right sides, and up their left ones.
function edge(view, rows) {
  const path = new Path2D();
  const right = rows.flatMap(([y, , to]) => [{ x: to, y }, { x: to, y: y + 1 }]);
  const left = rows.flatMap(([y, from]) => [{ x: from, y }, { x: from, y: y + 1 }]).reverse();
  for (const point of [...right, ...left]) path.lineTo(...view.toCanvas(point));
  path.closePath();
  return path;
}

function cross(context, view, point) {
  if (!point) return;
  const [x, y] = view.toCanvas(point);
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 3 * dx, y + 3 * dy);
    path.lineTo(x + 10 * dx, y + 10 * dy);
  }
  twoTone(context, path);
}

function corner(context, [x, y]) {
  const path = new Path2D();
  path.rect(x - 4, y - 4, 8, 8);
  context.fillStyle = "#fff";
  context.fill(path);
  context.lineWidth = 1;
  context.strokeStyle = "#000";
  context.stroke(path);
}
