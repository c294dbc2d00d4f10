// Paint Layout (SCDM) in ComfyUI's front end: the kind of widget that its painting has.

import { Board } from "./board.mjs";

const NODE = "SCDM_PaintLayout";
const KIND = "SCDM_PAINTING";
const SIZE = [420, 660]; // pixels, of a new node
const OBEYED = ["palette", "width", "height"]; // widgets that the painter follows at once
const LEAST_HEIGHT = 400; // pixels, of the widget

export const paint = (app) => ({
  name: "scdm.paint",
  getCustomWidgets: () => ({ [KIND]: (node, name) => ({ widget: added(app, node, name) }) }),
  beforeRegisterNodeDef(nodeType, { name }) {
    if (name !== NODE) return;
    chain(nodeType.prototype, "onExecuted", function (output) {
      if (output?.scdm_painting) boardOf(this)?.executed(output.scdm_painting[0]);
    });
    chain(nodeType.prototype, "onConnectionsChange", function () {
      boardOf(this)?.refresh();
    });
    chain(nodeType.prototype, "onConfigure", function () {
      boardOf(this)?.refresh();
    });
    chain(nodeType.prototype, "onRemoved", function () {
      boardOf(this)?.destroy();
    });
  },
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])]);
    for (const widget of node.widgets) if (OBEYED.includes(widget.name)) chain(widget, "callback", () => boardOf(node)?.refresh());
  },
});

const boards = new WeakMap(); // by node

const boardOf = (node) => boards.get(node);

function added(app, node, name) {
  const board = new Board(app, node, name);
  boards.set(node, board);
  const widget = node.addDOMWidget(name, KIND, board.element, {
    getValue: () => board.value,
    setValue: (value) => board.setValue(value),
    getMinHeight: () => LEAST_HEIGHT,
    hideInPanel: true,
    hideOnZoom: false, // who sees the graph from afar wants to see what is painted
  });
  widget.serializeValue = async () => {
    await board.settled();
    return board.value;
  };
  return widget;
}

function chain(owner, name, after) {
  const before = owner[name];
  owner[name] = function (...args) {
    const result = before?.apply(this, args);
    after.apply(this, args);
    return result;
  };
}
