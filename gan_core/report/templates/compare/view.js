// Compares what the address names (compare.html#one,two), from the files in data/.
const known = JSON.parse(document.getElementById("known").textContent);
const loaded = { experiments: new Map(), tables: new Map() };
const place = document.getElementById("comparison");
const picker = document.querySelector(".picker");
const MOST = 6;
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4"];
const LEVEL = 0.05;
let clock = "images";

globalThis.ganData = (kind, name, content) => loaded[kind].set(name, content);

// --- small tools

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => {
    if (value === false || value == null) return;
    if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  });
  made.append(...children.filter((child) => child != null));
  return made;
}

const colour = (index) => `var(--line-${index + 1})`;
const count = new Intl.NumberFormat("en");
const figure = (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);
const percent = (value) => `${(100 * value).toFixed(1).replace(/\.0$/, "")}%`;
const written = (value) => (value == null ? "—" : Array.isArray(value) ? value.join(", ") || "none" : typeof value === "number" ? figure(value) : value === true ? "yes" : value === false ? "no" : String(value));

/** A short line as the charts draw this configuration: told apart without its colour too. */
function key(index) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "key");
  svg.setAttribute("viewBox", "0 0 28 10");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 5H28");
  line.setAttribute("style", `stroke: ${colour(index)}; stroke-width: 2.5; stroke-dasharray: ${DASHES[index] || "none"}`);
  svg.append(line);
  return svg;
}

function scroller(label, table) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

function tableOf(headings, rows, kind) {
  const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, ...[text].flat())));
  const body = rows.map(([first, ...cells]) => make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, ...[cell].flat()))));
  return make("table", { class: kind }, make("thead", {}, head), make("tbody", {}, ...body));
}

// --- loading

function load(kind, name) {
  if (loaded[kind].has(name)) return Promise.resolve();
  return new Promise((done) => {
    const script = make("script", { src: `data/${kind}/${encodeURIComponent(name)}.js` });
    script.onload = script.onerror = () => done();
    document.head.append(script);
  });
}

async function loadAll(names) {
  const wanted = names.flatMap((name) => [
    ...(known.catalogue[name].trained ? [["experiments", name]] : []),
    ...known.catalogue[name].tables.map((table) => ["tables", table]),
  ]);
  await Promise.all(wanted.map(([kind, name]) => load(kind, name)));
  return wanted.filter(([kind, name]) => !loaded[kind].has(name)).map(([kind, name]) => `data/${kind}/${name}.js`);
}

// --- how they were trained

function configuration(names) {
  const trained = names.filter((name) => loaded.experiments.has(name));
  const configs = trained.map((name) => loaded.experiments.get(name).config);
  const keys = [...new Set(configs.flatMap(Object.keys))];
  const differing = keys.filter((key) => new Set(configs.map((config) => JSON.stringify(config[key]))).size > 1);
  const same = keys.filter((key) => !differing.includes(key));
  const parts = [make("h2", {}, "What differs")];
  if (trained.length < 2) return [...parts, make("p", { class: "soft" }, "Only one of them was trained here, so there is nothing to compare.")];
  if (differing.length) parts.push(scroller("Settings that differ", tableOf(["Setting", ...trained], differing.map((key) => [key, ...configs.map((config) => written(config[key]))]), "wide-cells")));
  else parts.push(make("p", { class: "soft" }, "Nothing in how they were trained but the seed."));
  const list = tableOf(["Setting", "Value"], same.map((key) => [key, written(configs[0][key])]), "");
  parts.push(make("details", {}, make("summary", { class: "small soft" }, `${same.length} settings are the same`), scroller("Settings that are the same", list)));
  return parts;
}

// --- figures

function pairOf(table, tests, first, second) {
  const [i, j] = first < second ? [first, second] : [second, first];
  const at = (i * (2 * table.names.length - i - 1)) / 2 + (j - i - 1);
  return { p: tests.p[at], by: tests.by[at], corrected: tests.corrected?.[at] };
}

/** Holm's procedure (1979): as `holm_adjusted` of gan_core.evaluation.statistics.comparing. */
function holm(values) {
  const adjusted = new Array(values.length);
  let largest = 0;
  values.map((p, at) => [p, at]).sort((a, b) => a[0] - b[0]).forEach(([p, at], done) => {
    largest = Math.max(largest, Math.min((values.length - done) * p, 1));
    adjusted[at] = largest;
  });
  return adjusted;
}

