// The page of `scdm paint`: a painter, and beside it the image that follows its document.

import { Painter } from "/painter/painter.mjs";
import { Connection, unpacked } from "/page/connection.mjs";
import { keep, kept } from "/page/keeping.mjs";
import { Selection } from "/page/selection.mjs";

const SLOW = 10; // seconds of an edit from which on the image no longer follows every stroke
const SLOW_WHOLE = 30; // seconds of a whole image, after which edits of it may still be quick
const SURE = 3; // steps after which the time of all is known
const SIZES = ["256x256", "384x384", "512x512", "768x512", "512x768", "768x768", "1024x1024"];
const UNPAINTED = 65535;
const NOTHING_YET = "Pick a class and paint. The image appears here.";

const $ = (id) => document.getElementById(id);
const seconds = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(0)) + " s";
const sentence = (words) => words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
const namesOf = (classes) => classes.map(({ name }) => name).join("\n");
const png = (bytes) => new Blob([bytes], { type: "image/png" });

class Page {
  painter = null;
  models = [];
  mine = false; // whether this window paints
  // Of updates that have not been answered, by number: when the edit was, the document, how (`made`) and whether all of the
  // image is painted anew.
  asked = new Map();
  image = null; // {blob, painted, made}: the image, the document that it was made for, and how
  insisted = false; // the user wants live images although they are slow
  latency = 0; // seconds from the latest edit until its image was there
  spent = 0; // seconds of it that the server painted
  images = 0; // that have come
  #last = 0;
  #forgotten = 0; // the number up to which answers count no more, as nothing is painted since
  #wanted = null;
  #encoding = false;
  #resumed = false; // whether this connection has been told of the image that was kept

