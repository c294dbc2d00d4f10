// The classes that can be painted: their colours, and the list in which one is chosen.

import { UNPAINTED } from "./document.mjs";
import { icon, make } from "./elements.mjs";

const FEW = 20; // classes that need neither a search nor a place for those in use
const PAUSE = 1000; // milliseconds after which typing in the list begins anew

// Pixels (ABGR) of each class id, of 65536; 0 where there is no class.
export function colorTable(classes) {
  const table = new Uint32Array(65536);
  classes.forEach(({ color }, id) => {
    const [r, g, b] = color ?? [0, 0, 0];
    table[id] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
  return table;
}

// An ImageData to fill with such colours, and its pixels, (H * W). The array comes first: alone, ImageData has been refused the
// memory beside another busy page.
export function canvasPixels(width, height) {
  const pixels = new Uint32Array(width * height);
  return { pixels, picture: new ImageData(new Uint8ClampedArray(pixels.buffer), width, height) };
}

export function cssColor(color) {
  return `rgb(${(color ?? [0, 0, 0]).join(" ")})`;
}

// A square in the colour of a class.
export function swatch(document, id) {
  const made = make("span", { className: "scdm-swatch" });
  if (id === UNPAINTED) made.classList.add("scdm-unpainted");
  else made.style.backgroundColor = cssColor(document.classes[id].color);
  return made;
}

let lists = 0; // that this page has had: ids of elements must differ

// A search, the classes in use, and the list of all, where "unpainted" is the last.
export class ClassList {
  #options = new Map(); // id -> element
  #state = ""; // what the list shows as chosen, and which keys
  #shown = []; // ids that match the search, in order
  #active = null; // id on which the keyboard is
  #typed = ""; // letters, in the list
  #typedAt = 0;

  // chosen(id) is called once somebody has chosen.
  constructor(easel, chosen = () => {}) {
    this.easel = easel;
    this.chosen = chosen;
    this.name = `scdm-classes-${++lists}`;
    this.search = make("input", { type: "search", placeholder: "Search classes", autocomplete: "off", spellcheck: false, role: "combobox", "aria-label": "Search classes", "aria-expanded": "true", "aria-controls": this.name, "aria-autocomplete": "list" });
    this.recent = make("div", { className: "scdm-recent", role: "group", "aria-label": "Classes in use" });
    this.list = make("div", { id: this.name, className: "scdm-list", role: "listbox", tabIndex: 0, "aria-label": "Classes" });
    this.empty = make("p", { className: "scdm-none", hidden: true });
    this.field = make("label", { className: "scdm-search" }, icon("search"), this.search);
    this.element = make("section", { className: "scdm-classes", "aria-label": "Classes" }, this.recent, this.field, this.empty, this.list);
    this.search.addEventListener("input", () => this.#filter());
    this.search.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("click", (event) => this.#choose(event.target.closest("[role=option]")?.dataset.id));
    this.recent.addEventListener("click", (event) => this.#choose(event.target.closest("button")?.dataset.id));
    easel.addEventListener("classes", () => this.fill());
    easel.addEventListener("change", () => this.show());
    this.fill();
  }

  fill() {
    const { document } = this.easel;
    const ids = [...document.classes.keys(), UNPAINTED];
    this.#options = new Map(ids.map((id) => [id, this.#option(id)]));
    this.list.replaceChildren(...this.#options.values());
    this.field.hidden = this.recent.hidden = document.classes.length <= FEW;
    this.search.value = this.#state = "";
    this.#filter();
    this.show();
  }

  #option(id) {
    const { document } = this.easel;
    const name = document.nameOf(id);
    const key = make("kbd", { "aria-hidden": "true" });
    return make("div", { id: `${this.name}-${id}`, role: "option", title: name, "data-id": id }, swatch(document, id), make("span", {}, name), key);
  }

  // What is chosen, and which keys choose what.
  show() {
    const { chosen, keys } = this.easel;
    const state = [chosen, ...keys].join();
    if (state === this.#state) return; // most changes are of the document
    this.#state = state;
    for (const [id, option] of this.#options) {
      const key = keys.indexOf(id) + 1;
      option.setAttribute("aria-selected", String(id === chosen));
      option.lastChild.textContent = key || "";
    }
    if (!this.recent.hidden) this.recent.replaceChildren(...keys.map((id, i) => this.#keyed(id, i + 1)));
    this.#activate(chosen);
  }

  #keyed(id, key) {
    const { document, chosen } = this.easel;
    const name = document.nameOf(id);
    return make("button", { type: "button", tabIndex: -1, title: `${name} (${key})`, "aria-label": name, "aria-pressed": String(id === chosen), "data-id": id }, swatch(document, id), make("kbd", { "aria-hidden": "true" }, String(key)));
  }

  #filter() {
    const text = this.search.value.trim().toLowerCase();
    const ranks = new Map([...this.#options.keys()].map((id) => [id, rank(this.easel.document.nameOf(id).toLowerCase(), text)]));
    this.#shown = [...ranks.keys()].filter((id) => ranks.get(id) >= 0).sort((a, b) => ranks.get(a) - ranks.get(b));
    this.list.replaceChildren(...this.#shown.map((id) => this.#options.get(id)));
    this.empty.hidden = this.#shown.length > 0;
    this.empty.textContent = `No class is called “${this.search.value.trim()}”.`;
    this.#activate(text ? this.#shown[0] : this.easel.chosen);
  }

  #activate(id) {
    this.#options.get(this.#active)?.classList.remove("scdm-active");
    this.#active = this.#shown.includes(id) ? id : null;
    const option = this.#options.get(this.#active);
    for (const each of [this.search, this.list]) each.setAttribute("aria-activedescendant", option?.id ?? "");
    option?.classList.add("scdm-active");
    if (option?.isConnected) reveal(option, this.list);
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    const at = this.#shown.indexOf(this.#active);
    if (event.key in steps) this.#activate(this.#shown[Math.max(0, Math.min(this.#shown.length - 1, at + steps[event.key]))]);
    else if (event.key === "Enter" || (event.key === " " && event.target === this.list)) this.#choose(this.#active);
    else if (event.key === "Escape" && this.search.value) this.#clear();
    else if (event.target === this.list && /^\p{L}$/u.test(event.key) && !event.ctrlKey && !event.metaKey) this.#seek(event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The class whose name begins with what is typed in quick succession.
  #seek({ key, timeStamp }) {
    this.#typed = timeStamp - this.#typedAt < PAUSE ? this.#typed + key.toLowerCase() : key.toLowerCase();
    this.#typedAt = timeStamp;
    const found = this.#shown.find((id) => this.easel.document.nameOf(id).toLowerCase().startsWith(this.#typed));
    if (found !== undefined) this.#activate(found);
  }

  #choose(id) {
    if (id === undefined || id === null) return;
    this.easel.choose(Number(id));
    this.#clear();
    this.chosen(Number(id));
  }

  #clear() {
    if (!this.search.value) return;
    this.search.value = "";
    this.#filter();
  }
}

// Names that begin with the text come first, then those with a word that does, then others that hold it; -1 for the rest.
function rank(name, text) {
  const at = name.indexOf(text);
  return at <= 0 ? at : /\w/.test(name[at - 1]) ? 2 : 1;
}

// Scrolls the list alone, never the page around it.
function reveal(option, list) {
  const [top, bottom] = [option.offsetTop - list.offsetTop, option.offsetTop - list.offsetTop + option.offsetHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
}