const told = (p) => (p < 0.001 ? "< 0.001" : `= ${p.toPrecision(2)}`);

function figures(names) {
  const tables = [...new Set(names.flatMap((name) => known.catalogue[name].tables))].map((name) => loaded.tables.get(name)).filter(Boolean);
  const parts = [make("h2", {}, "Figures")];
  const shared = tables.map((table) => [table, names.filter((name) => table.names.includes(name))]).filter(([, rows]) => rows.length > 1);
  const alone = names.filter((name) => !shared.some(([, rows]) => rows.includes(name)));
  shared.forEach(([table, rows]) => parts.push(...figuresOf(table, rows, names)));
  if (alone.length) {
    const why = shared.length || alone.length < names.length || tables.length ? "share no dataset and protocol with another one here, so their figures do not compare" : "were not evaluated";
    parts.push(make("p", { class: "notice" }, `${alone.join(", ")}: ${why}.`));
  }
  return parts;
}

function figuresOf(table, rows, names) {
  const at = rows.map((name) => table.names.indexOf(name));
  const shown = table.figures.filter((item) => at.some((row) => item.values[row] != null));
  const found = shown.flatMap((item) => at.slice(1).map((row) => ({
    item, row, ...(table.tests[item.name] ? pairOf(table, table.tests[item.name], at[0], row) : { p: null, by: "" }),
  })));
  // The leaderboard's own tests are corrected for all rows of its table, whichever of them were picked here.
  found.forEach((test) => {
    test.refused = unlike(table, at[0], test.row);
    if (test.refused) test.p = null;
    else if (test.item.name === known.ranked_by) test.adjusted = test.corrected;
  });
  const everywhere = found.filter((test) => test.p != null && test.adjusted != null);
  const tested = found.filter((test) => test.p != null && test.adjusted == null);
  holm(tested.map((test) => test.p)).forEach((p, index) => (tested[index].adjusted = p));
  const letters = [...new Set([...everywhere, ...tested].map((test) => test.by))].sort();
  const cellOf = (item, row, index) => {
    const [text, interval] = item.texts[row];
    const test = index && found.find((one) => one.item === item && one.row === row);
    return [text, ...(interval ? [make("span", { class: "less" }, interval)] : []), ...(test ? testCell(table, item, at[0], test) : [])];
  };
  const words = [
    ["Rank in the table", ...at.map((row) => String(table.rows[row].rank ?? "—"))],
    ["Seeds", ...at.map((row) => String(table.rows[row].seeds))],
    ["Verdict", ...at.map((row) => table.rows[row].verdict)],
    ...(at.some((row) => table.rows[row].note) ? [["Note", ...at.map((row) => table.rows[row].note || "—")]] : []),
    ...(at.some((row) => table.rows[row].stale) ? [["Out of date", ...at.map((row) => table.rows[row].stale || "no")]] : []),
  ];
  const headings = ["", ...rows.map((name) => [key(names.indexOf(name)), ` ${name}`])];
  const body = [...words, ...shown.map((item) => [item.heading, ...at.map((row, index) => cellOf(item, row, index))])];
  const explained = letters.map((letter) => `${letter}: ${known.tests[letter]}`).join("; ");
  return [
    make("p", { class: "soft" }, `On ${table.dataset}. Each is compared with ${rows[0]}; the order of the list above decides which is the first.`),
    scroller(`Figures on ${table.dataset}`, tableOf(headings, body, "wide-cells")),
    make("p", { class: "small soft" }, letters.length
      ? `In brackets 95% intervals. p-values are two-sided, by the test that the letter names, and corrected by Holm's procedure: those of the FID for all pairs of the leaderboard's table, on which its ranks stand, the others for the ${tested.length} that are made here. A difference is said to be shown where the corrected one is at most ${LEVEL}. ${explained}. Rows that were picked after a look at the table are an exploration: but for the FID, train new seeds before you rely on a difference.`
      : "None of the differences can be tested."),
    make("p", { class: "small soft" }, "Protocol: ", make("code", {}, table.protocol)),
  ];
}

