// The controls around the canvas: tools, brush, undo, zoom, and a menu for files and the size of the canvas.

import { swatch } from "./classes.mjs";
import { MOST_SIZE } from "./easel.mjs";
import { button, icon, make, slider } from "./elements.mjs";
import { TOOLS } from "./tools.mjs";

const MOST_SIDE = 8192; // pixels that can be typed
const HOW = [
  ["resize", "Stretch", "The layout takes the new proportions"],
  ["crop", "Fill and cut", "The layout keeps its proportions; what hangs over is cut off"],
  ["pad", "Fit inside", "The layout keeps its proportions; the margin is unpainted"],
  ["keep", "Keep the scale", "Cut, or left unpainted, around the middle"],
];

// Sliders are finer where brushes are small.
const toSlider = (size) => Math.round((100 * Math.log(size)) / Math.log(MOST_SIZE));
const fromSlider = (value) => Math.max(1, Math.round(MOST_SIZE ** (value / 100)));

// The tools as a toolbar, in which arrow keys move.
export function toolbar(easel, isVertical) {
  const buttons = TOOLS.map(({ id, name, key }) => button({ icon: id, label: name, keys: key.toUpperCase(), "aria-keyshortcuts": key, "data-tool": id, onclick: () => easel.use(id) }));
  const element = make("div", { className: "scdm-tools", role: "toolbar", "aria-label": "Tools", "aria-orientation": isVertical ? "vertical" : "horizontal" }, ...buttons);
  const show = () =>
    buttons.forEach((each) => {
      const isUsed = each.dataset.tool === easel.tool.id;
      each.setAttribute("aria-pressed", String(isUsed));
      each.tabIndex = isUsed ? 0 : -1;
    });
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = (buttons.indexOf(event.target) + step + buttons.length) % buttons.length;
    buttons[at].focus();
    easel.use(TOOLS[at].id);
  });
  easel.addEventListener("change", show);
  show();
  return element;
}

export function undoButtons(easel) {
  const undo = button({ icon: "undo", label: "Undo", keys: "Ctrl+Z", onclick: () => easel.undo() });
  const redo = button({ icon: "redo", label: "Redo", keys: "Ctrl+Shift+Z", onclick: () => easel.redo() });
  const show = () => {
    undo.setAttribute("aria-disabled", String(!easel.document.canUndo)); // a disabled one would lose the focus
    redo.setAttribute("aria-disabled", String(!easel.document.canRedo));
  };
  easel.addEventListener("change", show);
  show();
  return make("div", { className: "scdm-group", role: "group", "aria-label": "Undo and redo" }, undo, redo);
}

export function sizeSlider(easel) {
  const { element, set } = slider({ label: "Brush", min: 0, max: 100, value: 0, title: "Size of the brush ([ and ], or Shift and the wheel)", oninput: (value) => easel.setSize(fromSlider(value)) });
  const show = () => {
    set(toSlider(easel.size), `${easel.size} px`);
    element.classList.toggle("scdm-faint", !easel.tool.isSized);
  };
  easel.addEventListener("change", show);
  show();
  return element;
}

export function zoomButtons(easel) {
  const { view } = easel;
  const shown = make("button", { type: "button", className: "scdm-text", title: "Show the whole layout (0)", "aria-label": "Show the whole layout", onclick: () => view.fit() });
  const out = button({ icon: "minus", label: "Zoom out", keys: "-", onclick: () => view.zoomBy(0.8) });
  const closer = button({ icon: "plus", label: "Zoom in", keys: "+", onclick: () => view.zoomBy(1.25) });
  easel.addEventListener("frame", () => {
    const text = `${Math.round((100 * view.zoom) / view.scale)} %`;
    if (shown.textContent !== text) shown.textContent = text;
  });
  return make("div", { className: "scdm-group scdm-zoom", role: "group", "aria-label": "Zoom" }, out, shown, closer);
}

// The chosen class, as a button that opens the list where there is no room for it.
export function chosenClass(easel, onclick) {
  const name = make("span");
  const element = make("button", { type: "button", className: "scdm-chosen", title: "Choose a class (/)", onclick }, name, icon("down"));
  const show = () => {
    name.textContent = easel.name;
    element.setAttribute("aria-label", `Class: ${easel.name}`);
    if (element.firstChild !== name) element.firstChild.remove();
    element.prepend(swatch(easel.document, easel.chosen));
  };
  easel.addEventListener("change", show);
  show();
  return element;
}

// A panel over the canvas that a button opens. One is open at a time in a painter; Escape and a click elsewhere close it.
export class Popup {
  constructor(root, opener, panel, canvasFocus) {
    Object.assign(this, { root, opener, panel, canvasFocus });
    panel.classList.add("scdm-popup");
    panel.hidden = true;
    if (!opener.hasAttribute("aria-haspopup")) opener.setAttribute("aria-haspopup", panel.getAttribute("role") === "menu" ? "menu" : "dialog");
    opener.setAttribute("aria-expanded", "false");
    root.addEventListener("pointerdown", ({ target }) => this.isOpen && !panel.contains(target) && !opener.contains(target) && this.close(false), true);
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    this.panel.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    this.panel.querySelector("input:not([type=file]), button, [tabindex='0']")?.focus({ preventScroll: true });
  }

  close(focuses = true) {
    if (!this.isOpen) return;
    this.panel.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
    if (focuses) this.canvasFocus();
  }
}

// actions: [label, function], with null for a line between.
export function menu(actions, done) {
  const items = actions.map((action) => {
    if (!action) return make("hr", { role: "separator" });
    const [label, act] = action;
    return make("button", { type: "button", role: "menuitem", tabIndex: -1, onclick: () => { done(); act(); } }, label);
  });
  const element = make("div", { className: "scdm-menu", role: "menu", "aria-label": "Layout" }, ...items);
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = items.filter((each) => each.tagName === "BUTTON");
    buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length].focus();
  });
  return element;
}

// Asks for another size of the canvas: resize(width, height, how).
export function sizeForm(easel, resize, done) {
  const number = (label) => make("input", { type: "number", min: 1, max: Math.min(MOST_SIDE, easel.document.mostSide ?? MOST_SIDE), required: true, "aria-label": label });
  const [width, height] = [number("Width"), number("Height")];
  const how = make("select", { "aria-label": "How" }, ...HOW.map(([value, text]) => make("option", { value }, text)));
  const about = make("p", { className: "scdm-faint" });
  const explain = () => (about.textContent = `${HOW.find(([value]) => value === how.value)[2]}.`);
  how.addEventListener("change", explain);
  explain();
  const buttons = make("div", { className: "scdm-row" }, make("button", { type: "button", className: "scdm-text", onclick: done }, "Cancel"), make("button", { type: "submit", className: "scdm-text scdm-first" }, "Apply"));
  const sizes = make("div", { className: "scdm-row" }, make("label", {}, "Width", width), make("span", { "aria-hidden": "true" }, "×"), make("label", {}, "Height", height));
  const element = make("form", { className: "scdm-form", role: "dialog", "aria-label": "Size of the canvas" }, make("strong", {}, "Size of the canvas"), sizes, how, about, buttons);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    done();
    resize(width.valueAsNumber, height.valueAsNumber, how.value);
  });
  const fill = () => ([width.value, height.value] = [easel.document.width, easel.document.height]);
  return { element, fill };
}
