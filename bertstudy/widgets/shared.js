// What the explorers share: data, DOM helpers, and the pieces that more than one of them draws.
// Text from the data reaches the page only as text nodes and attribute values, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "line", "circle", "path", "rect", "text", "title"]);

/** An element with attributes (`onclick` etc. become listeners) and children (strings as text). */
export function h(tag, attributes, ...children) {
  const node = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const number = (x, digits = 3) => x.toFixed(digits).replace("-", "−");
export const signed = (x, digits = 3) => {
  const text = number(x, digits);
  return Number(x.toFixed(digits)) > 0 ? `+${text}` : text.replace(/^−(0\.?0*)$/, "$1");
};
export const clamp = (x, count) => Math.max(0, Math.min(count - 1, x));

// ---- data -------------------------------------------------------------------------------------

/** The part of a widget's model that explorers use, for a page without a kernel. */
export function standIn(state) {
  const listeners = [];
  return {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      listeners.filter(([event]) => event === `change:${name}`).forEach(([, call]) => call());
    },
    save_changes() {},
    on: (event, call) => listeners.push([event, call]),
    off() {},
  };
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** The block written by data.py: tasks, whose examples get a function `map(model, layer, head)`. */
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const tasks = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  for (const task of tasks) {
    for (const example of task.examples) {
      const start = offset, cells = example.tokens.length ** 2;
      example.map = (model, layer, head) => new Uint8Array(
        buffer, start + ((model * task.layers + layer) * task.heads + head) * cells, cells);
      offset += task.models.length * task.layers * task.heads * cells;
    }
  }
  return tasks;
}

/** With a kernel the data are another widget's state; in a static page they are an element. */
async function source(model) {
  const reference = model.get("data");
  if (model.widget_manager) {
    const holder = await model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""));
    return { bytes: () => holder.get("blob"), watch: (call) => holder.on("change:blob", call) };
  }
  const element = document.getElementById(`bertstudy-data-${reference}`);
  if (!element) throw new Error("Nothing to show: the cell that puts the data on this page is missing.");
  const text = atob(element.textContent.trim());
  return { bytes: () => Uint8Array.from(text, (c) => c.charCodeAt(0)), watch() {} };
}

/** Load the data, build the view, and keep it in step with the model, the data and the theme. */
export async function start({ model, el }, names, build) {
  el.classList.add("bertstudy");
  try {
    const from = await source(model);
    let tasks = unpack(await inflate(from.bytes()));
    const view = build(model);
    const show = () => view.show(tasks);
    el.replaceChildren(view.root);
    show();
    names.forEach((name) => model.on(`change:${name}`, show));
    from.watch(async () => { tasks = unpack(await inflate(from.bytes())); show(); });
    return watchTheme(show);
  } catch (error) {
    el.replaceChildren(h("p", { class: "message", role: "status" }, error.message));
  }
}

/** Canvases hold resolved colours, so they are painted again when the theme changes. */
function watchTheme(call) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(call);
  const attributeFilter = ["data-theme", "data-jp-theme-light"];
  media.addEventListener("change", call);
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributeFilter });
  return () => { media.removeEventListener("change", call); observer.disconnect(); };
}

export function choose(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

// ---- controls ---------------------------------------------------------------------------------

let counter = 0;

/** A labelled <select>; `fill` is called on every show and leaves an unchanged list alone. */
export function select(label, onpick) {
  const id = `bertstudy-control-${Date.now()}-${counter++}`;
  const control = h("select", { id, onchange: () => onpick(control.selectedIndex) });
  const root = h("div", { class: "control" }, h("label", { for: id }, label), control);
  let before = null;
  return {
    root,
    fill(options, index) {
      const now = JSON.stringify(options);
      if (now !== before) control.replaceChildren(...options.map((text) => h("option", null, text)));
      before = now;
      control.selectedIndex = index;
      root.hidden = options.length < 2;
    },
  };
}

/** A slider that counts from 1 for the reader and from 0 for the code. */
export function slider(label, onpick) {
  const id = `bertstudy-control-${Date.now()}-${counter++}`;
  const control = h("input", { id, type: "range", min: 1, step: 1,
    oninput: () => onpick(Number(control.value) - 1) });
  const shown = h("output", { for: id });
  return {
    root: h("div", { class: "control slider" }, h("label", { for: id }, label, " ", shown), control),
    fill(count, index) {
      control.max = count;
      control.value = index + 1;
      shown.textContent = `${index + 1} of ${count}`;
    },
  };
}

/** One tab stop for a grid of elements; arrows, Home and End move and pick, a click picks. */
export function roving(rows, pick) {
  const move = (row, column) => {
    const r = clamp(row, rows.length), c = clamp(column, rows[r].length);
    rows[r][c].focus();
    pick(r, c);
  };
  rows.forEach((cells, r) => cells.forEach((cell, c) => {
    cell.addEventListener("click", () => pick(r, c));
    cell.addEventListener("keydown", (event) => {
      const to = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1],
        ArrowRight: [r, c + 1], Home: [r, 0], End: [r, cells.length - 1] }[event.key];
      if (to) { event.preventDefault(); move(...to); }
    });
  }));
  return (row, column) => rows.forEach((cells, r) => cells.forEach((cell, c) => {
    const chosen = r === row && c === column;
    cell.tabIndex = chosen ? 0 : -1;
    if (cell.getAttribute("role") === "gridcell") cell.setAttribute("aria-selected", chosen);
  }));
}

