// The classes that can be painted: their colours, and the list in which one is chosen.

export const UNPAINTED_NAME = "unpainted";

// Pixels (ABGR) of each class id, of 65536; 0 where there is no class.
export function colorTable(classes) {
  const table = new Uint32Array(65536);
  classes.forEach(({ color }, id) => {
    const [r, g, b] = color ?? [0, 0, 0];
    table[id] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
  return table;
}
