"""The explorers: packed data, both faces of the widgets, and the page in a real browser."""

import base64
import json
import random
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from browser import Watched, served

from bertstudy.attention import DISABLINGS
from bertstudy.errors import BertstudyError
from bertstudy.statistics import interval
from bertstudy.widgets import (
    AttentionExplorer,
    AttentionMaps,
    DisablingExplorer,
    DisablingGrid,
    Example,
    PageData,
)
from bertstudy.widgets.base import module
from bertstudy.widgets.data import KINDS, quantise

HOSTILE = ["[CLS]", "<img src=x onerror=alert(1)>", "</script>", "&amp;", "übergröße猫", "##ing"]
PLAIN = ["[CLS]", "every", "dog", "slept", "[SEP]", "a", "dog", "slept", "[SEP]"]
LABELS = ("entailment", "not </script> entailment")
LAYERS, HEADS, SEEDS = 3, 4, 5


def distributions(rng, *shape):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def example(tokens=PLAIN, seed=0, **changed):
    rng = np.random.default_rng(seed)
    side = len(tokens)
    values = {
        "text": " ".join(tokens),
        "tokens": tokens,
        "maps": distributions(rng, 2, LAYERS, HEADS, side, side),
        "probabilities": [None, distributions(rng, len(LABELS))],
        "gold": LABELS[0],
        "disabled": {
            k: distributions(rng, LAYERS, HEADS, len(LABELS)) for k in ("uniform", "zero")
        },
    }
    return Example(**{**values, **changed})


def attention_maps(task="rte", examples=None):
    examples = examples or [example(), example(HOSTILE, seed=1)]
    return AttentionMaps(task, ("pre-trained", "fine-tuned"), LABELS, examples)


def regression(gold="3.8"):
    """A task without classes, as STS-B is."""
    examples = [example(probabilities=(), disabled={}, gold=gold)]
    return AttentionMaps("stsb", ("pre-trained", "fine-tuned"), (), examples)


def grid(task="rte", **changed):
    rng = np.random.default_rng(2)
    kinds = ("uniform", "zero")
    values = {
        "task": task,
        "metric": "accuracy",
        "baseline": rng.uniform(0.6, 0.8, SEEDS),
        "effects": {k: rng.normal(0, 0.02, (LAYERS, HEADS, SEEDS)) for k in kinds},
        "layer_effects": {k: rng.normal(-0.1, 0.05, (LAYERS, SEEDS)) for k in kinds},
        "seeds": range(SEEDS),
        "origins": ["computed"] * 2 + ["recorded"] * (SEEDS - 2),
    }
    return DisablingGrid(**{**values, **changed})


def one_seed(task="rte", **changed):
    whole = grid()
    return grid(
        task,
        baseline=whole.baseline[:1],
        effects={k: v[..., :1] for k, v in whole.effects.items()},
        layer_effects={k: v[..., :1] for k, v in whole.layer_effects.items()},
        seeds=[0],
        origins=["computed"],
        **changed,
    )


@pytest.fixture(scope="module")
def data():
    """Two tasks; only the first has a grid, and its second example is hostile."""
    return PageData([attention_maps(), attention_maps("mrpc", [example(seed=3)])], grid())


def html_of(shown):
    bundle = shown._repr_mimebundle_()
    return (bundle[0] if isinstance(bundle, tuple) else bundle)["text/html"]


# ---- data ---------------------------------------------------------------------------------------


def test_quantisation_errs_by_at_most_one_in_510():
    values = np.random.default_rng(0).random(10_000)
    assert np.abs(quantise(values) / 255 - values).max() <= 1 / 510 + 1e-12
    assert quantise([0, 1]).tolist() == [0, 255]


