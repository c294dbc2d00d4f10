// Lists of classes: those of the palette that the connected layout is painted with, where the graph tells which that is.

export const classes = {
  name: "scdm.classes",
  nodeCreated(node) {
    for (const widget of node.widgets ?? []) {
      const known = declared(node, widget.name)?.scdm_classes;
      if (known) narrow(node, widget, known);
    }
  },
};

/** What the node's definition says of an input beside its type. */
export function declared(node, name) {
  const { required, optional } = node.constructor.nodeData?.input ?? {};
  return (required?.[name] ?? optional?.[name])?.[1];
}

/** The list is looked up whenever it is opened: links and palettes upstream change without notice. */
function narrow(node, widget, known) {
  const all = widget.options.values;
  const values = () => {
    const palette = paletteOf(node, known);
    return palette ? [...known.first, ...palette] : all;
  };
  Object.defineProperty(widget.options, "values", { get: values, set() {}, enumerable: true, configurable: true });
}

/** The classes of the layout that goes into a node; undefined where a node of another pack or a file decides. */
function paletteOf(node, known, seen = new Set()) {
  if (!node || seen.has(node)) return undefined;
  seen.add(node);
  const model = source(node, "model_palette");
  if (model) return known.models[valueOf(model, "model")];
  const palette = valueOf(node, "palette");
  if (palette !== undefined) return known.palettes[palette.replace(/_golden_angle$/, "")];
  return paletteOf(source(node, "layout"), known, seen);
}

export function valueOf(node, name) {
  const value = node.widgets?.find((widget) => widget.name === name)?.value;
  return typeof value === "string" ? value : undefined;
}

/** The node that an input is linked to, through reroutes. */
export function source(node, name) {
  let slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  let origin = slot >= 0 ? node.getInputNode(slot) : null;
  for (let hops = 0; origin?.type === "Reroute" && hops < 100; hops++) origin = origin.getInputNode(0);
  return origin;
}