// ---- maps -------------------------------------------------------------------------------------

/** Paint uint8 weights in the element's text colour; `curve` shapes opacity. */
export function paint(canvas, map, curve = (x) => x) {
  const side = Math.sqrt(map.length), context = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  const image = context.createImageData(side, side);
  map.forEach((value, i) => { image.data[4 * i + 3] = 255 * curve(value / 255); });
  context.putImageData(image, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, 0, side, side);
}

/** A map with its tokens; pointer and arrow keys move a mark and call `onmove(query, key)`. */
export function heatmap(tokens, name, onmove) {
  const count = tokens.length;
  let at = [0, 0];
  const move = (row, column) => {
    const i = clamp(row, count), j = clamp(column, count);
    if (i !== at[0] || j !== at[1]) onmove(i, j);
  };
  const canvas = h("canvas", {
    class: "cells", tabindex: 0, role: "application", "aria-roledescription": "heatmap",
    "aria-label": `${name}: attention map, ${count} by ${count}. Arrow keys move between cells.`,
    onpointermove(event) {
      const box = canvas.getBoundingClientRect();
      move(Math.floor((event.clientY - box.top) / box.height * count),
        Math.floor((event.clientX - box.left) / box.width * count));
    },
    onkeydown(event) {
      const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (by) { event.preventDefault(); move(at[0] + by[0], at[1] + by[1]); }
    },
  });
  const mark = h("div", { class: "cursor" });
  const label = (token) => h("span", { title: token }, token);
  const rows = tokens.map(label), columns = tokens.map(label);
  const longest = Math.min(10, Math.max(...tokens.map((token) => token.length)));
  const plot = h("div", { class: "plot", style: `--n: ${count}; --longest: ${longest}` },
    h("div", { class: "axes", "aria-hidden": "true" }, h("span", null, "key →"), h("span", null, "query ↓")),
    h("div", { class: "columns", "aria-hidden": "true" }, ...columns),
    h("div", { class: "rows", "aria-hidden": "true" }, ...rows),
    h("div", { class: "field" }, canvas, mark));
  return {
    root: h("div", { class: "heatmap" }, plot),
    paint: (map) => paint(canvas, map),
    /** Mark tokens, on both sides. */
    mark: (places) => [rows, columns].forEach((side) => side.forEach(
      (node, k) => node.classList.toggle("marked", places.includes(k)))),
    point(i, j) {
      at = [i, j];
      mark.style.setProperty("--i", i);
      mark.style.setProperty("--j", j);
      rows.forEach((node, k) => node.classList.toggle("at", k === i));
      columns.forEach((node, k) => node.classList.toggle("at", k === j));
    },
  };
}

/** The right answer of a regression task, which has no classes to list; a reader's own text has none. */
export const goldValue = ({ gold }) => (gold === null ? "" : h("p", { class: "remark" }, `Gold value: ${gold}`));

/** What shades mean, with numbers. */
export const shades = () => h("span", { class: "shades" }, "0 ", h("span", { class: "ramp" }), " 1");

/** Words for one cell of one map: the query, the key, the weight. */
export const cellText = (tokens, map, [i, j]) => [
  h("q", null, tokens[i]), " to ", h("q", null, tokens[j]), ": ",
  h("b", { class: "value" }, number(map[i * tokens.length + j] / 255)),
];