def test_the_block_holds_header_and_maps_in_order(data):
    block = zlib.decompress(data.blob)
    length = int.from_bytes(block[:4], "little")
    header = json.loads(block[4 : 4 + length])
    assert [task["task"] for task in header] == ["rte", "mrpc"]
    assert header[0]["examples"][1]["tokens"] == HOSTILE
    assert header[1]["grid"] is None
    expected = [quantise(e.maps).ravel() for m in data.maps.values() for e in m.examples]
    pixels = np.frombuffer(block[4 + length :], dtype=np.uint8)
    np.testing.assert_array_equal(pixels, np.concatenate(expected))


def test_data_are_named_by_their_content(data):
    again = PageData([attention_maps(), attention_maps("mrpc", [example(seed=3)])], grid())
    assert again.key == data.key
    assert PageData(attention_maps(), grid()).key != data.key


def test_data_appear_once_for_two_explorers(data):
    text = "".join(map(html_of, [data, AttentionExplorer(data), DisablingExplorer(data)]))
    assert text.count(base64.b64encode(data.blob).decode()) == 1
    assert text.count(f'"data": "{data.key}"') == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"maps": np.ones((2, LAYERS, HEADS, 9, 9))}, "rows must sum to 1"),
        ({"maps": np.full((2, LAYERS, HEADS, 9, 9), np.nan)}, "NaN"),
        ({"maps": np.ones((9, 9)) / 9}, "expected 5 non-empty axes"),
        ({"maps": -np.ones((2, LAYERS, HEADS, 9, 9))}, "expected 0 to 1"),
        ({"maps": [[1], [1, 2]]}, "not a regular array"),
        ({"tokens": PLAIN[1:]}, "8 tokens but maps of 9 queries"),
        ({"tokens": PLAIN * 8}, "shows 1 to 64"),
        ({"probabilities": [[0.5, 0.5]]}, "2 models but 1 predictions"),
        ({"probabilities": [None, [0.5, 0.4]]}, "rows must sum to 1"),
        ({"disabled": {"sponge": []}}, "allowed: uniform, zero"),
    ],
)
def test_a_bad_example_is_refused_by_name(changed, message):
    with pytest.raises(BertstudyError, match=message):
        replace(example(), **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gold": "maybe"}, "gold label 'maybe'; allowed: entailment"),
        ({"probabilities": [None, [0.2, 0.3, 0.5]]}, "3 probabilities, 2 labels"),
        ({"maps": np.ones((1, LAYERS, HEADS, 9, 9)) / 9, "probabilities": ()}, "expected \\(2,"),
        ({"disabled": {"zero": np.ones((LAYERS, HEADS, 3)) / 3}}, "shape .*expected"),
    ],
)
def test_an_example_that_does_not_fit_its_task_is_refused(changed, message):
    with pytest.raises(BertstudyError, match=message):
        attention_maps(examples=[example(), replace(example(), **changed)])


def test_a_regression_task_takes_any_gold_value_and_no_probabilities():
    assert regression("5.0").examples[0].gold == "5.0"
    with pytest.raises(BertstudyError, match="2 probabilities, 0 labels"):
        AttentionMaps("stsb", ("pre-trained", "fine-tuned"), (), [example()])


def test_the_kinds_are_those_of_the_models():
    assert tuple(DISABLINGS) == KINDS


def test_intervals_are_those_of_the_statistics():
    shown = grid()
    _, low, high = interval(shown.effects["zero"][1, 2])
    assert shown.intervals["zero"][1, 2].tolist() == [low, high]
    _, low, high = interval(shown.layer_effects["uniform"][2])
    assert shown.layer_intervals["uniform"][2].tolist() == [low, high]


def test_a_single_seed_has_no_interval():
    assert one_seed().intervals == one_seed().layer_intervals == {}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"baseline": np.full(SEEDS, 71.0)}, "no percent"),
        ({"baseline": [0.7]}, "expected \\(5,\\)"),
        ({"effects": {"zero": np.zeros((LAYERS, HEADS, 2))}}, "shape"),
        ({"effects": {"zero": np.full((LAYERS, HEADS, SEEDS), np.nan)}}, "NaN"),
        ({"layer_effects": {}}, "no layer effects for 'uniform'"),
        ({"origins": ["computed"]}, "5 seeds but 1 origins"),
        ({"origins": ["guessed"] * SEEDS}, "allowed: computed, stored, recorded"),
        ({"seeds": [], "origins": []}, "needs a seed"),
    ],
)
def test_a_bad_grid_is_refused_by_name(changed, message):
    with pytest.raises(BertstudyError, match=message):
        grid(**changed)


