// Elements and icons of the painter's controls.

const SVG = "http://www.w3.org/2000/svg";

// Paths in a square of 20, drawn with a line of 1.6.
const ICONS = {
  brush: "M3.2 16.8c2.9.5 5-.6 5-2.7a2 2 0 0 0-4 0c0 1.2-.3 2-1 2.7ZM7.9 12.4 15.4 3.6a1.3 1.3 0 0 1 2 1.7l-7.7 8.6",
  eraser: "M8.2 16.5 3.5 11.8a1.4 1.4 0 0 1 0-2l6.3-6.3a1.4 1.4 0 0 1 2 0l4.7 4.7a1.4 1.4 0 0 1 0 2l-6.3 6.3ZM6.5 7l6.7 6.7M8 16.5h9",
  fill: "M4 9.3 9.3 4l6 6-5.3 5.3a1.4 1.4 0 0 1-2 0L4 11.3a1.4 1.4 0 0 1 0-2ZM3.8 10h11.4M7.3 2l2 2M16.8 12.6c.9 1.3 1.4 2.2 1.4 2.9a1.4 1.4 0 0 1-2.8 0c0-.7.5-1.6 1.4-2.9Z",
  replace: "M3.2 4.2a1 1 0 0 1 1-1h4a1 1 0 0 1 1 1v4a1 1 0 0 1-1 1h-4a1 1 0 0 1-1-1ZM10.8 11.8a1 1 0 0 1 1-1h4a1 1 0 0 1 1 1v4a1 1 0 0 1-1 1h-4a1 1 0 0 1-1-1ZM12 4.4h.8a2 2 0 0 1 2 2v1.2M12.9 6.2l1.9 1.8 1.9-1.8",
  line: "M4.6 15.4 15.4 4.6M3 15.4a1.6 1.6 0 1 0 3.2 0 1.6 1.6 0 0 0-3.2 0ZM13.8 4.6a1.6 1.6 0 1 0 3.2 0 1.6 1.6 0 0 0-3.2 0Z",
  rectangle: "M3.5 5.5h13v9h-13Z",
  polygon: "M10 3.2 16.8 8.3 14.2 16.4H5.8L3.2 8.3Z",
  eyedropper: "m11.2 5.2 3.6 3.6M13 7l2.3-2.3a1.5 1.5 0 0 0-2.1-2.1L10.9 4.9M12.3 7.7l-6.6 6.6-2.5.8.8-2.5 6.6-6.6",
  hand: "M6.4 10.8V5.2a1.15 1.15 0 0 1 2.3 0v4M8.7 8.6V4a1.15 1.15 0 0 1 2.3 0v4.6M11 8.8V4.8a1.15 1.15 0 0 1 2.3 0v4.6M13.3 9.4V7a1.15 1.15 0 0 1 2.3 0v5.2c0 3-1.8 5-4.6 5-2.2 0-3.4-.9-4.5-2.8l-2.2-3.7a1.15 1.15 0 0 1 2-1.1l.4.7",
  undo: "M7.5 4 3.8 7.6l3.7 3.6M4 7.6h7.6a4.4 4.4 0 0 1 0 8.8H8",
  redo: "m12.5 4 3.7 3.6-3.7 3.6M16 7.6H8.4a4.4 4.4 0 0 0 0 8.8H12",
  minus: "M4.5 10h11",
  plus: "M4.5 10h11M10 4.5v11",
  fit: "M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  search: "M3.5 8.7a5.2 5.2 0 1 0 10.4 0 5.2 5.2 0 0 0-10.4 0ZM12.6 12.6 16.8 16.8",
  down: "m5.5 8 4.5 4.5L14.5 8",
};

// An element with properties; names with a dash, and `role`, are attributes.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// A button with an icon; its tooltip names the keys, if any.
export function button({ icon: name, label, keys, ...properties }) {
  const title = keys ? `${label} (${keys})` : label;
  return make("button", { type: "button", className: "scdm-icon", title, "aria-label": label, ...properties }, icon(name));
}

// A slider with its label and value.
export function slider({ label, min, max, value, oninput, format = String, title = label }) {
  const shown = make("output", {}, format(value));
  const input = make("input", { type: "range", min, max, value, "aria-label": label, title });
  input.addEventListener("input", () => oninput(input.valueAsNumber));
  const set = (now, text) => {
    input.value = now;
    input.setAttribute("aria-valuetext", text);
    shown.textContent = text;
  };
  return { element: make("label", { className: "scdm-slider" }, make("span", {}, label), input, shown), set };
}
