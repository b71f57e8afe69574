"""A transformers vision-language model of this machine as the `ChatModel` of the judge."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any, cast

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.vla_score.prompt import Part, Text
from dualvla_core.vla_score.vlm_judge import Completion

try:
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor
except ImportError as error:
    raise DependencyError(
        f"The local-vlm judge needs torch and transformers ({error}): run `make train-environment`."
    ) from error


class LocalChat:
    """Implements `ChatModel` by greedy decoding, one request at a time.

    Raises:
        ConfigError: when no model can be loaded from the path or hub id, or it has no chat template.
    """

    def __init__(self, path: str) -> None:
        try:
            self._processor: Any = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
            model = cast("Any", AutoModelForImageTextToText.from_pretrained(path))
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(
                f"No vision-language model could be loaded from {path!r} ({str(error).splitlines()[0]}); set "
                "score.vlm.model to a folder or hub id of an image-text-to-text model."
            ) from error
        if not getattr(self._processor, "chat_template", None):
            raise ConfigError(f"The model {path!r} has no chat template, so it cannot be asked; choose another.")
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._turn = threading.Lock()

    def complete(self, system: str, turn: Sequence[Part], *, max_tokens: int, seed: int) -> Completion:
        """See `ChatModel.complete`; decoding is greedy, so every ``seed`` gives the same answer."""
        del seed
        content = [{"type": "text", "text": f"{system}\n"}]
        content += [
            {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"} for part in turn
        ]
        images = [Image.open(io.BytesIO(part.jpeg)).convert("RGB") for part in turn if not isinstance(part, Text)]
        text = self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        with self._turn, torch.inference_mode():
            inputs = self._processor(text=text, images=images or None, return_tensors="pt").to(self._model.device)
            output = self._model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        asked = inputs["input_ids"].shape[1]
        answer = output[0, asked:]
        return Completion(
            text=str(self._processor.decode(answer, skip_special_tokens=True)),
            finish_reason="length" if len(answer) >= max_tokens else "stop",
            prompt_tokens=asked,
            completion_tokens=len(answer),
        )