def test_page_data_refuse_what_does_not_belong_together():
    with pytest.raises(BertstudyError, match="unknown task 'sst2'; allowed: rte"):
        PageData(attention_maps(), grid("sst2"))
    with pytest.raises(BertstudyError, match="appears 2 times"):
        PageData([attention_maps(), attention_maps()])
    with pytest.raises(BertstudyError, match="no example"):
        AttentionMaps("rte", ("a",), LABELS, [])


# ---- widgets ------------------------------------------------------------------------------------


def test_a_widget_has_two_faces(data):
    bundle, _ = AttentionExplorer(data)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert "<noscript>" in bundle["text/html"]


def test_state_refers_to_shared_data(data):
    state = DisablingExplorer(data, layer=2, head=None, kind="zero").get_state()
    assert state["data"] == f"IPY_MODEL_{data.model_id}"
    assert (state["layer"], state["head"], state["kind"]) == (2, None, "zero")


@pytest.mark.parametrize("name", ["attention", "disabling"])
def test_a_module_is_one_text_that_may_stand_inline(name):
    text = module(name)
    assert not re.search(r"^import |from \"\./", text, re.MULTILINE)
    assert re.findall(r"^export (\w+)", text, re.MULTILINE) == ["function", "default"]
    assert "</script" not in text
    assert "innerHTML" not in text


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"task": "sst2"}, "unknown task 'sst2'; allowed: rte, mrpc"),
        ({"layer": LAYERS}, "layer 3 is out of range; allowed: 0 to 2"),
        ({"head": -1}, "head -1 is out of range"),
        ({"example": 2}, "example 2 is out of range; allowed: 0 to 1"),
    ],
)
def test_a_choice_out_of_range_is_refused(data, chosen, message):
    with pytest.raises(BertstudyError, match=message):
        AttentionExplorer(data, **chosen)


def test_a_choice_made_later_is_checked_too(data):
    explorer = AttentionExplorer(data)
    with pytest.raises(BertstudyError, match="out of range"):
        explorer.head = HEADS
    assert explorer.head == 0


def test_the_disabling_explorer_needs_a_grid(data):
    with pytest.raises(BertstudyError, match="needs page data with a disabling grid"):
        DisablingExplorer(PageData(attention_maps()))
    with pytest.raises(BertstudyError, match="no disabling grid for task 'mrpc'; allowed: rte"):
        DisablingExplorer(data, task="mrpc")


# ---- the reader's own sentence ------------------------------------------------------------------


@pytest.fixture
def panel():
    own = PageData(attention_maps(), grid())
    explorer = AttentionExplorer(own)
    return explorer.live(lambda first, second: example(["[CLS]", first, second or "-"], seed=7))


def test_the_readers_sentence_joins_every_explorer(panel):
    data, key, before = panel._explorer.data, panel._explorer.data.key, panel._explorer.data.blob
    panel.first.value, panel.second.value = " cats ", ""
    panel.button.click()
    assert panel._explorer.example == 2
    assert data.of("rte").examples[2].tokens == ["[CLS]", "cats", "-"]
    assert data.key == key
    assert data.blob != before
    assert "Added as example 3 of rte" in panel.message.value


@pytest.mark.parametrize("named", [None, "rte"])
def test_a_panel_keeps_to_its_task(named):
    own = PageData([attention_maps(), attention_maps("mrpc", [example(seed=3)])])
    explorer = AttentionExplorer(own)
    panel = explorer.live(lambda *_: example(seed=7), named)
    explorer.task = "mrpc"
    panel.first.value = "cats"
    panel.run()
    assert (explorer.task, explorer.example) == ("rte", 2)
    assert [len(own.of(task).examples) for task in ("rte", "mrpc")] == [3, 1]
    assert panel.label.value.endswith("the model of rte")
    assert panel.label in panel.children


