"""Load SCDM Model: the models that come with SCDM, and those in ComfyUI's folder models/scdm."""

from __future__ import annotations

from pathlib import Path

import comfy.ops
import folder_paths
from comfy_api.latest import io

from ..scdm.assets import current, embedded_models, is_embedded, renamed
from ..scdm.devices import AUTO, dtype_called
from ..scdm.files.untrusted import shown
from ..scdm.models import conversion
from .messages import complaint, said
from .native import managed, pixel_vae
from .sampling import precision_input
from .sockets import PaletteSocket
from .versions import where_known

FOLDER = "scdm"
SUFFIXES = {".safetensors", ".pt"}


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LoadModel",
            display_name="Load SCDM Model",
            category="SCDM",
            description="Loads a model that turns painted layouts into images.",
            **where_known(search_aliases=["semantic image synthesis", "label to image", "SDM", "load layout model"]),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*embedded_models(), *folder_paths.get_filename_list(FOLDER)],
                    tooltip="A model that comes with SCDM (no suffix), or a file of models/scdm: .safetensors or .pt.",
                ),
                precision_input(
                    "Of the weights. auto: what ComfyUI's command line says (--fp16-unet and its kin), or else what the "
                    "device is fast in. float32 is exact, and slower on a GPU."
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="For Generate from Layout, and for ComfyUI's own samplers."
                ),
                io.Vae.Output(display_name="vae", tooltip="For ComfyUI's samplers: this model works on pixels."),
                PaletteSocket.Output(display_name="palette", tooltip="The classes that the model can paint."),
            ],
        )

    @classmethod
    def validate_inputs(cls, model: str | None, precision: str | None = AUTO) -> bool | str:
        return complaint(model_file, model)

    @classmethod
    def fingerprint_inputs(cls, model: str | None, precision: str | None = AUTO) -> object:
        file = model and model_file(model)
        return file and file.stat().st_mtime_ns  # a training run writes to the same name again

    @classmethod
    def execute(cls, model: str, precision: str = AUTO) -> io.NodeOutput:
        file = model_file(model)
        former = [remark] if (remark := renamed(model)) else []  # in workflows from before
        wanted = None if precision == AUTO else dtype_called(precision)
        # Layers that can fetch weights which did not fit onto the device.
        loaded = conversion.load(current(model) if file is None else file, operations=comfy.ops.disable_weight_init)
        return io.NodeOutput(managed(loaded, wanted), pixel_vae(), loaded.palette, ui=said("", former))


def model_file(name: str) -> Path | None:
    """The file of that name in the models folders; None for an embedded model. ValueError if there is neither."""
    if isinstance(name, str) and is_embedded(name):
        return None
    path = folder_paths.get_full_path(FOLDER, name) if isinstance(name, str) else None  # which cannot leave the folders
    if path is None or Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"there is no model {shown(name)} in models/{FOLDER}, nor does one come with SCDM: choose from the list"
        )
    return Path(path)


def register_models_folder() -> None:
    """Adds models/scdm to the places that extra_model_paths.yaml, which is read before any node, may have given."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))
    places, suffixes = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (places, {*suffixes, *SUFFIXES})


register_models_folder()
