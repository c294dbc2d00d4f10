// A painter of layouts: its document, its view, and what a host asks of it.

import { LayoutDocument, UNPAINTED, byName } from "./document.mjs";
import { documentBlob, readDocument, readPicture } from "./png.mjs";
import { View } from "./view.mjs";

export class Painter extends EventTarget {
  // root: the element that is filled. Events: "edit" after every finished edit, "painting" while a stroke moves; their
  // detail is the rectangle that changed.
  constructor(root, { classes, width, height, compact = false }) {
    super();
    this.root = root;
    this.chosen = 0;
    this.size = 24;
    this.document = new LayoutDocument({ classes, width, height });
    root.innerHTML = '<div class="scdm-painter"><div class="scdm-stage"><input class="scdm-keys" readonly></div><div class="scdm-classes"></div><p role="status" aria-live="polite"></p></div>';
    const stage = root.querySelector(".scdm-stage");
    Object.assign(stage.style, { position: "relative", height: "400px" });
    this.view = new View(stage, this.document, () => {});
    for (const each of stage.querySelectorAll("canvas")) Object.assign(each.style, { position: "absolute", inset: "0", width: "100%", height: "100%" });
    stage.addEventListener("pointerdown", (event) => this.#begin(event, stage));
    stage.addEventListener("pointermove", (event) => this.last && this.#move(event));
    stage.addEventListener("pointerup", () => this.last && this.#end());
    root.addEventListener("keydown", (event) => this.#key(event));
    this.#listClasses();
  }

  #begin(event, stage) {
    event.stopPropagation();
    this.root.querySelector(".scdm-keys").focus();
    stage.setPointerCapture(event.pointerId);
    this.last = { ...this.view.at(event), size: this.size };
    this.#move(event);
  }

  #move(event) {
    const next = { ...this.view.at(event), size: this.size };
    const detail = this.document.line(this.last, next, this.chosen);
    this.last = next;
    this.view.show(detail);
    this.dispatchEvent(new CustomEvent("painting", { detail }));
  }

  #end() {
    this.last = null;
    this.#edited(this.document.commit());
  }

  #edited(detail) {
    if (!detail) return;
    this.view.redraw();
    this.dispatchEvent(new CustomEvent("edit", { detail }));
  }

  #key(event) {
    const key = event.key.toLowerCase();
    if (/^[1-9]$/.test(key)) this.chosen = Number(key) - 1;
    else if (event.ctrlKey && key === "z") event.shiftKey ? this.redo() : this.undo();
    else if (event.ctrlKey && key === "y") this.redo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #listClasses() {
    const list = this.document.classes.map(({ name }, id) => {
      const button = document.createElement("button");
      button.textContent = name;
      button.addEventListener("click", () => (this.chosen = id));
      return button;
    });
    this.root.querySelector(".scdm-classes").replaceChildren(...list);
  }

  undo() {
    this.#edited(this.document.undo());
  }

  redo() {
    this.#edited(this.document.redo());
  }

  clear() {
    this.document.clear();
    this.#edited(this.document.commit());
  }

  setClasses(classes) {
    const told = this.document.setClasses(classes);
    this.#listClasses();
    this.view.theme();
    return told;
  }

  resize(width, height, how) {
    const part = this.document.resize(width, height, how);
    this.view.fit();
    this.#edited(part);
  }

  toBlob() {
    return documentBlob(this.document);
  }

  async load(blob) {
    const read = await readDocument(blob);
    const { width, height, ids } = read ?? (await readPicture(blob, this.document.classes));
    const { table } = byName(read?.names ?? this.document.classes.map(({ name }) => name), this.document.classes);
    const part = this.document.adopt(width, height, ids.map((id) => table[id]));
    this.view.fit();
    this.#edited(part);
  }

  setUnderlay(picture, opacity = 0.5) {
    this.view.setUnderlay(picture, opacity);
  }

  message(sentence) {
    this.root.querySelector('[role="status"]').textContent = sentence;
  }

  destroy() {
    this.view.destroy();
    this.root.replaceChildren();
  }
}
