// What stands in a Paint Layout node: the painter, the live switch, and the image that follows.

import { make } from "../painter/elements.mjs";
import { Painter } from "../painter/painter.mjs";
import { Away, inline, isLarge, opened, uploaded, viewed } from "./documents.mjs";
import { limitsOf, subjectOf } from "./graph.mjs";
import { Live } from "./live.mjs";

const PAUSE = 40; // milliseconds after an edit in which others join it
const FOLLOWS = 10_000; // milliseconds within which a node takes the place of one that is gone
const UNDERLAY = 0.4; // opacity
const LIVE = "scdm_live"; // property of the node
const left = new Map(); // the elements of boards whose node is gone, by its id
const KEPT = "The painting could not be uploaded, and is kept in the workflow itself.";

export class Board {
  value = ""; // what the workflow holds of the painting
  painter = null; // none until the graph says what is painted
  #document = null; // the Blob behind the value, to be read again under other classes
  #isOpened = true; // whether the painter shows what the value says
  #subject = null;
  #size = ""; // of the painting, "width x height", when the widgets were last told
  #told = {}; // what the last run said
  #version = 0; // of what is painted
  #keeping = null; // Promise until the value says what is painted
  #turn = Promise.resolve(); // what the graph asks for is done one after the other
  #isOurs = false; // whether an edit is the board's own doing
  #ended = new AbortController();

  constructor(app, node, input) {
    Object.assign(this, { app, node, input });
    this.#build();
    const { signal } = this.#ended;
    this.live = new Live(app, node, this, signal);
    for (const type of ["pointerenter", "focusin"]) this.element.addEventListener(type, () => this.refresh());
    app.api.addEventListener("graphChanged", () => this.refresh(), { signal });
    this.#theme();
    const themes = new MutationObserver(() => this.#theme());
    for (const each of [document.body, document.documentElement]) themes.observe(each, { attributeFilter: ["class", "style"] });
    signal.addEventListener("abort", () => themes.disconnect());
    this.refresh();
  }

  get isLive() {
    return Boolean(this.node.properties?.[LIVE]);
  }

  // Opens what a workflow holds; which classes it is painted in is known when the graph is whole.
  setValue(value) {
    value = typeof value === "string" ? value : "";
    if (value === this.value) return;
    this.value = value;
    this.#document = null;
    this.#isOpened = false;
    this.refresh();
  }

  // Resolves when the value says what is painted.
  async settled() {
    await this.#turn;
    while (this.#keeping) await this.#keeping;
  }

  destroy() {
    const id = String(this.node.id);
    left.set(id, this.element);
    setTimeout(() => left.get(id) === this.element && left.delete(id), FOLLOWS);
    this.#ended.abort();
    this.live.stop().catch(() => {});
    this.painter?.destroy();
  }

  // The graph

  // Follows what the graph says: classes, size, underlay, and the painting itself.
  refresh() {
    this.#showLive();
    if (this.#isAsked) return this.#turn;
    this.#isAsked = true;
    this.#turn = this.#turn.then(pause).then(() => {
      this.#isAsked = false;
      return this.#follow();
    }).catch((error) => {
      console.error("Paint Layout (SCDM):", error);
      this.say(error.message);
    });
    return this.#turn;
  }
  #isAsked = false;

  async #follow() {
    if (this.#ended.signal.aborted || !this.node.graph) return;
    this.#takePlace();
    const before = this.#subject;
    const now = (this.#subject = subjectOf(this.node, this.input, this.#told));
    if (!now.classes.length) return;
    this.painter ??= this.#painter(now);
    const isOther = JSON.stringify(before?.classes ?? now.classes) !== JSON.stringify(now.classes);
    if (isOther) this.#ours(() => this.painter.setClasses(now.classes));
    if (isOther || !this.#isOpened) await this.#open();
    if (now.underlay !== before?.underlay) await this.#lay(now.underlay);
    const isResized = before && (before.width !== now.width || before.height !== now.height);
    if ((this.painter.document.isBlank && !this.value) || (isResized && now.isAsked)) this.#resize(now);
    this.#size = this.#sizeNow();
  }

  // Where the graph is undone, Nodes 2.0 leaves the element of the former node in place.
  #takePlace() {
    const former = left.get(String(this.node.id));
    if (former?.isConnected && !this.element.isConnected) former.replaceWith(this.element);
    left.delete(String(this.node.id));
  }

  // The document again, so that what other classes lack is not lost to those that have it.
  async #open() {
    this.#isOpened = true;
    const { value, painter } = this;
    try {
      this.#document ??= value ? await opened(this.app.api, value) : null;
      if (value !== this.value) return;
      if (this.#document) await this.#oursAsync(() => painter.load(this.#document));
      else this.#ours(() => painter.clear());
      painter.forget();
      this.canvas.inert = false;
    } catch (error) {
      this.#isOpened = !(error instanceof Away); // else it is tried again
      this.canvas.inert = !this.#isOpened; // strokes would take the place of what is not there yet
      painter.message(error.message);
    }
  }

  #resize({ width, height }) {
    const { document } = this.painter;
    if (document.width === width && document.height === height) return;
    const isBlank = document.isBlank;
    const resize = () => this.painter.resize(width, height);
    try {
      if (!isBlank) return resize(); // an edit, which is kept
      this.#ours(resize);
      this.painter.forget();
    } catch (error) {
      this.painter.message(error.message); // the widgets take sizes that no painter does
    }
  }

  async #lay(underlay) {
    const url = underlay && this.app.api.apiURL(viewed(underlay));
    const picture = url ? await loaded(url) : null;
    if (url && !picture) this.painter.message("The underlay is shown when the graph has run.");
    this.painter.setUnderlay(picture, UNDERLAY);
  }

