"""Which part of a checkpoint is read: the language model, without the head where no loss is asked for.

transformers fills what a checkpoint lacks with random numbers and drops what the class has no place for; both are only
reports to it. Here a body must be whole and have nothing left over. What may be missing is the head of a model saved
as its body alone (`AutoModel`); what may be left over is the head of another task, or the parts of a model of images
and text that see no text.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from darkmatter.storage.artifacts import ArtifactError

if TYPE_CHECKING:  # models/load.py alone imports it, once it has closed the hub
    from transformers import PretrainedConfig, PreTrainedModel

# Their language model alone computes what the whole computes on text: bit by bit, the tests say.
WRAPPERS = ("gemma3", "llava", "mistral3")
TEXT_KEYS = {r"^language_model\.lm_head": "lm_head", r"^(?:model\.)?language_model\.(?:model\.)?": "model."}
NOTHING = re.compile(r"(?!)")
HEAD = re.compile(r"lm_head\.")
IMAGES = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
NO_BODY = re.compile(rf"{IMAGES.pattern}|(lm_head|score|v_head)\.")


def text_part(config: "PretrainedConfig", where: Any) -> "PretrainedConfig":
    """The configuration of the language model: `config` itself, or what it wraps.

    Args:
        where: the folder, for the error.

    Raises:
        ArtifactError: it wraps a language model in a way that is not known here.
    """
    try:
        text = config.get_text_config()
    except ValueError:  # it wraps several
        text = None
    if text is not config and config.model_type not in WRAPPERS:
        raise ArtifactError(
            f"{where} is a model of kind {config.model_type!r} around a language model; of such only "
            f"{', '.join(WRAPPERS)} are read. Extract the activations yourself and use --activations"
        )
    return text


def load_options(config: "PretrainedConfig", where: Any) -> dict[str, Any]:
    """What `from_pretrained` must be told to read the language model alone."""
    text = text_part(config, where)
    return {} if text is config else {"config": text, "key_mapping": TEXT_KEYS}


def misfits(info: Mapping[str, Any], head: bool) -> str | None:
    """Which tensors do not fit the configuration, as part of a sentence; None if all that is needed does.

    Args:
        info: the loading report of transformers.
        head: whether the head is needed.
    """
    ignored = {
        "missing_keys": NOTHING if head else HEAD,
        "unexpected_keys": IMAGES if head else NO_BODY,
        "mismatched_keys": NOTHING,
    }
    for problem, pattern in ignored.items():
        names = sorted(str(name) for name in info.get(problem, ()) if not pattern.match(str(name)))
        if names:
            return f"{problem}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
    return None


def drop_random_head(model: "PreTrainedModel", info: Mapping[str, Any]) -> None:
    """Take the head away where the checkpoint had none: transformers has filled it with random numbers."""
    if any(HEAD.match(name) for name in info["missing_keys"]):
        model.lm_head = None
