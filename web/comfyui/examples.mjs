// The example layouts by the names that they have now, which the front end can show.

const FORMER = /^example: (\w+)$/;

export const examples = {
  name: "scdm.examples",
  /** Workflows from before have the former names, which still run but have no picture. */
  loadedGraphNode(node) {
    if (node.type !== "SCDM_LoadLayout") return;
    const widget = node.widgets?.find((one) => one.name === "image");
    const former = FORMER.exec(widget?.value ?? "");
    if (!former) return;
    widget.value = `scdm_${former[1]}.png`;
    widget.callback?.(widget.value);
  },
};
