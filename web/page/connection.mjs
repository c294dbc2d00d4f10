// The connection to the server: messages are blocks, each after its length (32 bits, big-endian), the first a head in JSON.

const FIRST_WAIT = 500; // milliseconds before the first attempt to connect again; each further wait is twice as long
const LONGEST_WAIT = 10000;

export async function packed(head, pictures = []) {
  const blocks = [new TextEncoder().encode(JSON.stringify(head))];
  for (const picture of pictures) blocks.push(new Uint8Array(await picture.arrayBuffer()));
  const parts = blocks.flatMap((block) => {
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, block.length);
    return [length, block];
  });
  return new Blob(parts).arrayBuffer();
}

export function unpacked(buffer) {
  const blocks = [];
  const view = new DataView(buffer);
  for (let at = 0; at < buffer.byteLength; ) {
    const length = view.getUint32(at);
    blocks.push(new Uint8Array(buffer, at + 4, length));
    at += 4 + length;
  }
  return { head: JSON.parse(new TextDecoder().decode(blocks[0])), pictures: blocks.slice(1) };
}

// Events: "message" (detail: {head, pictures}), "lost" (detail: {seconds} until the next attempt). It connects by itself,
// again and again.
export class Connection extends EventTarget {
  #socket = null;
  #wait = FIRST_WAIT;
  #last = Promise.resolve();

  constructor(address) {
    super();
    this.address = address;
    this.#connect();
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // Messages leave in the order in which they were given.
  send(head, ...pictures) {
    const socket = this.#socket;
    this.#last = this.#last.then(async () => {
      const message = await packed(head, pictures);
      if (socket.readyState === WebSocket.OPEN) socket.send(message);
    });
    return this.#last;
  }

  #connect() {
    clearTimeout(this.timer);
    const socket = (this.#socket = new WebSocket(this.address));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#wait = FIRST_WAIT;
      this.dispatchEvent(new CustomEvent("message", { detail: unpacked(data) }));
    };
    socket.onclose = () => {
      this.dispatchEvent(new CustomEvent("lost", { detail: { seconds: this.#wait / 1000 } }));
      this.timer = setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    };
  }

  #hurry() {
    if (this.#socket.readyState === WebSocket.CLOSED) this.#connect();
  }
}