  constructor(record) {
    this.record = record;
    this.selection = new Selection($("frame"), $("selection"));
    const name = (sessionStorage.window ??= crypto.randomUUID());
    this.connection = new Connection(`ws://${location.host}/socket?window=${name}`);
    this.connection.addEventListener("message", ({ detail }) => {
      if (detail.head.number && detail.head.number <= this.#forgotten) return;
      this[`on_${detail.head.kind}`]?.(detail.head, ...detail.pictures);
    });
    this.connection.addEventListener("lost", ({ detail }) => this.lost(detail.seconds));
    this.#listen();
  }

  // What the server says

  async on_hello({ models, size, palettes, most_side: mostSide }) {
    const settings = this.models.length ? this.settings : this.record.settings ?? {};
    this.models = models;
    $("model").replaceChildren(...models.map(({ name }) => new Option(name)));
    this.showSettings(settings);
    this.#ready ??= this.#begin(size, mostSide);
    await this.#ready;
    this.painter.palettes = palettes;
    if (settings.model && settings.model !== this.model.name) this.changeModel(); // the server has it no more
  }

  #ready = null;
  #touched = false; // whether a blank canvas is what somebody wants

  async on_yours() {
    await this.#ready;
    const fromElsewhere = $("elsewhere").open;
    $("elsewhere").close();
    this.mine = true;
    this.#resumed = false;
    this.asked.clear();
    this.status(this.image ? "Connected." : "Ready.");
    if (fromElsewhere) await this.restore(await kept());
    if (this.blank && !this.#touched) this.connection.send({ kind: "describe" }); // another browser may have painted
    else if ($("live").checked) this.want({ at: performance.now() });
    this.refresh();
  }

  async on_session({ settings, remarks }, document) {
    if (!this.blank) return;
    await this.#begun(settings, document);
    this.painter.forget();
    this.note(remarks.map(sentence).join(" "));
  }

  on_busy() {
    this.mine = false;
    this.painting(false);
    if (!$("elsewhere").open) $("elsewhere").showModal();
    this.status("Another window paints.");
  }

  on_free() {
    if ($("elsewhere").open && !document.hidden) this.connection.send({ kind: "take" });
  }

  on_loading({ model }) {
    this.status(`Loading the model ${model}…`);
    this.painting(true);
  }

  async on_preview({ number, step, steps, seconds: spent }, picture) {
    this.painting(true, step / steps);
    const all = step < SURE ? 0 : (spent / step) * steps;
    this.status(`Painting: step ${step} of ${steps}` + (all > 3 ? `, about ${seconds(all)} in all` : ""));
    this.#keepPace(all, number, this.asked.get(number)?.anew);
    await this.show(new Blob([picture], { type: "image/jpeg" }), number, true);
  }

  async on_image({ number, seconds: spent, share, remarks }, picture) {
    const { at, document, made, anew } = this.asked.get(number) ?? {};
    const blob = png(picture);
    await this.show(blob, number, false);
    this.#answered(number);
    if (document) {
      this.image = { blob, painted: document, made };
      this.keep({ image: blob, painted: document });
    }
    this.images += 1;
    this.spent = spent;
    if (at) this.latency = (performance.now() - at) / 1000;
    this.note(remarks.map(sentence).join(" "));
    const part = share === 0 ? "as it was" : `${seconds(spent)} to paint ${Math.max(1, Math.round(100 * share))} % of it`;
    this.status(at ? `The image came after ${seconds(this.latency)}: ${part}.` : `The image is there: ${part}.`);
    this.#keepPace(spent, number, anew);
    this.refresh();
    this.underlay();
  }

  on_cancelled({ number }) {
    const newest = Math.max(0, ...this.asked.keys());
    this.#answered(number);
    if (number < newest) return;
    this.status("Cancelled. The image is that of before; Paint image brings it up to date.");
    this.showKept();
  }

  on_unknown({ number }) {
    this.#answered(number);
    this.status("The image is that of before; Paint image brings it up to date.");
  }

  on_error({ number, words }) {
    this.#answered(number);
    this.status(sentence(words), true);
    this.showKept();
  }

  lost(wait) {
    this.mine = false;
    this.painting(false);
    this.refresh();
    this.status(`The server does not answer; the next attempt is in ${wait.toFixed(wait < 1 ? 1 : 0)} s. What you paint is kept here.`, true);
    if (this.#ready) this.showKept();
  }

  #answered(number) {
    for (const known of [...this.asked.keys()]) if (known <= number) this.asked.delete(known);
    this.painting([...this.asked.values()].some(({ known }) => !known));
    this.refresh();
  }

  // What is asked of the server

  // Has the image follow: {at} the time of the edit, {again, area}, {whole}, {known} only if the server has the image. What
  // comes while a document is written joins it.
  want(more) {
    const known = (this.#wanted?.known ?? true) && Boolean(more.known);
    this.#wanted = { ...this.#wanted, ...more, known };
    this.#follow();
  }

  async #follow() {
    if (this.#encoding) return;
    this.#encoding = true;
    try {
      while (this.#wanted) {
        const wanted = this.#wanted;
        this.#wanted = null;
        const document = await this.painter.toBlob();
        this.keep({ document });
        this.#send(wanted, document);
      }
    } finally {
      this.#encoding = false;
    }
  }

  #send({ at = performance.now(), again = false, area = null, whole = false, known = false }, document) {
    if (this.blank) return this.#emptied();
    if (!this.mine || !this.connection.open) return;
    const number = this.#number();
    const before = !this.#resumed && !known && this.image ? [this.image.painted, this.image.blob] : [];
    this.#resumed ||= !known;
    const { settings } = this;
    const made = JSON.stringify([settings, this.painter.document.width, this.painter.document.height]);
    this.asked.set(number, { at, document, made, known, anew: whole || (again && !area) || this.image?.made !== made });
    if (!known) this.painting(true);
    this.connection.send({ kind: "update", number, settings, again, area, whole, known }, document, ...before);
  }

  // Nothing is painted: what is under way would show an image of what is there no more.
  #emptied() {
    if (this.asked.size && this.mine) this.connection.send({ kind: "cancel" });
    this.#shown = this.#forgotten = this.#number();
    this.asked.clear();
    this.image = null;
    this.keep({ image: null, painted: null });
    this.painting(false);
    this.clearImage();
    this.note("");
    if (this.mine) this.status("Ready.");
    this.refresh();
  }

  #number() {
    return (this.#last = Math.max(this.#last + 1, Date.now()));
  }

  draw(by) {
    const number = this.#number();
    this.asked.set(number, { at: performance.now(), document: this.image?.painted, made: this.image?.made });
    this.connection.send({ kind: "draw", number, by });
  }

  // Whether nothing is under way, and the image is that of the latest document asked for.
  get isUpToDate() {
    return Boolean(this.image) && !this.asked.size && !this.#wanted && !this.#encoding;
  }

  get blank() {
    return this.painter.document.ids.every((id) => id === UNPAINTED);
  }

  get settings() {
    const { name, guidance, roughness } = this.model;
    const outlines = roughness ? $("roughness").value : "auto";
    return {
      model: name,
      seed: /^\d{1,20}$/.test($("seed").value) ? $("seed").value : "0",
      guidance: guidance && $("guidance").value ? Number($("guidance").value) : null,
      roughness: isNaN(outlines) ? outlines : Number(outlines),
    };
  }

  get model() {
    return this.models.find(({ name }) => name === $("model").value) ?? this.models[0];
  }

  // Painter and image

  async #begin(size, mostSide) {
    const { document: saved, live = true } = this.record;
    this.painter = new Painter($("painter"), { classes: this.model.classes, width: size[0], height: size[1], mostSide });
    this.painter.addEventListener("edit", () => this.edited());
    this.#sameSize();
    $("live").checked = live;
    await this.restore(this.record);
    this.painter.forget();
    if (!saved) this.status("Ready.");
    if (document.activeElement === document.body) this.painter.focus(); // its keys are heard at once
  }