def test_a_panel_may_be_of_a_task_not_shown_now(data):
    assert "mrpc" in AttentionExplorer(data).live(example, task="mrpc").label.value


def test_a_panel_of_a_task_the_explorer_cannot_show_is_refused(data):
    with pytest.raises(BertstudyError, match="unknown task 'sst2'; allowed: rte, mrpc"):
        AttentionExplorer(data).live(example, "sst2")
    with pytest.raises(BertstudyError, match="no disabling grid for task 'mrpc'; allowed: rte"):
        DisablingExplorer(data).live(example, "mrpc")


@pytest.mark.parametrize(
    ("text", "message"),
    [("  ", "Write a sentence first"), ("x" * 1001, "Too long: at most 1000 characters")],
)
def test_unusable_input_is_said_in_the_panel(panel, text, message):
    panel.first.value = text
    panel.run()
    assert message in panel.message.value
    assert panel._explorer.example == 0
    assert not panel.button.disabled


@pytest.mark.parametrize("error", [BertstudyError("too <long>"), KeyError("<b>")])
def test_an_error_of_the_model_is_said_in_the_panel(panel, error):
    def fail(*_):
        raise error

    panel._probe = fail
    panel.first.value = "cats"
    panel.run()
    assert "&lt;" in panel.message.value
    assert "<b>" not in panel.message.value


def test_a_static_page_shows_no_dead_control(panel):
    text = html_of(panel)
    assert re.sub("<.*?>", "", text) == "Run this notebook to try a sentence of your own."
    assert "<script" not in text


# ---- in a browser -------------------------------------------------------------------------------


def write_page(folder, *shown):
    body = "\n".join(map(html_of, shown))
    path = folder / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><link rel=icon href=data:,>{body}",
                    encoding="utf-8")  # fmt: skip
    return path


@pytest.fixture(params=["file", "http"])
def opened(request, page: Watched, data, tmp_path):
    """A page with both explorers, opened; afterwards it must have been quiet."""
    path = write_page(tmp_path, data, AttentionExplorer(data), DisablingExplorer(data))
    if request.param == "file":
        page.page.goto(path.as_uri())
        yield page.page
        page.assert_quiet("file://")
        return
    with served(tmp_path) as address:
        page.page.goto(address + "page.html")
        yield page.page
        page.assert_quiet(address)


def number(text):
    return float(re.search(r"[−+]?\d+\.\d+", text)[0].replace("−", "-"))


def explorer_of(opened, name):
    found = opened.get_by_role("region", name=name)
    found.locator("canvas.cells").first.wait_for()
    return found


def slide(explorer, label, index):
    control = explorer.get_by_role("slider", name=label)
    control.fill(str(index + 1))


def pixels_painted(canvas):
    return canvas.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"
    )


@pytest.mark.browser
def test_attention_shows_the_numbers_of_the_data(opened, data):
    explorer = explorer_of(opened, "Attention explorer")
    draw = random.Random(0)
    for _ in range(5):
        index, layer, head = draw.randrange(2), draw.randrange(LAYERS), draw.randrange(HEADS)
        chosen = data.of("rte").examples[index]
        query, key = (draw.randrange(len(chosen.tokens)) for _ in range(2))
        explorer.get_by_label("Example").select_option(index=index)
        slide(explorer, "Layer", layer)
        slide(explorer, "Head", head)
        for model, canvas in enumerate(explorer.locator("canvas.cells").all()):
            box = canvas.bounding_box()
            side = box["width"] / len(chosen.tokens)
            canvas.hover(position={"x": (key + 0.5) * side, "y": (query + 0.5) * side})
            readout = explorer.locator(".readout").nth(model)
            assert readout.locator("q").all_inner_texts() == [
                chosen.tokens[query],
                chosen.tokens[key],
            ]
            shown = number(readout.locator(".value").inner_text())
            assert shown == pytest.approx(
                chosen.maps[model, layer, head, query, key], abs=1 / 510 + 0.0005
            )
            assert pixels_painted(canvas)
        bars = explorer.locator(".predictions .bar").all_inner_texts()
        assert [number(b) for b in bars] == pytest.approx(chosen.probabilities[1], abs=0.0005)


