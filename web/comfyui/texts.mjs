// What nodes say of a run, below their widgets, where it stays until the next run: `ui.text` of the node's output.

const NAME = "scdm_text";
const LINE = 16; // pixels
const MARGIN = 6; // pixels, above and below
const MOST = 192; // pixels, beyond which the text scrolls unless the node is made larger

export const texts = {
  name: "scdm.texts",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("SCDM_")) return;
    const executed = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      executed?.call(this, output);
      if (output?.text) show(this, output.text);
    };
  },
  /** Where a workflow is opened again that has run in this window. */
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs ?? {})) {
      const node = window.app?.graph?.getNodeById(Number(id));
      if (node?.type?.startsWith("SCDM_") && output?.text) show(node, output.text);
    }
  },
};

/** An empty text takes an older one away. */
function show(node, lines) {
  const text = [lines].flat().join("\n").trim();
  let widget = node.widgets?.find((one) => one.name === NAME);
  if (!widget && !text) return;
  widget ??= added(node);
  widget.element.textContent = text; // names of classes come out of files from anywhere: never HTML
  widget.hidden = !text;
  const [width, height] = node.size;
  node.setSize([width, Math.max(height, node.computeSize()[1])]);
  node.graph?.setDirtyCanvas(true, true);
}

function added(node) {
  const element = document.createElement("div");
  element.setAttribute("role", "status");
  element.setAttribute("aria-label", "What the node says of its last run");
  element.tabIndex = 0;
  Object.assign(element.style, {
    boxSizing: "border-box",
    padding: "4px 8px",
    overflow: "auto",
    font: `12px/${LINE}px sans-serif`,
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    userSelect: "text",
    color: "var(--input-text, #ddd)",
    background: "var(--comfy-input-bg, #222)",
    borderRadius: "4px",
  });
  const whole = () => heightOf(element.textContent, node.size[0]);
  const widget = node.addDOMWidget(NAME, NAME, element, {
    serialize: false,
    hideInPanel: true,
    margin: MARGIN,
    getValue: () => element.textContent,
    setValue: () => {},
    getMinHeight: () => Math.min(MOST, whole()),
    getMaxHeight: whole,
  });
  widget.serialize = false; // saved workflows hold the values of widgets in order
  const picture = node.widgets.findIndex((one) => one.name.startsWith("$$")); // the front end's preview, which takes all room
  if (picture >= 0 && picture < node.widgets.indexOf(widget)) {
    node.widgets.splice(node.widgets.indexOf(widget), 1);
    node.widgets.splice(picture, 0, widget);
  }
  return widget;
}

/** Pixels that a text takes in a node of that width, as far as it can be told without laying it out. */
function heightOf(text, width) {
  const fits = Math.max(10, Math.floor((width - 48) / 6.5)); // characters in a line
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / fits)), 0);
  return lines * LINE + 8 + 2 * MARGIN;
}