/** Why the figures of two rows are not tested: what one's samples are called ranks it behind whatever they are. */
function unlike(table, first, second) {
  const [a, b] = [table.rows[first], table.rows[second]];
  if (a.demotion === b.demotion) return "";
  const behind = a.demotion > b.demotion ? first : second;
  return `samples of ${table.names[behind]}: ${table.rows[behind].demoted_for}`;
}

function testCell(table, item, first, test) {
  if (item.values[first] == null || item.values[test.row] == null || !table.tests[item.name]) return [];
  if (test.refused) return [make("span", { class: "less" }, `not tested: ${test.refused}`)];
  if (test.p == null) return [make("span", { class: "less" }, "cannot be tested: nothing is known of its spread")];
  const shown = test.adjusted <= LEVEL;
  const parts = [`${test.by}: p ${told(test.p)}, corrected ${told(test.adjusted)}`];
  const cells = [make("span", { class: "less" }, ...parts), make("span", { class: `less${shown ? " differs" : ""}` }, shown ? "a difference is shown" : "no difference is shown")];
  if (item.name === known.ranked_by && test.by === known.by_samples) cells.push(make("span", { class: "less" }, "ranked by KID's MMD test"));
  return cells;
}

// --- images

function pictureCaption(names, name, text = "") {
  return make("figcaption", {}, key(names.indexOf(name)), make("span", {}, `${name}${text}`));
}

function sameLatents(names, part) {
  const latents = new Set(names.map((name) => loaded.experiments.get(name)[part].latents));
  return latents.size < 2
    ? "Drawn from the same latents, place by place."
    : "Not drawn from the same latents (their seed, latent space or classes differ): compare the whole, not place by place.";
}

function samples(names) {
  const having = names.filter((name) => loaded.experiments.get(name)?.grid);
  if (!having.length) return [];
  const drawn = having.map((name) => make("figure", {}, pictureCaption(names, name),
    make("img", { src: loaded.experiments.get(name).grid.source, alt: `Grid of samples drawn by ${name}` })));
  return [make("h2", {}, "Samples"), make("p", { class: "soft small" }, sameLatents(having, "grid")), make("div", { class: "side-by-side" }, ...drawn)];
}

function overTime(names) {
  const having = names.filter((name) => loaded.experiments.get(name)?.strip?.moments);
  const whole = names.filter((name) => loaded.experiments.get(name)?.strip && !having.includes(name));
  if (!having.length && !whole.length) return [];
  const parts = [make("h2", {}, "Over time")];
  if (having.length) parts.push(make("p", { class: "soft small" }, sameLatents(having, "strip")), ...slider(names, having));
  if (whole.length) parts.push(make("div", { class: "side-by-side" }, ...whole.map((name) => make("figure", {}, pictureCaption(names, name, ", from the first step to the last"),
    make("img", { src: loaded.experiments.get(name).strip.source, alt: `Samples of ${name} from fixed latents, a row for each moment` })))));
  return parts;
}

function slider(names, having) {
  const moments = [...new Set(having.flatMap((name) => loaded.experiments.get(name).strip.moments.images_seen))].sort((a, b) => a - b);
  const frames = having.map((name) => frame(names, name));
  const output = make("output", {});
  const range = make("input", { type: "range", min: "0", max: String(moments.length - 1), step: "1", "aria-label": "Moment" });
  const show = () => {
    const seen = moments[Number(range.value)];
    output.textContent = `${count.format(seen)} images seen`;
    range.setAttribute("aria-valuetext", output.textContent);
    frames.forEach((item) => item.show(seen));
  };
  range.value = String(moments.length - 1);
  range.addEventListener("input", show);
  Promise.all(frames.map((item) => item.ready)).then(show);
  return [make("div", { class: "controls" }, range, output), make("div", { class: "side-by-side" }, ...frames.map((item) => item.figure))];
}