@pytest.mark.browser
def test_disabling_shows_the_numbers_of_the_data(opened, data):
    explorer = explorer_of(opened, "Disabling explorer")
    shown_grid, draw = data.grids["rte"], random.Random(1)
    for _ in range(5):
        kind = draw.choice(["uniform", "zero"])
        index, layer, head = draw.randrange(2), draw.randrange(LAYERS), draw.randrange(HEADS)
        chosen = data.of("rte").examples[index]
        explorer.locator(f"input[value={kind}]").check()
        explorer.get_by_label("Example").select_option(index=index)
        cell = explorer.get_by_role("gridcell", name=f"layer {layer + 1}, head {head + 1}:")
        cell.click()
        effects = shown_grid.effects[kind][layer, head] * 100
        assert number(explorer.locator(".effect .value").inner_text()) == pytest.approx(
            effects.mean(), abs=0.0051
        )
        assert number(cell.inner_text()) == pytest.approx(effects.mean(), abs=0.051)
        low, high = re.search(
            r"interval (\S+) to ([^;]+);", explorer.locator(".effect").inner_text()
        ).groups()
        half = 2.7764 * effects.std(ddof=1) / np.sqrt(SEEDS)  # Student's t, 4 degrees of freedom
        assert [number(low), number(high)] == pytest.approx(
            [effects.mean() - half, effects.mean() + half], abs=0.0051
        )
        after = explorer.locator(".change .value").all_inner_texts()
        assert [number(p) for p in after] == pytest.approx(
            chosen.disabled[kind][layer, head], abs=0.00051
        )
        assert pixels_painted(explorer.locator("canvas.cells"))


@pytest.mark.browser
def test_a_whole_layer_shows_its_own_effect(opened, data):
    explorer = explorer_of(opened, "Disabling explorer")
    explorer.get_by_role("gridcell", name="layer 2, all heads").click()
    shown = number(explorer.locator(".effect .value").inner_text())
    effect = data.grids["rte"].layer_effects["uniform"][1].mean() * 100
    assert shown == pytest.approx(effect, abs=0.0051)
    assert not explorer.locator("canvas.cells").is_visible()


@pytest.mark.browser
def test_a_regression_task_shows_gold_value_and_a_coefficient(page: Watched, tmp_path):
    own = PageData(regression(), one_seed("stsb", metric="spearman"))
    path = write_page(tmp_path, own, AttentionExplorer(own), DisablingExplorer(own))
    page.page.goto(path.as_uri())
    attention = explorer_of(page.page, "Attention explorer")
    assert attention.get_by_text("Gold value: 3.8", exact=True).is_visible()
    assert attention.locator(".predictions").count() == 0
    disabling = explorer_of(page.page, "Disabling explorer")
    assert disabling.get_by_text("Gold value: 3.8", exact=True).is_visible()
    assert disabling.locator(".change").count() == 0
    readout = disabling.locator(".effect").inner_text()
    assert "points of Spearman ×100 from one seed, so without an interval" in readout
    level = own.grids["stsb"].baseline[0] * 100
    assert f"{level:.1f} (Spearman ×100) with every head" in readout
    disabling.get_by_text("Numbers for each seed").click()
    headings = disabling.locator("details th").all_inner_texts()
    assert headings == ["seed", "Spearman ×100", "effect, points", "origin"]
    assert "ercentage" not in disabling.inner_html()
    page.assert_quiet("file://")


@pytest.mark.browser
def test_accuracy_is_in_percent(opened, data):
    explorer = explorer_of(opened, "Disabling explorer")
    readout = explorer.locator(".effect").inner_text()
    assert "points of accuracy, 95 % interval" in readout
    assert f"{data.grids['rte'].baseline.mean() * 100:.1f} % with every head" in readout
    assert "×100" not in explorer.inner_text()


