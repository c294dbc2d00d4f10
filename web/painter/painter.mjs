// A painter of layouts: what a host makes, and what it asks of it.
//
// Events: "edit" after every finished edit, "painting" while a stroke moves, at most once a frame. Their detail is the
// rectangle that changed, {x, y, width, height} in pixels. "underlay" when a picture is laid over the layout, shown to another
// degree or removed; detail: {picture, opacity}.

import { Popup, chosenClass, menu, sizeForm, sizeSlider, toolbar, undoButtons, zoomButtons } from "./bar.mjs";
import { ClassList } from "./classes.mjs";
import { byName, translated, usedIn } from "./document.mjs";
import { Easel } from "./easel.mjs";
import { button, make, slider } from "./elements.mjs";
import { Keys } from "./keys.mjs";
import { Offer } from "./offer.mjs";
import { readPicture } from "./pictures.mjs";
import { documentBlob, idMapBlob, pictureBlob, readDocument } from "./png.mjs";
import { Pointers } from "./pointers.mjs";
import { View } from "./view.mjs";

const NAMED = 5; // classes in a remark
const MOST_INDEXED = 255; // classes up to which a document is a picture in their colours
const HELP = "Canvas. The arrow keys move a cursor, Space paints there, Enter puts the brush down or lifts it, Escape gives up.";

export class Painter extends EventTarget {
  #easel;
  #list;
  #ended = new AbortController();
  #opacity = 0.5; // of the underlay

  // root: the element that is filled. classes: [{name, color: [r, g, b]}], the place being the class id. compact: for little
  // room, such as a node's. palettes: those whose layouts can be translated, as pictures.mjs has them. mostSide: pixels of a
  // side that the host takes.
  constructor(root, { classes, width, height, compact = false, palettes = [], mostSide }) {
    super();
    this.root = root;
    this.palettes = palettes;
    this.#easel = new Easel({ classes, width, height, mostSide });
    this.#build(compact);
    for (const type of ["edit", "painting"]) {
      this.#easel.addEventListener(type, ({ detail }) => this.dispatchEvent(new CustomEvent(type, { detail })));
    }
    this.#easel.describe();
    addStyles(root.ownerDocument, () => this.#easel.view.theme());
  }

  get document() {
    return this.#easel.document;
  }

  // What is seen: zoomTo(), panBy(), fit().
  get view() {
    return this.#easel.view;
  }

  // In pixels of the document.
  get brushSize() {
    return this.#easel.size;
  }

  set brushSize(size) {
    this.#easel.setSize(size);
  }

  undo() {
    this.#easel.undo();
  }

  redo() {
    this.#easel.redo();
  }

  clear() {
    this.#easel.clear();
  }

  // What is here now is where undo ends: for hosts that have just put it there.
  forget() {
    this.document.forget();
    this.#easel.dispatchEvent(new Event("change"));
  }

  // By name: {kept, lost}, names of classes. What is lost becomes unpainted, in one step.
  setClasses(classes) {
    const told = this.#easel.renew((document) => document.setClasses(classes));
    if (told.isStep) this.#easel.edited(this.document.all);
    return told;
  }

  // how: "resize", "crop", "pad" or "keep", as LayoutDocument has it.
  resize(width, height, how = "resize") {
    this.#easel.edited(this.#easel.renew((document) => document.resize(width, height, how)));
  }

  // The document as PNG.
  toBlob() {
    return documentBlob(this.document);
  }

  // A document, whose classes are found by name, or any picture in the classes' colours. Rejects with an Error whose message
  // is a sentence; it is OtherClasses for what has to be translated. What becomes unpainted is said.
  async load(blob) {
    const { classes, mostSide } = this.document;
    this.#adopt((await readDocument(blob, mostSide)) ?? (await readPicture(blob, classes, this.palettes, mostSide)));
  }

  #adopt({ width, height, ids, names, unmatched = 0 }) {
    const { table, lost } = byName(names ?? this.document.classes.map(({ name }) => name), this.document.classes);
    const used = names ? usedIn(ids) : new Set();
    const remark = lossOf(lost.filter((id) => used.has(id)).map((id) => names[id]), unmatched);
    this.#easel.edited(this.#easel.renew((document) => document.adopt(width, height, translated(ids, table))));
    this.message(remark || `A layout of ${width} x ${height} pixels.`);
  }

