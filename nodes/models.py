"""Load SCDM Model: the models that come with SCDM, and those in ComfyUI's folder models/scdm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..scdm import conversion
from ..scdm.checkpoint import embedded_models
from ..scdm.model import Model
from .messages import complaint

FOLDER = "scdm"
SUFFIXES = {".safetensors", ".pt"}

ModelSocket = io.Custom("SCDM_MODEL")


@dataclass(frozen=True)
class ManagedModel:
    """A model whose weights ComfyUI moves on and off the device, as other models need the room."""

    model: Model
    patcher: ModelPatcher

    @classmethod
    def wrap(cls, model: Model) -> ManagedModel:
        load_device, offload_device = model_management.get_torch_device(), model_management.unet_offload_device()
        return cls(model, ModelPatcher(model.network, load_device, offload_device))

    def on_device(self, working_memory: float) -> Model:
        """The model, ready to run, with `working_memory` bytes left free beside it."""
        # Whole or not at all: our layers are plain torch, which cannot fetch weights that stayed behind.
        model_management.load_models_gpu([self.patcher], memory_required=working_memory, force_full_load=True)
        return self.model


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LoadModel",
            display_name="Load SCDM Model",
            category="SCDM",
            description="Loads a model that turns painted layouts into images.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*embedded_models(), *folder_paths.get_filename_list(FOLDER)],
                    tooltip="A model that comes with SCDM (no suffix), or a file of models/scdm: .safetensors or .pt.",
                ),
            ],
            outputs=[
                ModelSocket.Output(display_name="model", tooltip="The model, with the classes that it can paint.")
            ],
        )

    @classmethod
    def validate_inputs(cls, model: str | None) -> bool | str:
        return complaint(model_file, model)

    @classmethod
    def fingerprint_inputs(cls, model: str | None) -> object:
        file = model and model_file(model)
        return file and file.stat().st_mtime_ns  # a training run writes to the same name again

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        file = model_file(model)
        return io.NodeOutput(ManagedModel.wrap(conversion.load(model if file is None else file)))


def model_file(name: str) -> Path | None:
    """The file of that name in the models folders; None for an embedded model. ValueError if there is neither."""
    if name in embedded_models():
        return None
    path = folder_paths.get_full_path(FOLDER, name)  # which cannot leave the folders
    if path is None or Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"there is no model {name!r} in models/{FOLDER}, nor does one come with SCDM: choose from the list"
        )
    return Path(path)


def register_models_folder() -> None:
    """Adds models/scdm to the places that extra_model_paths.yaml, which is read before any node, may have given."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))
    places, suffixes = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (places, {*suffixes, *SUFFIXES})


register_models_folder()