  // Puts the painting and the image of a record there.
  async restore({ document: saved, image, painted, settings }) {
    this.image = image && painted ? { blob: image, painted } : null;
    if (settings) this.showSettings(settings);
    this.#touched ||= Boolean(saved);
    if (saved) await this.#load(saved).catch((error) => this.note(error.message));
    await this.showKept();
    this.showSize();
    this.underlay();
  }

  #restoring = false;

  // A document in the classes of the chosen model, without an update of the image.
  async #load(document) {
    this.#restoring = true;
    try {
      this.painter.setClasses(this.model.classes);
      await this.painter.load(document);
    } finally {
      this.#restoring = false;
    }
  }

  edited() {
    this.showSize();
    this.refresh();
    if (this.#restoring) return;
    this.#touched = true;
    this.#followClasses();
    this.want({ at: performance.now(), known: !$("live").checked });
  }

  #shown = 0;
  #finished = 0; // the newest that is shown and no preview

  // Draws a picture, unless a later one is there: pictures are not decoded in the order in which they come.
  async show(blob, number, preview) {
    const bitmap = await createImageBitmap(blob);
    if (number < this.#shown || (preview && number === this.#finished)) return;
    this.#shown = number;
    if (!preview) this.#finished = number;
    const { width, height } = this.painter.document;
    const canvas = $("image");
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
    canvas.ariaLabel = `Image of ${width} by ${height} pixels` + (preview ? ", being painted" : "");
    $("frame").style.aspectRatio = `${width} / ${height}`;
    $("frame").style.setProperty("--ratio", width / height);
    $("empty").hidden = true;
    $("frame").dataset.there = "";
    bitmap.close();
  }

  async showKept() {
    if (this.image) await this.show(this.image.blob, this.#shown, false);
    else this.clearImage();
  }

  clearImage() {
    delete $("frame").dataset.there;
    if (this.#laid) this.painter.setUnderlay(null);
    this.#laid = false;
    $("empty").textContent = NOTHING_YET;
    $("empty").hidden = false;
    $("image").ariaLabel = "No image yet";
  }

  // Lays the image over the layout while that is wanted; else what lies there is the user's.
  async underlay() {
    if ($("under").ariaPressed !== "true" || !("there" in $("frame").dataset)) return;
    const control = document.querySelector("#painter .scdm-under"); // where the painter lets it be removed
    if (this.#laid && control?.hidden) this.toggleUnderlay(false);
    else this.painter.setUnderlay(await createImageBitmap($("image")));
    this.#laid = $("under").ariaPressed === "true";
  }

  #laid = false;

  toggleUnderlay(wanted) {
    $("under").ariaPressed = String(wanted);
    this.#laid = false;
    if (wanted) this.underlay();
    else this.painter.setUnderlay(null);
  }

  // The image is as large as the painter shows its canvas, so that the two can be compared.
  #sameSize() {
    const stage = document.querySelector("#painter .scdm-stage");
    if (!stage) return;
    new ResizeObserver(() => {
      $("frame").style.setProperty("--most-width", `${stage.clientWidth - 24}px`);
      $("frame").style.setProperty("--most-height", `${stage.clientHeight - 24}px`);
    }).observe(stage);
  }

  // The bar

  showSettings({ model, seed, guidance, roughness }) {
    if (this.models.some(({ name }) => name === model)) $("model").value = model;
    $("seed").value = seed ?? ($("seed").value || "0");
    $("guidance").value = guidance ?? "";
    $("roughness").value = roughness ?? "auto";
    this.#lately = [this.model, ...this.#lately.filter(({ name }) => name !== this.model.name)];
    $("guided").hidden = !this.model.guidance;
    $("rough").hidden = !this.model.roughness;
    $("model").title = `Taught images of ${this.model.taught}` + (this.model.distilled ? "" : "; not a fast model: an image takes many steps");
  }

  showSize() {
    const { width, height } = this.painter.document;
    const now = `${width}x${height}`;
    const own = this.model.size.join("x");
    const sizes = [...new Set([own, ...SIZES, now])].map((size) => [size, ...size.split("x").map(Number)]);
    sizes.sort((a, b) => a[1] * a[2] - b[1] * b[2] || a[1] - b[1]);
    $("size").replaceChildren(...sizes.map(([size]) => new Option(size.replace("x", " × ") + (size === own ? " (taught)" : ""), size)));
    $("size").value = now;
  }

  // Undo and redo bring back classes of another model: that one is chosen again, of several the one chosen last.
  #followClasses() {
    const now = namesOf(this.painter.document.classes);
    if (now === namesOf(this.model.classes)) return;
    const model = [...this.#lately, ...this.models].find(({ classes }) => namesOf(classes) === now);
    if (!model || !this.models.some(({ name }) => name === model.name)) return;
    this.showSettings({ ...this.settings, model: model.name });
    this.note("");
    this.note("", "classes");
    this.keep({ settings: this.settings });
  }

  #lately = []; // models, the last chosen first

  changeModel() {
    this.insisted = false;
    this.#slowed = null;
    this.note("", "pace");
    this.note(""); // was about the model before
    this.showSettings(this.settings);
    const { lost } = this.painter.setClasses(this.model.classes);
    this.note(lost.length ? `The model has no ${lost.join(", ")}: unpainted now. Undo brings it back.` : "", "classes");
    this.changeSettings();
  }

  changeSettings() {
    $("seed").value ||= "0"; // which it is
    this.keep({ settings: this.settings });
    this.showSize();
    if ($("live").checked) this.want({ at: performance.now() });
    else this.status("Paint image shows what the new settings make.");
  }

  // Slow models: says how long, and no longer paints after every stroke, unless the user wants it so.
  #keepPace(spent, number, anew) {
    const slow = spent >= (anew ? SLOW_WHOLE : SLOW) && $("live").checked && !this.insisted;
    if (!slow && this.#slowed !== number) return; // what was estimated is said again when it is known
    this.#slowed = number;
    $("live").checked = false;
    this.keep({ live: false });
    const { width, height } = this.painter.document;
    const what = anew ? "An image" : "An edit";
    this.note(`${what} takes about ${seconds(spent)} with ${this.model.name} at ${width} × ${height}, so Live is off: use Paint image. A smaller canvas or a fast model is quicker.`, "pace");
    this.refresh();
  }

  #slowed = null; // the number of the update that was too slow

  painting(now, share = 0) {
    document.body.toggleAttribute("data-painting", now);
    $("progress").value = now ? share : 0;
    $("cancel").disabled = !now;
  }

  refresh() {
    const can = this.mine && this.painter && !this.blank;
    for (const id of ["paint", "again", "whole"]) $(id).disabled = !can;
    for (const id of ["earlier", "later", "save"]) $(id).disabled = !can || !this.image;
    $("open").disabled = !this.mine;
    $("download").disabled = !this.image;
    $("again").textContent = $("selection").hidden ? "Again" : "Again here";
  }

  status(words, wrong = false) {
    $("status").textContent = words;
    $("status").classList.toggle("wrong", wrong);
  }

  // Sentences that stay until others about the same thing, or none, take their place.
  note(words, about = "image") {
    this.#notes[about] = words;
    const all = Object.values(this.#notes).filter(Boolean).join(" ");
    if ($("note").textContent !== all) $("note").textContent = all; // or it would be read out again
    $("note").hidden = !all;
  }

  #notes = {};

  async keep(values) {
    if (!(await keep(values))) this.note("This browser keeps nothing, so a reload loses the painting: save it.", "keeping");
  }

  // Files

  async save() {
    const answer = await fetch("/save", { method: "POST" }).catch(() => null);
    if (answer?.ok) download(await answer.blob(), "painting.scdm");
    else this.status(await refusal(answer), true);
  }

  async open(file) {
    this.status(`Opening ${file.name}…`);
    const answer = await fetch(`/open?model=${encodeURIComponent(this.model.name)}`, { method: "POST", body: file }).catch(() => null);
    if (!answer?.ok) return this.status(await refusal(answer), true);
    const { head, pictures } = unpacked(await answer.arrayBuffer());
    await this.#begun(head.settings, pictures[0]);
    this.note(head.remarks.map(sentence).join(" "));
  }

  // Goes on with the server's session.
  async #begun(settings, document) {
    this.showSettings(settings);
    this.keep({ settings: this.settings });
    await this.#load(png(document));
    this.image = null;
    this.showSize();
    this.want({ at: performance.now() });
  }

  #listen() {
    const on = (id, event, action) => $(id).addEventListener(event, action);
    on("model", "change", () => this.changeModel());
    on("size", "change", () => this.painter.resize(...$("size").value.split("x").map(Number), "resize"));
    for (const id of ["seed", "guidance", "roughness"]) on(id, "change", () => $(id).reportValidity() && this.changeSettings());
    on("roll", "click", () => {
      $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
      this.changeSettings();
    });
    on("live", "change", () => {
      this.insisted = $("live").checked;
      this.#slowed = null;
      this.note("", "pace");
      this.keep({ live: $("live").checked });
      if ($("live").checked) this.want({ at: performance.now() });
    });
    on("paint", "click", () => this.want({ at: performance.now() }));
    on("whole", "click", () => this.want({ at: performance.now(), whole: true }));
    on("again", "click", () => {
      const { width, height } = this.painter.document;
      this.want({ at: performance.now(), again: true, area: this.selection.area(width, height) });
    });
    on("earlier", "click", () => this.draw(-1));
    on("later", "click", () => this.draw(1));
    on("cancel", "click", () => this.connection.send({ kind: "cancel" }));
    on("under", "click", () => this.toggleUnderlay($("under").ariaPressed !== "true"));
    on("save", "click", () => this.save());
    on("download", "click", () => download(this.image.blob, "image.png"));
    on("open", "click", () => $("file").click());
    on("file", "change", () => $("file").files[0] && this.open($("file").files[0]).finally(() => ($("file").value = "")));
    on("take", "click", () => this.connection.send({ kind: "take" }));
    on("elsewhere", "cancel", (event) => event.preventDefault());
    this.selection.addEventListener("change", () => this.refresh());
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => this.#dropped(event), true); // before the painter, which takes layouts
  }

  // Undo and redo wherever the focus is, but in what is typed into; the painter hears its keys itself.
  #key(event) {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(key)) return;
    if (event.defaultPrevented || !this.painter || $("elsewhere").open || event.target.matches("input:not([type=checkbox]), select")) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.painter.redo();
    else this.painter.undo();
  }

  // Dropped beside the painter, a file would be opened by the browser in place of the page.
  #dropped(event) {
    const [file] = event.dataTransfer?.files ?? [];
    const isSession = file?.name.endsWith(".scdm");
    if (!isSession && $("painter").contains(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    if (isSession && this.mine) this.open(file);
    else if (file && !isSession) this.status("Drop layouts on the painter; sessions, files that end in .scdm, anywhere.", true);
  }
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function refusal(answer) {
  if (!answer) return "The server does not answer: nothing is lost, try again.";
  const words = (await answer.json().catch(() => null))?.words ?? `The server answers ${answer.status}`;
  return sentence(words);
}

globalThis.page = new Page(await kept()); // under a name, for those who look into it