  // A picture over the layout, or null. opacity: from 0 to 1; what it was, if it is left out.
  setUnderlay(picture, opacity = this.#opacity) {
    this.#opacity = opacity;
    this.#easel.view.setUnderlay(picture, opacity);
    this.underlay.element.hidden = !picture;
    this.underlay.set(Math.round(100 * opacity), `${Math.round(100 * opacity)} %`);
    this.dispatchEvent(new CustomEvent("underlay", { detail: { picture, opacity } }));
  }

  message(sentence) {
    this.status.textContent = this.status.title = sentence; // there may be no room for all of it
  }

  destroy() {
    this.#ended.abort();
    this.#easel.view.destroy();
    this.root.replaceChildren();
  }

  // Parts

  #build(isCompact) {
    const easel = this.#easel;
    this.keys = make("input", { className: "scdm-keys", readOnly: true, "aria-label": HELP, "aria-roledescription": "canvas", autocomplete: "off" });
    this.stage = make("div", { className: "scdm-stage" }, this.keys);
    this.status = make("p", { className: "scdm-status", role: "status", "aria-live": "polite" });
    this.place = make("span", { className: "scdm-place", "aria-hidden": "true" });
    this.frame = make("div", { className: `scdm-painter ${isCompact ? "scdm-compact" : "scdm-roomy"}`, role: "group", "aria-label": "Layout painter" });
    this.body = make("div", { className: "scdm-body" });
    this.frame.append(this.body);
    this.root.replaceChildren(this.frame);
    this.#list = new ClassList(easel, () => this.#chosen());
    const chosen = chosenClass(easel, () => this.#toClasses());
    const [more, popups] = this.#menus();
    this.#underlaySlider();
    this.body.append(this.stage, this.#list.element, ...popups);
    easel.setView(new View(this.stage, easel.document, (context, view) => easel.active.marks(context, view, easel.point)));
    const zoom = zoomButtons(easel);
    const bar = make("div", { className: "scdm-bar" }, chosen, sizeSlider(easel), make("span", { className: "scdm-space" }), undoButtons(easel), zoom, more);
    this.body.prepend(bar, toolbar(easel, !isCompact));
    this.body.append(make("div", { className: "scdm-foot" }, this.status, this.underlay.element, this.place));
    this.#list.element.addEventListener("keydown", ({ key }) => key === "Escape" && this.focus());
    if (isCompact) this.classPopup = new Popup(this.frame, chosen, this.#list.element, () => this.focus());
    this.#listen();
  }

  #listen() {
    const easel = this.#easel;
    const { signal } = this.#ended;
    const pointers = new Pointers(this.stage, easel);
    const keys = new Keys(this.frame, this.keys, easel, pointers);
    easel.addEventListener("say", ({ detail }) => this.message(detail));
    easel.addEventListener("finished", () => this.#strokeEnded());
    easel.addEventListener("point", () => this.#showPlace());
    for (const show of [() => this.#showTool(), () => this.#showPlace()]) {
      easel.addEventListener("change", show);
      show();
    }
    this.frame.addEventListener("scdm-search", () => this.#toClasses());
    for (const type of ["pointerdown", "wheel", "mousedown", "dblclick", "click"]) {
      this.frame.addEventListener(type, (event) => event.stopPropagation()); // none of the host's affair
    }
    this.stage.addEventListener("pointerdown", () => (keys.leave(), this.focus()), true);
    this.frame.addEventListener("mousedown", (event) => this.#keepFocus(event));
    this.frame.addEventListener("dragover", (event) => event.preventDefault());
    this.frame.addEventListener("drop", (event) => this.#dropped(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => easel.view.theme(), { signal });
    const themes = new MutationObserver(() => easel.view.theme());
    for (const each of [this.root, this.root.ownerDocument]) themes.observe(each, { attributeFilter: ["data-theme"], subtree: true });
    signal.addEventListener("abort", () => themes.disconnect());
  }

  // What was said was about what was there before. The same again would only be read out again.
  #strokeEnded() {
    const { description } = this.#easel;
    if (this.status.title !== description) this.message(description);
  }

  focus() {
    this.keys.focus({ preventScroll: true });
  }

  // The mouse leaves the focus where keys are heard; only what is typed into takes it.
  #keepFocus(event) {
    if (event.target.closest("input:not(.scdm-keys), select, [role=listbox], [role=dialog]")) return;
    event.preventDefault();
    this.focus();
  }

  #showTool() {
    const { tool } = this.#easel;
    this.stage.style.cursor = tool.cursor;
    this.#easel.view.showMarks();
  }

  #showPlace() {
    const { point, document } = this.#easel;
    const isInside = point && point.x >= 0 && point.y >= 0 && point.x < document.width && point.y < document.height;
    const size = `${document.width} × ${document.height}`;
    this.place.textContent = isInside ? `${document.nameOf(document.idAt(point.x, point.y))}  ${Math.floor(point.x)}, ${Math.floor(point.y)}` : size;
  }

  // Classes

  #toClasses() {
    if (this.classPopup) this.classPopup.toggle();
    const { field, search, list } = this.#list;
    (field.hidden ? list : search).focus({ preventScroll: true });
  }

  #chosen() {
    if (this.classPopup) this.classPopup.close(false);
    this.focus();
  }

  // Files

  #menus() {
    const open = filePicker("image/*", (file) => this.#opened(file));
    const under = filePicker("image/*", (file) => this.#underlaid(file));
    const form = sizeForm(this.#easel, (...size) => this.#resized(...size), () => this.sizePopup.close());
    const actions = [
      ["Open a layout…", () => open.click()],
      ["Picture as underlay…", () => under.click()],
      null,
      ["Save as picture", () => this.#save("layout.png", this.document.classes.length > MOST_INDEXED ? pictureBlob : documentBlob)],
      ["Save as id map", () => this.#save("layout-ids.png", idMapBlob)],
      null,
      ["Size of the canvas…", () => (form.fill(), this.sizePopup.open())],
      ["Clear", () => this.clear()],
    ];
    const more = button({ icon: "more", label: "Files and size", onclick: () => this.menuPopup.toggle() });
    const panel = menu(actions, () => this.menuPopup.close());
    this.menuPopup = new Popup(this.frame, more, panel, () => this.focus());
    this.sizePopup = new Popup(this.frame, more, form.element, () => this.focus());
    this.offer = new Offer(this.#easel, (read) => this.#translated(read), () => this.offerPopup.close());
    this.offerPopup = new Popup(this.frame, more, this.offer.element, () => this.focus());
    return [more, [panel, form.element, this.offer.element, open, under]];
  }

  async #opened(file) {
    this.offerPopup.close(false); // is about another
    try {
      await this.load(file);
    } catch (error) {
      this.message(error.message);
      if (!error.choices) return;
      this.offer.ask(error);
      this.offerPopup.open();
    }
  }

  #translated(read) {
    this.offerPopup.close();
    this.#tried(() => this.#adopt(read));
  }

  async #underlaid(file) {
    try {
      this.setUnderlay(await createImageBitmap(file));
      this.message("The picture lies over the layout.");
    } catch {
      this.message("The file is no picture that this browser reads: choose a PNG or JPEG.");
    }
  }

  #dropped(event) {
    event.preventDefault();
    event.stopPropagation();
    const [file] = event.dataTransfer?.files ?? [];
    if (file) this.#opened(file);
  }

  async #save(name, made) {
    const link = make("a", { href: URL.createObjectURL(await made(this.document)), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  #resized(width, height, how) {
    this.#tried(() => this.resize(width, height, how));
  }

  #tried(change) {
    try {
      change();
    } catch (error) {
      this.message(error.message);
    }
  }

  #underlaySlider() {
    this.underlay = slider({ label: "Underlay", min: 0, max: 100, value: 50, oninput: (value) => this.setUnderlay(this.#easel.view.picture, value / 100) });
    const remove = make("button", { type: "button", className: "scdm-text", title: "Remove the underlay", "aria-label": "Remove the underlay", onclick: () => this.setUnderlay(null) }, "×");
    this.underlay.element = make("div", { className: "scdm-under", hidden: true }, this.underlay.element, remove);
  }
}

function lossOf(names, unmatched) {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  if (names.length) return `The layout has classes that are not here, and are unpainted now: ${names.slice(0, NAMED).join(", ")}${more}.`;
  return unmatched ? `${Math.max(1, Math.round(100 * unmatched))} % of the picture have no class's colour and are unpainted.` : "";
}

function filePicker(accept, chosen) {
  const input = make("input", { type: "file", accept, hidden: true });
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) chosen(file);
  });
  return input;
}

// Once in a document; calls `there` when they have come.
function addStyles(document, there) {
  const href = new URL("./painter.css", import.meta.url).href;
  const known = [...document.querySelectorAll("link[rel=stylesheet]")].find((link) => link.href === href);
  const link = known ?? make("link", { rel: "stylesheet", href });
  link.addEventListener("load", there, { once: true });
  if (!known) document.head.append(link);
}
