// A rectangle on the image, dragged, or moved and sized with the keyboard.

const STEP = 1 / 32; // of the image, for the arrow keys
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// frame: the element that the image fills; box: the element that shows the rectangle in it. Event: "change".
export class Selection extends EventTarget {
  #frame;
  #box;
  #part = null; // {x, y, width, height} as shares of the image

  constructor(frame, box) {
    super();
    this.#frame = frame;
    this.#box = box;
    frame.addEventListener("pointerdown", (event) => this.#drag(event));
    frame.addEventListener("keydown", (event) => this.#key(event));
  }

  // [x, y, width, height] in pixels of an image of this size; null for all of it.
  area(width, height) {
    if (!this.#part) return null;
    const x = Math.floor(this.#part.x * width);
    const y = Math.floor(this.#part.y * height);
    const right = Math.min(width, Math.ceil((this.#part.x + this.#part.width) * width));
    const bottom = Math.min(height, Math.ceil((this.#part.y + this.#part.height) * height));
    return [x, y, Math.max(1, right - x), Math.max(1, bottom - y)];
  }

  clear() {
    this.#set(null);
  }

  #set(part) {
    this.#part = part;
    this.#box.hidden = !part;
    if (part) {
      for (const [side, of] of [["left", "x"], ["top", "y"], ["width", "width"], ["height", "height"]])
        this.#box.style[side] = `${100 * part[of]}%`;
    }
    this.dispatchEvent(new Event("change"));
  }

  #at(event) {
    const box = this.#frame.getBoundingClientRect();
    return {
      x: clamp((event.clientX - box.left) / box.width, 0, 1),
      y: clamp((event.clientY - box.top) / box.height, 0, 1),
    };
  }

  #drag(down) {
    if (down.button !== 0) return;
    const start = this.#at(down);
    this.#frame.setPointerCapture(down.pointerId);
    const move = (event) => {
      const now = this.#at(event);
      const width = Math.abs(now.x - start.x);
      const height = Math.abs(now.y - start.y);
      const tiny = width < STEP / 4 || height < STEP / 4; // a click selects nothing
      this.#set(tiny ? null : { x: Math.min(now.x, start.x), y: Math.min(now.y, start.y), width, height });
    };
    const end = (event) => {
      move(event);
      this.#frame.removeEventListener("pointermove", move);
      this.#frame.removeEventListener("pointerup", end);
      this.#frame.removeEventListener("pointercancel", end);
    };
    this.#frame.addEventListener("pointermove", move);
    this.#frame.addEventListener("pointerup", end);
    this.#frame.addEventListener("pointercancel", end);
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape" && this.#part) this.clear();
    else if (event.key === "Enter" && !this.#part) this.#set({ x: 0.375, y: 0.375, width: 0.25, height: 0.25 });
    else if (step && this.#part) this.#set(event.shiftKey ? this.#sized(...step) : this.#moved(...step));
    else return;
    event.preventDefault();
  }

  #moved(dx, dy) {
    const { x, y, width, height } = this.#part;
    return { x: clamp(x + dx * STEP, 0, 1 - width), y: clamp(y + dy * STEP, 0, 1 - height), width, height };
  }

  #sized(dx, dy) {
    const { x, y, width, height } = this.#part;
    return { x, y, width: clamp(width + dx * STEP, STEP, 1 - x), height: clamp(height + dy * STEP, STEP, 1 - y) };
  }
}
