// Asks how a layout of other classes is to be read, and says what becomes of them.

import { byName, usedIn } from "./document.mjs";
import { make } from "./elements.mjs";

const NAMED = 6; // classes in a sentence

// accept(layout) is given what is chosen: {width, height, ids, names, unmatched}.
export class Offer {
  #choices = [];
  #layout = null;

  constructor(easel, accept, done) {
    this.easel = easel;
    this.words = make("p", {});
    this.from = make("select", { "aria-label": "Palette of the picture", onchange: () => this.#show() });
    this.about = make("p", { className: "scdm-faint", "aria-live": "polite" });
    this.button = make("button", { type: "submit", className: "scdm-text scdm-first" }, "Translate");
    const cancel = make("button", { type: "button", className: "scdm-text", onclick: done }, "Cancel");
    const title = make("strong", {}, "A layout of other classes");
    this.element = make("form", { className: "scdm-form", role: "dialog", "aria-label": title.textContent }, title, this.words, this.from, this.about, make("div", { className: "scdm-row" }, cancel, this.button));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#layout) accept(this.#layout);
    });
  }

  // error: OtherClasses of pictures.mjs.
  ask({ question, choices }) {
    this.#choices = choices;
    this.words.textContent = question;
    this.from.hidden = choices.length < 2;
    this.from.replaceChildren(...choices.map(({ label }, place) => make("option", { value: place }, label)));
    this.#show();
  }

  #show() {
    this.#layout = this.#choices[this.from.value].read();
    const { names, ids, unmatched = 0 } = this.#layout;
    const { lost } = byName(names, this.easel.document.classes);
    const used = byArea(ids).filter((id) => id < names.length);
    const [kept, gone] = [false, true].map((isGone) => used.filter((id) => lost.includes(id) === isGone).map((id) => names[id]));
    this.button.disabled = !kept.length;
    const colorless = unmatched >= 0.005 ? ` ${Math.round(100 * unmatched)} % of it have no class's colour.` : "";
    this.about.textContent = consequence(kept, gone) + colorless;
  }
}

// The ids that occur, the most frequent first.
function byArea(ids) {
  const counts = new Uint32Array(65536);
  for (let i = 0; i < ids.length; i++) counts[ids[i]]++;
  return [...usedIn(ids)].sort((a, b) => counts[b] - counts[a]);
}

function consequence(kept, gone) {
  if (!kept.length) return `None of its classes is here: ${listed(gone)}.`;
  if (!gone.length) return `All its classes are here: ${listed(kept)}.`;
  return `Here by name: ${listed(kept)}. Unpainted for want of a class: ${listed(gone)}.`;
}

function listed(names) {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return names.slice(0, NAMED).join(", ") + more;
}