/** One row of a strip at a time. */
function frame(names, name) {
  const { source, moments } = loaded.experiments.get(name).strip;
  const columns = Math.min(moments.columns, 4);
  const lines = Math.ceil(moments.columns / columns);
  const canvas = make("canvas", { role: "img" });
  const when = make("span", {});
  const image = new Image();
  const ready = new Promise((done) => (image.onload = image.onerror = done));
  image.src = source;
  const show = (seen) => {
    const at = Math.max(0, moments.images_seen.findLastIndex((value) => value <= seen));
    const scale = image.width / (moments.left + moments.columns * moments.pitch - (moments.pitch - moments.side));
    canvas.width = columns * moments.pitch * scale;
    canvas.height = lines * moments.pitch * scale;
    const pen = canvas.getContext("2d");
    for (let number = 0; number < moments.columns; number += 1) {
      const from = [moments.left + number * moments.pitch, at * moments.pitch, moments.side, moments.side];
      const to = [(number % columns) * moments.pitch, Math.floor(number / columns) * moments.pitch, moments.side, moments.side];
      pen.drawImage(image, ...from.map((value) => value * scale), ...to.map((value) => value * scale));
    }
    when.textContent = ` at ${count.format(moments.images_seen[at])}`;
    canvas.setAttribute("aria-label", `Samples of ${name} at ${count.format(moments.images_seen[at])} images seen`);
  };
  const caption = pictureCaption(names, name);
  caption.append(when);
  return { ready, show, figure: make("figure", {}, caption, canvas) };
}

// --- curves

function curves(names) {
  const having = names.filter((name) => loaded.experiments.get(name)?.seeds.some((seed) => Object.keys(seed.curves).length));
  if (!having.length) return [];
  const charts = make("div", { class: "charts" });
  const choice = make("fieldset", {}, make("legend", {}, "Over"), ...[["images", "images seen"], ["seconds", "seconds of training"]].map(([value, text]) =>
    make("label", {}, make("input", { type: "radio", name: "clock", value, checked: value === clock }), ` ${text}`)));
  choice.addEventListener("change", ({ target }) => {
    clock = target.value;
    drawCharts(charts, names, having);
  });
  new ResizeObserver(() => {
    if (charts.clientWidth && charts.dataset.width !== String(charts.clientWidth)) {
      charts.dataset.width = charts.clientWidth;
      requestAnimationFrame(() => drawCharts(charts, names, having));
    }
  }).observe(charts);
  const many = having.some((name) => loaded.experiments.get(name).seeds.length > 1);
  return [make("h2", {}, "Curves"), make("form", { class: "controls" }, choice),
    make("p", { class: "soft small" }, `${many ? "A line for each seed. " : ""}Seconds depend on the machine and on what else it did.`), charts];
}

function pointsOf(names, having, spec) {
  return having.flatMap((name) => loaded.experiments.get(name).seeds.flatMap((seed) => {
    const panel = seed.curves[spec.panel];
    const x = panel?.[clock], y = panel?.lines[spec.line];
    return x && y ? x.map((value, i) => ({ x: value, y: y[i], name, seed: seed.name, index: names.indexOf(name) })) : [];
  })).filter((point) => point.y != null && (spec.scale !== "log" || point.y > 0));
}

function drawCharts(charts, names, having) {
  const made = known.curves.map((spec) => chart(spec, pointsOf(names, having, spec), names)).filter(Boolean);
  charts.replaceChildren(...made.map((item) => item.figure));
  made.forEach((item) => item.draw());
}

