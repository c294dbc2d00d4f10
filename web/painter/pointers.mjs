// Mouse, pen and touch on the canvas. One finger paints, two move and zoom; the pen's pressure is the size of the brush.

const LEAST_PRESSURE = 0.15; // of the size
const RIGHT = 2; // buttons of a pointer, as bits
const MIDDLE = 4;
const PEN_ERASER = 32;

export class Pointers {
  #touches = new Map(); // pointerId -> [x, y] on the canvas
  #painting = null; // pointerId
  #panning = null; // {id, at: [x, y]}
  isSpaceDown = false;

  constructor(stage, easel) {
    this.easel = easel;
    this.stage = stage;
    const handled = { pointerdown: "down", pointermove: "move", pointerup: "up", pointercancel: "lost", pointerleave: "leave", wheel: "wheel", dblclick: "close", contextmenu: "none" };
    for (const [type, name] of Object.entries(handled)) {
      stage.addEventListener(type, (event) => {
        event.stopPropagation(); // a host with a canvas of its own would move it
        this[name](event);
      }, { passive: false });
    }
  }

  down(event) {
    event.preventDefault();
    this.stage.setPointerCapture?.(event.pointerId);
    if (event.pointerType === "pen") this.#dropTouches();
    if (event.pointerType === "touch" && !this.#isPenDown) this.#touches.set(event.pointerId, this.#place(event));
    if (this.#touches.size === 2) return this.#pinch();
    if (this.#painting !== null || this.#panning || this.#touches.size > 2) return;
    if (event.buttons & MIDDLE || this.isSpaceDown) this.#panning = { id: event.pointerId, at: this.#place(event) };
    else this.#begin(event);
  }

  #begin(event) {
    const { easel } = this;
    this.#painting = event.pointerId;
    easel.point = this.#point(event);
    if (event.altKey && easel.tool.id !== "eyedropper") easel.use("eyedropper");
    easel.begin(easel.point, Boolean(event.buttons & (RIGHT | PEN_ERASER)));
  }

  // Whether a pen or the mouse paints, beside which touches are those of the hand that holds it.
  get #isPenDown() {
    return this.#painting !== null && !this.#touches.has(this.#painting);
  }

  // A second finger: what the first one has begun was no stroke.
  #pinch() {
    this.#retract();
    this.easel.point = null;
  }

  #retract() {
    if (this.#painting !== null) this.easel.retract();
    this.#painting = null;
  }

  // A pen has come: touches before it were the hand's.
  #dropTouches() {
    if (this.#touches.has(this.#painting)) this.#retract();
    this.#touches.clear();
  }

  move(event) {
    const isTouch = this.#touches.has(event.pointerId);
    if (isTouch && this.#painting === null) return this.#movePinch(event);
    if (isTouch) this.#touches.set(event.pointerId, this.#place(event)); // from where a second finger would pinch
    if (this.#panning?.id === event.pointerId) return this.#pan(event);
    const { easel } = this;
    if (event.pointerId === this.#painting) this.#follow(event);
    else if (easel.isDown) return; // the keyboard paints
    easel.point = this.#point(event);
    easel.view.showMarks();
    easel.dispatchEvent(new Event("point"));
  }

  #follow(event) {
    const all = this.easel.active.followsAll ? event.getCoalescedEvents?.() ?? [] : [];
    for (const each of all.length ? all : [event]) this.easel.move(this.#point(each));
  }

  #pan(event) {
    const at = this.#place(event);
    this.easel.view.panBy(at[0] - this.#panning.at[0], at[1] - this.#panning.at[1]);
    this.#panning.at = at;
  }

  #movePinch(event) {
    const before = spread([...this.#touches.values()]);
    this.#touches.set(event.pointerId, this.#place(event));
    if (this.#touches.size !== 2) return;
    const now = spread([...this.#touches.values()]);
    const { view } = this.easel;
    view.panBy(now.x - before.x, now.y - before.y);
    if (before.distance > 0) view.zoomBy(now.distance / before.distance, [now.x, now.y]);
  }

  up(event) {
    this.#touches.delete(event.pointerId);
    if (this.#panning?.id === event.pointerId) this.#panning = null;
    if (this.#painting !== event.pointerId) return;
    this.#painting = null;
    this.easel.end(this.#point(event));
    if (event.pointerType === "touch") this.leave(event);
  }

  lost(event) {
    if (this.#painting === event.pointerId) this.#retract();
    this.up(event);
  }

  leave() {
    if (this.#painting !== null || this.easel.isDown) return;
    this.easel.point = null;
    this.easel.view.showMarks();
    this.easel.dispatchEvent(new Event("point"));
  }

  wheel(event) {
    event.preventDefault();
    const amount = event.deltaY || event.deltaX; // Shift turns the direction in some browsers
    if (event.shiftKey || event.altKey) return this.easel.changeSize(amount < 0 ? 1 : -1);
    const lines = event.deltaMode === 1 ? 33 : 1;
    this.easel.view.zoomBy(Math.exp((-Math.max(-120, Math.min(120, amount * lines)) * (event.ctrlKey ? 4 : 1)) / 500), this.#place(event));
  }

  close() {
    this.easel.active.close?.();
  }

  none(event) {
    event.preventDefault();
  }

  #place(event) {
    return this.easel.view.onCanvas(event);
  }

  #point(event) {
    const { size, view } = this.easel;
    const share = event.pointerType === "pen" && event.pressure > 0 ? LEAST_PRESSURE + (1 - LEAST_PRESSURE) * event.pressure : 1;
    return { ...view.at(event), size: Math.max(1, size * share), shift: event.shiftKey };
  }
}

// The middle and the distance of two places.
function spread([a, b]) {
  return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, distance: Math.hypot(a[0] - b[0], a[1] - b[1]) };
}
