// What this pack adds to ComfyUI's front end: a list of extensions, each in a module of its own.

import { app } from "../../scripts/app.js";
import { classes } from "./comfyui/classes.mjs";
import { paint } from "./comfyui/paint.mjs";
import { examples } from "./comfyui/examples.mjs";
import { texts } from "./comfyui/texts.mjs";

for (const extension of [classes, examples, texts, paint(app)]) app.registerExtension(extension);