  // What the node's run says: {classes, size, underlay}.
  executed(told) {
    const underlay = told.underlay && Object.freeze(told.underlay);
    this.#told = { ...told, underlay };
    this.refresh();
  }

  // The painting

  #painter(subject) {
    const painter = new Painter(this.canvas, { ...subject, ...subject.own, ...limitsOf(this.node, this.input), compact: true });
    painter.addEventListener("edit", () => this.#isOurs || this.#edited());
    return painter;
  }

  #ours(change) {
    this.#isOurs = true;
    try {
      return change();
    } finally {
      this.#isOurs = false;
    }
  }

  async #oursAsync(change) {
    this.#isOurs = true;
    try {
      await change();
    } finally {
      this.#isOurs = false;
    }
  }

  #edited() {
    this.#version++;
    this.#keeping ??= this.#keep().finally(() => (this.#keeping = null));
    if (this.isLive) this.live.follow();
  }

  async #keep() {
    let version;
    do {
      version = this.#version;
      await pause();
      await this.#encode();
    } while (version !== this.#version);
    this.#tellSize();
    capture(this.app);
  }

  async #encode() {
    const { painter } = this;
    const isBlank = painter.document.isBlank;
    const made = isBlank ? null : await painter.toBlob();
    const value = made ? await inline(made) : "";
    this.#document = made;
    this.value = value;
    if (!isLarge(value)) return;
    try {
      const name = await uploaded(this.app.api, made);
      if (this.value === value) this.value = name;
    } catch {
      painter.message(KEPT);
    }
  }

  // Another size from the painter's menu, or of a layout that was opened in it, is what the widgets say, too.
  #tellSize() {
    if (this.#size === this.#sizeNow()) return;
    const { width, height } = this.painter.document;
    for (const [name, pixels] of Object.entries({ width, height })) {
      const widget = this.node.widgets.find((each) => each.name === name);
      if (widget) widget.value = pixels;
    }
    this.#subject = { ...this.#subject, width, height, isAsked: true };
    this.#size = this.#sizeNow();
  }

  #sizeNow() {
    return `${this.painter.document.width} x ${this.painter.document.height}`;
  }

  // The image: what Live asks of its host

  image(blob, url = URL.createObjectURL(blob)) {
    const next = make("img", { alt: "The image of the painting" });
    next.addEventListener("load", () => {
      if (blob) URL.revokeObjectURL(url);
      this.picture.replaceChildren(next);
      this.element.classList.add("scdm-has-image");
    });
    next.src = url;
  }

  say(sentence) {
    this.status.textContent = sentence;
    this.status.title = sentence;
  }

  busy(isBusy) {
    this.element.classList.toggle("scdm-busy", isBusy);
  }

  // The server was away, and what was wanted of it still is.
  returned() {
    if (!this.#isOpened || (this.value && !this.#document)) this.#isOpened = false;
    this.refresh();
    if (this.isLive) this.live.follow();
  }

  // Parts

  #build() {
    this.canvas = make("div", { className: "scdm-board-painter" });
    this.picture = make("div", { className: "scdm-board-picture" }, make("p", {}, "The image appears here."));
    this.frame = make("button", { type: "button", className: "scdm-board-image", title: "Larger or smaller", onclick: () => this.#enlarge() }, this.picture);
    this.switch = make("button", { type: "button", className: "scdm-board-live", title: "After each stroke the graph runs, and the image follows", onclick: () => this.#toggle() }, make("i", { "aria-hidden": "true" }), "Live");
    this.status = make("p", { role: "status", "aria-live": "polite" });
    const bar = make("div", { className: "scdm-board-bar" }, this.switch, this.status);
    this.element = make("div", { className: "scdm-board" }, bar, make("div", { className: "scdm-board-body" }, this.canvas, this.frame));
    this.element.addEventListener("keydown", (event) => this.#key(event), true);
    for (const type of ["pointerdown", "mousedown", "dblclick", "contextmenu"]) {
      this.element.addEventListener(type, (event) => event.stopPropagation()); // none of the graph's affair
    }
    addStyles();
  }

  // Keys of the graph would undo it, or delete the node: while the focus is in here they are the painter's.
  #key(event) {
    const isUndo = (event.ctrlKey || event.metaKey) && ["z", "y"].includes(event.key.toLowerCase());
    if (isUndo && event.target.tagName !== "INPUT") {
      event.preventDefault();
      event.stopPropagation();
      this.painter?.focus(); // the graph leaves keys to inputs
      this.painter?.[event.key.toLowerCase() === "y" || event.shiftKey ? "redo" : "undo"]();
    } else if (["Delete", "Backspace"].includes(event.key) && event.target.tagName !== "INPUT") event.stopPropagation();
  }

  #toggle() {
    this.node.setProperty(LIVE, !this.isLive);
    this.#showLive();
    capture(this.app);
    if (this.isLive) this.live.follow();
    else this.live.stop().catch(() => {});
    this.say(this.isLive ? "" : "Live is off");
  }

  #showLive() {
    this.switch.setAttribute("aria-pressed", String(this.isLive));
    this.element.classList.toggle("scdm-is-live", this.isLive);
  }

  #enlarge() {
    this.element.classList.toggle("scdm-large");
  }

  // Dark where ComfyUI's text is light: how its palettes are marked differs between front ends.
  #theme() {
    const probe = make("i", { hidden: true });
    probe.style.color = "var(--fg-color, #fff)";
    document.body.append(probe);
    const levels = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    this.element.dataset.theme = levels.reduce((sum, level) => sum + level) > 384 ? "dark" : "light";
  }
}

// Tells the front end that the graph is another, so that it can be undone and is saved.
function capture(app) {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.();
}

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));

async function loaded(url) {
  const picture = new Image();
  picture.src = url;
  return picture.decode().then(() => picture, () => null);
}

function addStyles() {
  const href = new URL("./board.css", import.meta.url).href;
  if (![...document.styleSheets].some((sheet) => sheet.href === href)) document.head.append(make("link", { rel: "stylesheet", href }));
}
