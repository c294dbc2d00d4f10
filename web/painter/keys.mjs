// The keyboard: tools, classes, size and undo by keys, and a cursor that paints without a pointer.

import { TOOLS } from "./tools.mjs";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BY_KEY = new Map(TOOLS.map(({ key, id }) => [key, id]));
const FAR = 8; // times as far with Shift
const QUIET = 400; // milliseconds without a movement after which the place is said

export class Keys {
  #isOn = false; // whether the cursor is on the canvas
  #saying = 0;

  // input: a hidden one, which has the focus while the canvas is used, because hosts leave keys to inputs.
  constructor(root, input, easel, pointers) {
    Object.assign(this, { root, input, easel, pointers });
    root.addEventListener("keydown", (event) => this.down(event));
    root.addEventListener("keyup", (event) => this.up(event));
    input.addEventListener("blur", () => this.leave());
    input.addEventListener("keyup", ({ key }) => key === "Tab" && root.classList.add("scdm-by-keys")); // which brought the focus
    for (const type of ["input", "paste", "cut", "copy", "beforeinput"]) {
      input.addEventListener(type, (event) => event.stopPropagation());
    }
  }

  // The focus is on the canvas, and not on one of the controls.
  get isOnCanvas() {
    return this.root.ownerDocument.activeElement === this.input || this.root.getRootNode().activeElement === this.input;
  }

  down(event) {
    const isText = event.target !== this.input && event.target.matches("input:not([type=range]), select, textarea");
    const isPlain = !event.metaKey && (!event.ctrlKey || event.getModifierState("AltGraph")); // AltGr is Ctrl+Alt on Windows
    const isDone = isText ? false : isPlain ? this.#plain(event) : this.#withControl(event);
    if (isDone) event.preventDefault();
    if (isDone || (isPlain && event.key !== "Tab")) event.stopPropagation();
  }

  up(event) {
    event.stopPropagation();
    if (event.key !== " " || !this.isOnCanvas) return;
    event.preventDefault();
    this.pointers.isSpaceDown = false;
    if (this.#isOn && this.easel.isDown) this.easel.end(this.#point(event));
  }

  #withControl(event) {
    const { easel } = this;
    const key = latin(event);
    if (key === "z") event.shiftKey ? easel.redo() : easel.undo();
    else if (key === "y") easel.redo();
    else return false;
    if (event.target.tagName !== "INPUT") this.input.focus({ preventScroll: true }); // or the host would undo too
    return true;
  }

  #plain(event) {
    const { easel } = this;
    const key = latin(event);
    if (this.isOnCanvas && this.#onCanvas(event)) return true;
    if (key === "[" || key === "]") easel.changeSize(key === "]" ? 1 : -1); // which some keyboards have only with AltGr or Option
    else if (event.altKey) return false;
    else if (BY_KEY.has(key)) easel.use(BY_KEY.get(key));
    else if (/^[1-9]$/.test(key)) easel.choose(easel.keys[key - 1]);
    else if (key === "+" || key === "=") easel.view.zoomBy(1.25);
    else if (key === "-") easel.view.zoomBy(0.8);
    else if (key === "0") easel.view.fit();
    else if (key === "/") this.root.dispatchEvent(new CustomEvent("scdm-search"));
    else return false;
    return true;
  }

  #onCanvas(event) {
    if (event.key in ARROWS) return this.#walk(ARROWS[event.key], event);
    const { easel } = this;
    const { active } = easel;
    if (event.key === "Escape") return easel.giveUpStroke() ?? true;
    if (event.key === "Backspace" && active.isOpen) return active.removeCorner() ?? true;
    if (event.key === "Enter" && active.isOpen) return active.close() ?? true;
    if (event.key === "Enter") return this.#toggle(event);
    if (event.key !== " ") return false;
    if (!this.#isOn && easel.point) this.pointers.isSpaceDown = true;
    else if (!event.repeat && !easel.isDown) this.#begin(event);
    return true;
  }

  // Puts the brush down, or lifts it: for who cannot hold a key.
  #toggle(event) {
    if (this.easel.isDown) this.easel.end(this.#point(event));
    else this.#begin(event);
    return true;
  }

  #begin(event) {
    this.#enter();
    this.easel.begin(this.#point(event));
  }

  #walk([dx, dy], event) {
    const { easel } = this;
    if (!this.#enter()) {
      const step = event.altKey ? 1 : Math.max(1, Math.round(easel.size / 4)) * (event.shiftKey ? FAR : 1);
      const within = (at, size) => Math.max(0.5, Math.min(size - 0.5, at));
      const { width, height } = easel.document;
      easel.point = { ...easel.point, x: within(easel.point.x + dx * step, width), y: within(easel.point.y + dy * step, height) };
    }
    easel.view.reveal(easel.point);
    if (easel.isDown) easel.move(this.#point({ ...event, shiftKey: false }));
    easel.view.showMarks();
    easel.dispatchEvent(new Event("point"));
    this.#sayPlace();
    return true;
  }

  // Whether the cursor has just come onto the canvas: in the middle of what is seen, or where the pointer was.
  #enter() {
    const { easel } = this;
    if (this.#isOn && easel.point) return false;
    this.#isOn = true;
    this.root.classList.add("scdm-by-keys");
    if (easel.point) return false;
    const { width, height } = easel.document;
    const { x, y } = easel.view.fromCanvas([easel.view.layout.width / 2, easel.view.layout.height / 2]);
    const inside = (at, size) => Math.floor(Math.max(0, Math.min(size - 1, at))) + 0.5;
    easel.point = { x: inside(x, width), y: inside(y, height), size: easel.size };
    return true;
  }

  // The pointer is used again, or the focus is elsewhere.
  leave() {
    this.pointers.isSpaceDown = false;
    this.root.classList.remove("scdm-by-keys");
    if (!this.#isOn) return;
    this.#isOn = false;
    if (this.easel.isDown) this.easel.end(this.easel.point);
    this.easel.point = null;
    this.easel.view.showMarks();
  }

  #point({ shiftKey }) {
    return { ...this.easel.point, size: this.easel.size, shift: shiftKey };
  }

  #sayPlace() {
    clearTimeout(this.#saying);
    this.#saying = setTimeout(() => {
      const { point, document } = this.easel;
      if (point) this.easel.say(`${Math.floor(point.x)}, ${Math.floor(point.y)}: ${document.nameOf(document.idAt(point.x, point.y))}`);
    }, QUIET);
  }
}

// The key, or where its letter is of no Latin script the one at its place on an American keyboard.
function latin({ key, code }) {
  return /^[^\0-~]$/.test(key) ? code.replace(/^Key|^Digit/, "").toLowerCase() : key.toLowerCase();
}