@pytest.mark.browser
def test_every_seed_is_listed_with_its_origin(opened, data):
    explorer = explorer_of(opened, "Disabling explorer")
    explorer.get_by_text("Numbers for each seed").click()
    rows = [r.split("\t") for r in explorer.locator("details tbody tr").all_inner_texts()]
    effects = data.grids["rte"].effects["uniform"][0, 0] * 100
    assert [number(row[2]) for row in rows] == pytest.approx(effects, abs=0.0051)
    assert [row[3] for row in rows] == list(data.grids["rte"].origins)
    assert explorer.locator("circle.recorded").count() == SEEDS - 2


@pytest.mark.browser
def test_hostile_tokens_are_shown_literally(opened):
    for name in ("Attention explorer", "Disabling explorer"):
        explorer = explorer_of(opened, name)
        explorer.get_by_label("Example").select_option(index=1)
        assert explorer.locator(".rows").first.locator("span").all_inner_texts() == HOSTILE
        assert explorer.locator("img").count() == 0
    assert opened.locator(".tokens.queries").first.locator("button").all_inner_texts() == HOSTILE
    assert LABELS[1] in opened.locator(".predictions").inner_text()


@pytest.mark.browser
def test_a_keyboard_alone_reaches_and_works_the_attention_explorer(opened):
    explorer = explorer_of(opened, "Attention explorer")
    keys = opened.keyboard
    explorer.get_by_label("Task").focus()
    for stop in range(9):  # two lists, two sliders, the overview, and two maps with their lines
        opened.evaluate("stop => { document.activeElement.dataset.stop = stop }", stop)
        name = opened.evaluate("document.activeElement.type || document.activeElement.className")
        if name == "range":
            keys.press("ArrowRight")
        elif name == "cells":
            keys.press("ArrowDown")
            keys.press("ArrowRight")
        keys.press("Tab")
    assert explorer.locator("[data-stop]").count() == 9
    assert "Layer 2, head 2" in explorer.locator("h4").first.inner_text()
    # Each map moves the mark that both share: from (0, 1) by (1, 1), twice.
    assert explorer.locator(".rows .at").first.inner_text() == PLAIN[2]
    assert explorer.locator(".columns .at").first.inner_text() == PLAIN[3]


@pytest.mark.browser
def test_arrows_walk_the_grids(opened):
    explorer = explorer_of(opened, "Disabling explorer")
    explorer.get_by_role("gridcell", name="layer 1, head 1:").click()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        opened.keyboard.press(key)
    assert "Layer 2, head 3" in explorer.locator("h4").inner_text()
    opened.keyboard.press("End")
    assert "Layer 2, all heads" in explorer.locator("h4").inner_text()
    assert explorer.locator(".effects [tabindex='0']").count() == 1