function chart(spec, points, names) {
  if (!points.length) return null;
  const body = make("div", { role: "img", "aria-label": `${spec.title}, ${[...new Set(points.map((point) => point.name))].map((name) => ending(points, name)).join("; ")}` });
  const write = spec.scale === "share" ? percent : figure;
  const xLabel = clock === "images" ? "images seen" : "seconds of training";
  const short = new Intl.NumberFormat("en", { notation: "compact" });
  const draw = () => {
    const width = Math.max(240, Math.floor(body.clientWidth));
    const drawn = Plot.plot({
      width, height: Math.max(190, Math.min(280, width * 0.55)), marginLeft: 50, marginBottom: 38,
      x: { label: xLabel, labelAnchor: "center", labelArrow: "none", ticks: 5, tickFormat: (value) => short.format(value) },
      y: { label: spec.unit, labelArrow: "none", type: spec.scale === "log" ? "log" : "linear", ticks: 5, grid: true, nice: true, zero: spec.from_zero, tickFormat: write, ...(spec.scale === "share" ? { domain: [0, 1] } : {}) },
      marks: [
        ...names.map((name, index) => Plot.lineY(points.filter((point) => point.index === index), { x: "x", y: "y", z: "seed", stroke: colour(index), strokeWidth: 1.5, strokeOpacity: 0.9, strokeDasharray: DASHES[index] || null })),
        Plot.dot(points.length <= 40 ? points : [], { x: "x", y: "y", fill: (point) => colour(point.index), r: 2.5 }),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", fill: "var(--raised)", stroke: "var(--line)", title: (point) => `${point.seed}\n${xLabel}: ${count.format(point.x)}\n${spec.unit}: ${write(point.y)}` })),
      ],
    });
    // What the chart says is said by its own label: those of its parts have no role to stand on.
    drawn.querySelectorAll("[aria-label]:not([aria-label=tip])").forEach((part) => part.removeAttribute("aria-label"));
    drawn.querySelector("[aria-label=tip]")?.setAttribute("class", "tip");
    drawn.querySelector("[aria-label=tip]")?.removeAttribute("aria-label");
    body.replaceChildren(drawn);
  };
  return { draw, figure: make("figure", {}, make("figcaption", { class: "small soft" }, spec.title), body) };
}

function ending(points, name) {
  const own = points.filter((point) => point.name === name);
  return `${name} from ${figure(own[0].y)} to ${figure(own[own.length - 1].y)}`;
}

// --- the whole

const chosenIn = (hash) => [...new Set(hash.slice(1).split(",").filter(Boolean).map(decodeURIComponent))];

async function compare() {
  const asked = chosenIn(location.hash);
  const names = asked.filter((name) => known.catalogue[name]).slice(0, MOST);
  fillPicker(asked, names);
  if (names.length < 2) {
    place.replaceChildren(make("p", { class: "soft" }, names.length ? "Add another one." : "Add two or more here, or tick them on the leaderboard."));
    return;
  }
  const missing = await loadAll(names);
  if (chosenIn(location.hash).join() !== asked.join()) return; // another choice was made meanwhile
  const problems = [...missing.map((file) => `${file} is missing: copy the whole folder of the report, or make the report again`),
    ...names.flatMap((name) => loaded.experiments.get(name)?.problems ?? []),
    ...names.filter((name) => !known.catalogue[name].trained).map((name) => `${name} are samples from elsewhere: nothing is known of a training`)];
  const notice = problems.length ? [make("div", { class: "notice" }, make("ul", {}, ...problems.map((text) => make("li", {}, text))))] : [];
  place.replaceChildren(...notice, ...figures(names), ...configuration(names), ...samples(names), ...overTime(names), ...curves(names));
}

function fillPicker(asked, names) {
  const go = (chosen) => (location.hash = chosen.map(encodeURIComponent).join(","));
  document.querySelector(".chosen").replaceChildren(...names.map((name, index) => {
    const remove = make("button", { type: "button", "aria-label": `Remove ${name}` }, "remove");
    remove.addEventListener("click", () => go(names.filter((other) => other !== name)));
    const first = make("button", { type: "button", "aria-label": `Compare the others with ${name}` }, "first");
    first.addEventListener("click", () => go([name, ...names.filter((other) => other !== name)]));
    const link = known.catalogue[name].trained ? make("a", { href: `experiments/${encodeURIComponent(name)}.html` }, name) : name;
    return make("li", {}, key(index), link, index ? first : null, remove);
  }));
  const unknown = asked.filter((name) => !known.catalogue[name]);
  picker.querySelector("[role=status]").textContent = unknown.length
    ? `There is no ${unknown.join(", ")} in this report.`
    : asked.length > MOST ? `The first ${MOST} of ${asked.length} are compared.` : "";
  picker.onsubmit = (event) => {
    event.preventDefault();
    const name = picker.elements.name.value.trim();
    if (!known.catalogue[name]) picker.querySelector("[role=status]").textContent = name ? `There is no ${name} in this report.` : "Type a name, or choose one.";
    else if (names.length >= MOST) picker.querySelector("[role=status]").textContent = `${MOST} are the most: remove one first.`;
    else {
      picker.elements.name.value = "";
      go([...names, name]);
    }
  };
}

picker.hidden = false;
window.addEventListener("hashchange", compare);
compare();
