// The image that follows the painting: after each edit what depends on the node is queued, in place of the run before.

import { viewed } from "./documents.mjs";
import { after, isInner, isLayoutNode, whyOff } from "./graph.mjs";

const GONE = "ComfyUI does not answer. The painting is kept; the image follows when it is back.";
const NOWHERE = "Connect the layout to Edit Image, and that to Preview Image: then the image follows.";
const REMEMBERED = 32; // runs
const SURE = 2; // steps after which the time of all is known
const LONG = 3; // seconds of a run whose time is told before it ends

export class Live {
  #run = null; // {id, began, first: of its steps} of the run that has not ended
  #ended = []; // ids of runs that have, or that another has replaced
  #wanted = null; // when the edit was made that no run has yet
  #isQueueing = false;
  #missed = false; // whether the server was gone

  // host: {settled() -> Promise, image(blob or null, url), say(sentence), busy(boolean), returned()}
  constructor(app, node, host, signal) {
    Object.assign(this, { app, node, host });
    for (const [type, handle] of Object.entries(this.#handlers())) {
      app.api.addEventListener(type, ({ detail }) => handle(detail ?? {}), { signal });
    }
  }

  // An edit was made: the image of what is painted now is wanted.
  async follow() {
    this.#wanted = performance.now();
    if (this.#isQueueing) return;
    this.#isQueueing = true;
    try {
      while (this.#wanted !== null) await this.#queue();
    } catch (error) {
      this.#refused(error);
    } finally {
      this.#isQueueing = false;
    }
  }

  // Ends the run that is on its way, if it is one of ours.
  async stop() {
    const run = this.#run;
    this.#wanted = null;
    this.#run = null;
    if (!run) return;
    this.#end(run.id);
    this.host.busy(false);
    // Each does nothing where the run is not waiting, or not the one that is running.
    await this.#post("/queue", { delete: [run.id] });
    await this.#post("/interrupt", { prompt_id: run.id });
  }

  async #queue() {
    await this.host.settled();
    const began = this.#wanted;
    await this.stop();
    const why = whyOff(this.node);
    if (why) return this.host.say(`This node is ${why}, so no image follows it: turn that off in its menu.`);
    const targets = isInner(this.node) ? undefined : [...after(this.node).targets];
    if (targets?.length === 0) return this.host.say(NOWHERE);
    this.host.busy(true);
    this.host.say("The image follows…");
    const prompt = await this.app.graphToPrompt();
    const { prompt_id: id } = await this.app.api.queuePrompt(0, prompt, { partialExecutionTargets: targets });
    this.#missed = false;
    if (!this.#ended.includes(id)) this.#run = { id, began };
    else this.#succeeded(began);
  }

  #refused(error) {
    this.#wanted = null;
    this.host.busy(false);
    const { error: whole, node_errors: nodes = {} } = error?.response ?? {};
    if (!whole) this.#missed = true;
    const [first] = Object.values(nodes).flatMap(({ errors }) => errors);
    const sentence = first ? `${first.message}: ${first.details}` : whole?.message;
    this.host.say(sentence ?? (error instanceof TypeError ? GONE : error.message));
  }

  #post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return this.app.api.fetchApi(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  #handlers() {
    const ours = (handle) => (detail) => detail.prompt_id === this.#run?.id && handle(detail);
    return {
      progress: ours((detail) => this.#progressed(detail)),
      b_preview_with_metadata: (detail) => this.#preview(detail),
      executed: (detail) => this.#executed(detail),
      execution_success: ({ prompt_id: id }) => this.#over(id, (run) => this.#succeeded(run.began)),
      execution_error: (detail) => this.#over(detail.prompt_id, () => this.host.say(detail.exception_message)),
      execution_interrupted: ({ prompt_id: id }) => this.#interrupted(id),
      reconnecting: () => this.host.say(GONE),
      reconnected: () => this.#back(),
    };
  }

  // Slow models: says how long, while there is much to wait for.
  #progressed({ value, max }) {
    const now = performance.now();
    const { began, first } = Object.assign(this.#run, { first: this.#run.first ?? { value, at: now } });
    const left = ((now - first.at) / (value - first.value)) * (max - value);
    const all = (now - began + left) / 1000;
    const isTold = value - first.value >= SURE && all > LONG;
    this.host.say(`Step ${value} of ${max}` + (isTold ? `, about ${all.toFixed(0)} s in all` : ""));
  }

  #over(id, tell) {
    const run = this.#run?.id === id ? this.#run : null;
    this.#end(id);
    if (!run) return;
    this.#run = null;
    this.host.busy(false);
    tell(run);
  }

  #end(id) {
    this.#ended = [id, ...this.#ended].slice(0, REMEMBERED);
  }

  #succeeded(began) {
    this.host.busy(false);
    this.host.say(`Image after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }

  // What a newer stroke has replaced is no entry of the history.
  #interrupted(id) {
    const isReplaced = this.#ended.includes(id);
    this.#over(id, () => this.host.say("Stopped"));
    if (isReplaced) this.#post("/history", { delete: [id] }).catch(() => {});
  }

  #back() {
    this.host.say("ComfyUI is back.");
    const isWanted = this.#missed || this.#run;
    this.#missed = false;
    this.#run = null;
    this.host.busy(false);
    if (isWanted) this.host.returned();
  }

  #preview({ blob, nodeId, displayNodeId, promptId, jobId }) {
    if (this.#isReplaced(promptId ?? jobId)) return;
    if (this.#follows(displayNodeId ?? nodeId)) this.host.image(blob);
  }

  async #executed({ node, display_node: shown, output, prompt_id: id }) {
    const [file] = output?.images ?? [];
    if (!file || this.#isReplaced(id) || !this.#follows(shown ?? node)) return;
    if (isLayoutNode(this.node, shown ?? node)) return;
    this.host.image(null, this.app.api.apiURL(viewed(file)));
  }

  #isReplaced(id) {
    return id !== undefined && id !== this.#run?.id && this.#ended.includes(id);
  }

  #follows(id) {
    return isInner(this.node) || (Boolean(this.node.graph) && after(this.node).results.has(String(id)));
  }
}
