"""What the explorer of §4.2 shows: sentences with frames, read by the pre-trained encoder."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bertstudy.attention import maps
from bertstudy.devices import device
from bertstudy.encoder import load_encoder, model_inputs
from bertstudy.linguistics import Annotated
from bertstudy.widgets.data import AttentionMaps, Example, PageData
from bertstudy.widgets.secrets import encode_texts

if TYPE_CHECKING:
    from bertstudy.study import Study

TASK = "frames"  # what an explorer calls these sentences
MODELS = ("pre-trained",)


def frames_data(study: "Study", texts: Sequence[Annotated]) -> PageData:
    """Maps of annotated sentences, each named with its frame, predicate and core elements."""
    read = probe(study)
    shown = [read(text.text, said=_said(text)) for text in texts]
    return PageData([AttentionMaps(TASK, MODELS, (), shown)])


def _said(text: Annotated) -> str:
    (frame,) = text.frames
    ((start, end),) = frame.targets
    core = (f"{e.name} “{text.text[e.start : e.end]}”" for e in frame.elements if e.core)
    return f"{text.text} [{frame.name} “{text.text[start:end]}”: {', '.join(core)}]"


def probe(study: "Study") -> Callable[..., Example]:
    """A function from the reader's own sentence to an example for the explorer."""
    model = load_encoder(study.edition.checkpoint)

    def read(text: str, second: str | None = None, said: str = "") -> Example:
        data = encode_texts(study, (text, second) if second else (text,))
        batch = {n: t.to(device()) for n, t in model_inputs(model, data.batch([0])).items()}
        return Example(
            text=said or text,
            tokens=study.tokenizer.convert_ids_to_tokens(data.ids[0]),
            maps=maps(model, **batch)[:1].float().numpy(force=True),
        )

    return read