@pytest.mark.browser
def test_a_token_isolates_its_lines(opened, data):
    explorer = explorer_of(opened, "Attention explorer")
    everything = explorer.locator(".lines line").count()
    explorer.locator(".tokens.queries").first.locator("button").nth(2).focus()
    row = quantise(data.of("rte").examples[0].maps[0, 0, 0, 2]) / 255
    assert explorer.locator(".lines").first.locator("line").count() == (row >= 0.02).sum()
    readout = explorer.locator(".readout").first.inner_text()
    assert "attends to" in readout
    assert number(readout) == pytest.approx(row.max(), abs=0.003)
    opened.keyboard.press("Escape")
    assert explorer.locator(".lines line").count() == everything


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 800, 1200])
def test_nothing_sticks_out_at_any_width(opened, width):
    explorer_of(opened, "Disabling explorer")
    opened.set_viewport_size({"width": width, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.get_by_role("combobox", name="Example").first.select_option(index=1)
    edges = opened.locator(".plot").first.evaluate(
        "plot => [Math.max(...[...plot.querySelectorAll('.rows span')].map("
        "(span) => span.getBoundingClientRect().right)), "
        "plot.querySelector('canvas').getBoundingClientRect().left]"
    )
    assert edges[0] <= edges[1] + 1, "a token's label reaches into the map"


@pytest.mark.browser
@pytest.mark.parametrize("says", ["system", "book", "lab"])
def test_dark_is_dark_whoever_says_so(opened, says):
    explorer = explorer_of(opened, "Attention explorer")
    ink = "document.querySelector('canvas.cells').toDataURL()"
    paper = "e => getComputedStyle(e).backgroundColor"
    light, light_ink = explorer.evaluate(paper), opened.evaluate(ink)
    if says == "system":
        opened.emulate_media(color_scheme="dark")
    elif says == "book":
        opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    else:
        opened.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert light == "rgb(255, 255, 255)"
    assert explorer.evaluate(paper) != light
    opened.wait_for_function(f"{ink} !== '{light_ink}'")


@pytest.mark.browser
def test_missing_data_are_a_plain_message(page: Watched, data, tmp_path):
    page.page.goto(write_page(tmp_path, AttentionExplorer(data)).as_uri())
    message = page.page.get_by_role("status").inner_text()
    assert message.startswith("Nothing to show: the cell that puts the data on this page")
    page.assert_quiet("file://")


WIDGET_PAGE = """<!doctype html><meta charset=utf-8><link rel=icon href=data:,><div id=here></div>
<script type=text/plain id=code>{code}</script><script type=module>
const url = URL.createObjectURL(new Blob([document.getElementById("code").textContent],
  {{ type: "text/javascript" }}));
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const model = (state) => {{
  const calls = {{}};
  return {{ state, saved: 0, get: (name) => state[name], off() {{}},
    on: (event, call) => (calls[event] ??= []).push(call),
    set(name, value) {{
      state[name] = value;
      calls[`change:${{name}}`]?.forEach((call) => call());
    }},
    save_changes() {{ this.saved++; }} }};
}};
window.holder = model({{ blob: bytes("{blob}") }});
window.widget = model({state});
widget.widget_manager = {{ get_model: async (id) => id === "{model_id}" && holder }};
window.replace = (text) => holder.set("blob", bytes(text));
const {{ default: explorer }} = await import(url);
window.cleanup = await explorer.render({{ model: widget, el: document.getElementById("here") }});
</script>"""


@pytest.mark.browser
def test_the_widget_view_follows_a_kernel(page: Watched, tmp_path):
    own = PageData(attention_maps(), grid())
    state = {"data": f"IPY_MODEL_{own.model_id}", "task": "rte", "example": 0, "layer": 1,
             "head": None, "kind": "zero"}  # fmt: skip
    encoded = base64.b64encode(own.blob).decode()
    path = tmp_path / "widget.html"
    path.write_text(
        WIDGET_PAGE.format(
            code=module("disabling"), blob=encoded, state=json.dumps(state), model_id=own.model_id
        ),
        encoding="utf-8",
    )
    page.page.goto(path.as_uri())
    explorer = page.page.get_by_role("region", name="Disabling explorer")
    assert "Layer 2, all heads" in explorer.locator("h4").inner_text()
    page.page.evaluate("widget.set('head', 3)")
    assert "Layer 2, head 4: output set to zero" in explorer.locator("h4").inner_text()
    explorer.get_by_role("gridcell", name="layer 3, head 1:").click()
    assert page.page.evaluate("[widget.state.layer, widget.state.head, widget.saved]") == [2, 0, 1]

    index = own.add("rte", example(["[CLS]", "new"], seed=9))
    page.page.evaluate("text => replace(text)", base64.b64encode(own.blob).decode())
    page.page.evaluate("index => widget.set('example', index)", index)
    page.page.get_by_text("[CLS] new", exact=True).locator("visible=true").wait_for()
    assert page.page.evaluate("typeof cleanup") == "function"
    page.assert_quiet("file://")
