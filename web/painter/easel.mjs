// What is painted with what: document, view, tool, class and size of the brush.
//
// Events: "change" (something that controls show), "edit" and "painting" (detail: the rectangle), "finished" (an edit by a tool),
// "say" (detail: a sentence), "classes" (there are others), "point" (the pointer has moved), "frame" (the view has been drawn).

import { cssColor } from "./classes.mjs";
import { LayoutDocument, UNPAINTED, union } from "./document.mjs";
import { TOOLS } from "./tools.mjs";

export const MOST_SIZE = 512; // pixels of the brush
const KEYS = 9;

export class Easel extends EventTarget {
  chosen; // id
  point = null; // where the pointer or the keyboard's cursor is, or null
  isErasing = false;
  tool = TOOLS[0];
  #tools = new Map();
  #before = TOOLS[0];
  #isDown = false;
  #painted = null; // since the last "painting"
  #used = []; // ids with a key, the latest first

  constructor({ classes, width, height, mostSide }) {
    super();
    this.document = new LayoutDocument({ classes, width, height, mostSide });
    this.chosen = classes.length ? 0 : UNPAINTED;
    this.size = Math.max(1, Math.min(64, Math.round(Math.min(width, height) / 16)));
    this.#assignKeys();
  }

  // view: view.mjs. It needs the stage, which is made later than this.
  setView(view) {
    this.view = view;
    view.onFrame = () => {
      this.#tellPainting();
      this.dispatchEvent(new Event("frame"));
    };
  }

  // The class that is painted now.
  get id() {
    return this.isErasing ? UNPAINTED : this.chosen;
  }

  get name() {
    return this.document.nameOf(this.chosen);
  }

  get color() {
    return cssColor(this.document.classes[this.id]?.color);
  }

  get active() {
    if (!this.#tools.has(this.tool)) this.#tools.set(this.tool, new this.tool.Tool(this));
    return this.#tools.get(this.tool);
  }

  get isDown() {
    return this.#isDown;
  }

  // Choices

  choose(id) {
    if (id !== UNPAINTED && !this.document.classes[id]) return;
    this.chosen = id;
    if (id !== UNPAINTED) this.#giveKey(id);
    if (this.tool.id === "eraser") this.use("brush");
    this.#changed();
    this.describe();
  }

  use(id) {
    if (id === this.tool.id) return;
    this.cancel();
    this.#before = this.tool;
    this.tool = TOOLS.find((each) => each.id === id);
    this.#changed();
    this.describe();
  }

  // The tool that was used before this one.
  useBefore() {
    this.use(["eraser", this.tool.id].includes(this.#before.id) ? "brush" : this.#before.id);
  }

  setSize(size) {
    this.size = Math.max(1, Math.min(MOST_SIZE, Math.round(size)));
    if (this.point) this.point = { ...this.point, size: this.size };
    this.view.showMarks();
    this.#changed();
    this.describe();
  }

  // Larger (1) or smaller (-1), by steps that grow with the size.
  changeSize(direction) {
    this.setSize(this.size + direction * Math.max(1, Math.round(this.size / 8)));
  }

  get description() {
    const size = this.tool.isSized ? ` ${this.size} pixels` : "";
    const subject = this.tool.id === "eraser" ? "" : `${this.name}, `;
    return `${subject}${this.tool.name.toLowerCase()}${size}`;
  }

  describe() {
    this.say(this.description);
  }

  // Keys 1 to 9: the first classes, until others are used, which take the key of the one that was not used for longest.

  #assignKeys() {
    const count = Math.min(KEYS, this.document.classes.length);
    this.keys = Array.from({ length: count }, (_, id) => id);
    this.#used = [...this.keys];
  }

  #giveKey(id) {
    if (!this.keys.includes(id)) this.keys[this.keys.indexOf(this.#used.at(-1))] = id;
    this.#used = [id, ...this.#used.filter((each) => each !== id)].slice(0, KEYS);
  }

  // Strokes

  begin(point, isErasing = false) {
    this.isErasing = isErasing;
    this.#isDown = true;
    this.active.begin(point);
  }

  move(point) {
    if (this.#isDown) this.active.move(point); // it may have been given up
  }

  end(point) {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.active.end(point);
    this.isErasing = false;
  }

  cancel() {
    this.#lift(() => this.active.cancel());
  }

  // Takes back what has been done since the pointer was put down, and no more.
  retract() {
    this.#lift(() => this.active.retract());
  }

  #lift(leave) {
    this.#isDown = false;
    leave();
    this.isErasing = false;
  }

  giveUpStroke() {
    if (this.#isDown || this.active.isOpen) this.say("Given up.");
    this.cancel();
  }

  // For tools: what they have changed is shown; is a step; is taken back.

  show(part) {
    if (!part) return;
    this.view.show(part);
    this.#painted = union(this.#painted, part);
  }

  finish() {
    if (!this.edited(this.document.commit())) return false;
    this.dispatchEvent(new Event("finished"));
    return true;
  }

  giveUp() {
    this.show(this.document.cancel());
    this.#painted = null;
  }

  #tellPainting() {
    if (!this.#painted) return;
    const detail = this.#painted;
    this.#painted = null;
    this.dispatchEvent(new CustomEvent("painting", { detail }));
  }

  // Edits of the whole document

  edited(part) {
    this.#painted = null;
    if (!part) return false;
    this.#changed();
    this.dispatchEvent(new CustomEvent("edit", { detail: part }));
    return true;
  }

  undo() {
    this.#exchange(this.document.canUndo, "undo");
  }

  redo() {
    this.#exchange(this.document.canRedo, "redo");
  }

  // What is half done is taken back first, and alone.
  #exchange(can, what) {
    if (this.active.isOpen) return this.active.removeCorner();
    if (this.#isDown) return this.giveUpStroke();
    const { width, height, classes } = this.document;
    const part = this.document[what]();
    if (classes !== this.document.classes) this.#classesChanged(classes);
    if (width !== this.document.width || height !== this.document.height) this.view.fit();
    this.view.show(part);
    this.say(can ? (what === "undo" ? "Undone." : "Done again.") : `Nothing to ${what}.`);
    this.edited(part);
  }

  clear() {
    this.cancel();
    this.document.clear();
    this.view.redraw();
    this.edited(this.document.commit());
  }

  // Runs what puts other content into the document, and shows it.
  renew(change) {
    this.cancel();
    const { width, height, classes } = this.document;
    const told = change(this.document);
    if (classes !== this.document.classes) this.#classesChanged(classes);
    if (width !== this.document.width || height !== this.document.height) this.view.fit();
    this.view.redraw();
    return told;
  }

  // Chosen class and keys stay with the classes of their names.
  #classesChanged(before) {
    const { classes } = this.document;
    const name = before[this.chosen]?.name;
    const found = classes.findIndex((each) => each.name === name);
    const [first = UNPAINTED] = classes.keys();
    this.chosen = found >= 0 ? found : this.chosen < classes.length ? this.chosen : first;
    this.#assignKeys();
    if (this.chosen !== UNPAINTED) this.#giveKey(this.chosen);
    this.view.theme();
    this.dispatchEvent(new Event("classes"));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  say(sentence) {
    this.dispatchEvent(new CustomEvent("say", { detail: sentence }));
  }
}
