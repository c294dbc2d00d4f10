// What the graph says around a Paint Layout node: classes and size before it, images after it.

import { declared, source, valueOf } from "./classes.mjs";

const USUAL = 512; // pixels a side
const LEAST = 256; // pixels of the longer side, below which brushes are coarse: the server reduces the layout to the model's size
const FAR = 100; // nodes, beyond which a chain is none
const MUTED = 2; // mode of nodes that do not run
const BYPASSED = 4; // mode of nodes that hand on what they are given

// {classes: [{name, color}], width, height, own: {width, height} where no widget says another size, isAsked: whether widgets
// say the size, underlay: a file or undefined}.
// told: what the last run said, for models that the server's list does not describe.
export function subjectOf(node, input, told) {
  const known = declared(fresh(node), input) ?? {};
  const model = modelOf(node, "model", known);
  const paletteModel = modelOf(node, "model_palette", known) ?? model;
  const isLinked = Boolean(source(node, "model_palette") ?? source(node, "model"));
  const table = paletteModel?.classes ?? (isLinked && told.classes) ?? undefined;
  const classes = table || (known.scdm_palettes?.[valueOf(node, "palette")] ?? known.scdm_palettes?.scenes ?? []);
  const size = model?.size ?? (source(node, "model") && told.size);
  const [width, height] = size ? size.map((side) => side * Math.ceil(LEAST / Math.max(...size))) : [USUAL, USUAL];
  const asked = ["width", "height"].map((name) => node.widgets?.find((widget) => widget.name === name)?.value || 0);
  return {
    classes: classes.map(([name, color]) => ({ name, color })),
    width: asked[0] || width,
    height: asked[1] || height,
    own: { width, height },
    isAsked: Boolean(asked[0] && asked[1]),
    underlay: underlayOf(node, told),
  };
}

// What the node's painter translates, and takes: {palettes, mostSide}.
export function limitsOf(node, input) {
  const { scdm_palettes: palettes = {}, scdm_values: values = {} } = declared(fresh(node), input) ?? {};
  const sides = ["width", "height"].map((name) => node.widgets?.find((widget) => widget.name === name)?.options?.max);
  const known = sides.filter(Number.isFinite);
  return {
    palettes: Object.entries(palettes).map(([name, listed]) => ({
      name,
      classes: listed.map(([name, color]) => ({ name, color })),
      values: values[name] ?? [],
    })),
    mostSide: known.length ? Math.min(...known) : undefined,
  };
}

// The definition that the server gave last: a model may have come since the node was made.
function fresh(node) {
  const type = globalThis.LiteGraph?.registered_node_types?.[node.type];
  return { constructor: type?.nodeData ? type : node.constructor };
}

// What is known of the model at the end of a chain of nodes that pass one on.
function modelOf(node, input, known) {
  let origin = source(node, input);
  for (let hops = 0; origin && origin.type !== "SCDM_LoadModel" && hops < FAR; hops++) origin = source(origin, "model");
  return origin ? known.scdm_models?.[valueOf(origin, "model")] : undefined;
}

// The file that Load Image shows, or what the last run showed.
function underlayOf(node, told) {
  const origin = source(node, "underlay");
  if (!origin) return undefined;
  return (origin.type === "LoadImage" && valueOf(origin, "image")) || told.underlay;
}

// The nodes that run because this one does: {results: ids of those whose images follow from it, targets: ids of outputs}. What
// is in a subgraph has the ids by which runs name it, "subgraph:node".
export function after(node) {
  const [results, targets] = [new Set(), new Set()];
  const seen = new Set([node]);
  const waiting = [[node, node.outputs ?? []]];
  while (waiting.length) {
    const [from, outputs] = waiting.pop();
    for (const output of outputs) {
      for (const next of linked(from, output)) {
        const isBypassed = next.mode === BYPASSED;
        const key = isBypassed ? `${next.id} ${output.type}` : next;
        if (seen.has(key) || next.mode === MUTED) continue;
        seen.add(key);
        if (isBypassed) waiting.push([next, (next.outputs ?? []).filter(({ type }) => type === output.type)]);
        else if (reached(next, from === node && output !== outputs[0], results, targets)) waiting.push([next, next.outputs ?? []]);
      }
    }
  }
  return { results, targets };
}

// Takes down a node and what it holds; whether an image may follow from it. isColours: it is given the painter's own picture.
function reached(node, isColours, results, targets) {
  let leadsOn = false;
  for (const [id, each] of within(node)) {
    const isOutput = each.constructor.nodeData?.output_node;
    if (isOutput) targets.add(id);
    if (each.type === "SCDM_PreviewLayout" || (isColours && isOutput)) continue;
    results.add(id);
    leadsOn = true;
  }
  return leadsOn;
}

// A node, and those inside of it where it is a subgraph, each [id, node].
function* within(node, id = String(node.id)) {
  yield [id, node];
  for (const inner of node.subgraph?.nodes ?? []) if (![MUTED, BYPASSED].includes(inner.mode)) yield* within(inner, `${id}:${inner.id}`);
}

// Whether a node runs, or why not.
export const whyOff = ({ mode }) => ({ [MUTED]: "muted", [BYPASSED]: "bypassed" })[mode];

// Whether a node is in a subgraph: what follows from it outside is not looked for.
export const isInner = ({ graph }) => Boolean(graph?.rootGraph && graph.rootGraph !== graph);

function linked(node, output) {
  const { graph } = node;
  return (output.links ?? []).map((id) => graph.getNodeById((graph.getLink?.(id) ?? graph.links[id])?.target_id)).filter(Boolean);
}

// Ours show layouts, and steps on the way: their previews are the image, but what they leave is a layout. id: as runs name it.
export function isLayoutNode({ graph }, id) {
  const parts = String(id).split(":");
  const node = parts.reduce((holder, part) => find(holder?.subgraph, part), { subgraph: graph.rootGraph ?? graph });
  return Boolean(node?.type?.startsWith("SCDM_"));
}

const find = (graph, id) => graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)); // ids are numbers in older front ends
