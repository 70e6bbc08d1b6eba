// Draws what `gan_core/report/charts.py` describes, with Observable Plot: each `.drawing` holds its data as JSON.
// Under the mouse, the finger or the arrow keys, what is drawn is told beside it.
const Charts = (() => {
  const COLOURS = 6;
  const DASHES = ["", "7,3", "2,3", "9,3,2,3", "14,4", "5,2,1,2,1,2"];
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "cross", "star"];
  const NEAR = 48; // pixels: further off, nothing is told
  const WIDEST_CELL = 190;
  const PRINTED = 640; // pixels of a chart that is as wide as a sheet
  const number = (options) => (value) => new Intl.NumberFormat("en", options).format(value);
  const formats = {
    count: (value) => (typeof value === "number" ? value.toLocaleString("en") : String(value)),
    share: (value) => `${number({ minimumFractionDigits: 1, maximumFractionDigits: 1 })(100 * value)}%`,
    figure: number({ maximumSignificantDigits: 4 }),
    seconds: (value) => `${number({ maximumSignificantDigits: 3 })(value)} s`,
    text: String,
  };
  const short = number({ notation: "compact", maximumSignificantDigits: 3 });
  const ofAxis = {
    count: (value) => (typeof value === "number" ? short(value) : value),
    share: (value) => `${number({ maximumFractionDigits: 1 })(100 * value)}%`,
  };
  const onAxis = (name) => ofAxis[name] ?? formats[name];
  const within = (write, { low, high }) => (low == null || high == null ? "" : ` [${write(low)}, ${write(high)}]`);

  const ruler = document.createElement("canvas").getContext("2d");
  function longest(texts) {
    ruler.font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
    return Math.ceil(Math.max(0, ...texts.map((text) => ruler.measureText(text).width)));
  }
  function shortened(text, room) {
    if (longest([text]) <= room) return text;
    let kept = text.length - 1;
    while (kept > 4 && longest([`${text.slice(0, kept)}…`]) > room) kept -= 1;
    return `${text.slice(0, kept)}…`;
  }

  // How each line looks: another colour and another dash, so that neither is needed to tell it.
  function styles(series) {
    const labels = [...new Set(series.map((line) => line.part_of || line.label))];
    return series.map((line) => {
      const index = labels.indexOf(line.part_of || line.label);
      const turn = (index + Math.floor(index / COLOURS)) % DASHES.length;
      return {
        colour: `var(--line-${(index % COLOURS) + 1})`, dash: DASHES[turn], symbol: SYMBOLS[turn],
        width: line.part_of ? 0.9 : 1.7, opacity: line.part_of ? 0.55 : 1,
      };
    });
  }

  function pointsOf(chart) {
    const logarithmic = { x: chart.x_scale === "log", y: chart.y_scale === "log" };
    const drawable = (value, axis) => value != null && (!logarithmic[axis] || value > 0);
    return chart.series.flatMap((line, index) =>
      line.x
        .map((x, i) => ({ x, y: line.y[i], low: line.low?.[i], high: line.high?.[i], line: index }))
        .filter((point) => drawable(point.x, "x") && drawable(point.y, "y")),
    );
  }

  function lines(chart, width) {
    const look = styles(chart.series);
    const points = pointsOf(chart);
    const of = (chosen) => points.filter((point) => chosen(chart.series[point.line]));
    const bounded = (kind) => of((line) => line.interval === kind).filter((point) => point.low != null && point.high != null);
    const swept = chart.series.filter((line) => line.interval === "bars");
    const absent = [...new Set(swept.flatMap((line) => line.x))].filter((x) => !points.some((point) => point.x === x));
    const perLine = (key) => (point) => look[point.line][key];
    const [write, ticks] = [formats[chart.y_format], onAxis(chart.y_format)];
    const x = {
      label: chart.x_label, labelAnchor: "center", labelArrow: "none", tickFormat: onAxis(chart.x_format), ticks: width < 480 ? 4 : 6,
      type: chart.x_scale, ...(chart.x_scale === "log" ? nearlyLogarithmic(points) : {}), ...(chart.x_ticks ? { ticks: chart.x_ticks, domain: [Math.min(...chart.x_ticks), Math.max(...chart.x_ticks)] } : {}),
      ...(chart.x_scale === "point" ? { domain: [...new Set(chart.series.flatMap((line) => line.x))], padding: 0.35 } : {}),
    };
    const room = chart.x_scale === "point" ? width / Math.max(1, x.domain.length) : Infinity;
    const turned = chart.x_scale === "point" && longest(x.domain.map(x.tickFormat)) > room - 6;
    if (turned) x.tickRotate = -35;
    const below = turned ? Math.min(110, 30 + 0.6 * longest(x.domain.map(x.tickFormat))) : 40;
    const svg = Plot.plot({
      width,
      height: Math.max(210, Math.min(300, width * 0.5)) + below - 40,
      marginLeft: 54,
      marginRight: 22,
      marginBottom: below,
      marginTop: 26,
      x,
      y: {
        label: chart.y_label, labelArrow: "none", type: chart.y_scale, tickFormat: ticks, ticks: 5, grid: true,
        zero: chart.from_zero && chart.y_scale !== "log", nice: true, ...(chart.y_format === "share" ? { domain: [0, 1] } : {}),
      },
      symbol: { type: "identity" },
      marks: [
        Plot.areaY(bounded("band"), { x: "x", y1: "low", y2: "high", z: "line", fill: perLine("colour"), fillOpacity: 0.15 }),
        Plot.link(bounded("bars"), { x1: "x", x2: "x", y1: "low", y2: "high", stroke: perLine("colour"), strokeWidth: 1.5 }),
        ...["low", "high"].map((end) => Plot.dot(bounded("bars"), { x: "x", y: end, symbol: dash, r: 4, stroke: perLine("colour"), strokeWidth: 1.5 })),
        Plot.text(absent, { x: (x) => x, text: () => "missing", frameAnchor: "bottom", dy: -6, fill: "var(--soft)" }),
        Plot.ruleY(chart.rules, { y: "value", stroke: "var(--good)", strokeDasharray: "4,3" }),
        ...chart.series.map((line, index) =>
          Plot.lineY(line.connected ? points.filter((point) => point.line === index) : [], {
            x: "x", y: "y", stroke: look[index].colour, strokeWidth: look[index].width,
            strokeOpacity: look[index].opacity, strokeDasharray: look[index].dash || undefined,
          }),
        ),
        Plot.dot(of((line) => line.dots), { x: "x", y: "y", fill: perLine("colour"), symbol: perLine("symbol"), r: 3.5 }),
        Plot.dot(chart.marks, { x: "x", y: "y", fill: "var(--good)", r: 4.5 }),
        Plot.text(chart.marks, {
          x: "x", y: "y", text: "label", fill: "var(--good)", dy: -11, lineWidth: 18,
          textAnchor: (mark) => (points.length && mark.x > (points[0].x + points[points.length - 1].x) / 2 ? "end" : "start"),
        }),
        Plot.text(chart.rules, { y: "value", text: "label", frameAnchor: "right", textAnchor: "end", dy: -7, fill: "var(--good)" }),
      ],
    });
    const [across, up] = [svg.scale("x"), svg.scale("y")];
    const targets = points.map((point) => ({
      x: across.apply(point.x), y: up.apply(point.y), group: point.line,
      text: [
        chart.series[point.line].label, `${chart.x_label}: ${formats[chart.x_format](point.x)}`,
        `${chart.y_label}: ${write(point.y)}${within(write, point)}`,
      ],
    }));
    return { svg, targets };
  }
  // A logarithmic scale would leave out the names of ticks that are no round numbers.
  const nearlyLogarithmic = (points) => ({ type: "symlog", constant: Math.min(...points.map((point) => point.x)) / 1e9 });
  const dash = { draw: (context, size) => { const half = Math.sqrt(size) / 1.6; context.moveTo(-half, 0); context.lineTo(half, 0); } };

  function bars(chart, width) {
    const write = formats[chart.x_format];
    const labels = chart.bars.map((bar) => bar.label);
    const above = longest(labels) > 0.38 * width; // where names would leave no room, they stand above their bars
    const left = above ? 4 : 12 + longest(labels);
    const limit = Math.max(...chart.bars.map((bar) => bar.high ?? bar.value), ...chart.rules.map((rule) => rule.value));
    const ticked = chart.bars.filter((bar) => bar.tick != null && bar.tick <= 2 * limit);
    const inset = above ? { insetTop: 20, insetBottom: 3 } : { insetTop: 4, insetBottom: 4 };
    const middle = above ? 8.5 : 0;
    const svg = Plot.plot({
      width,
      height: 76 + (above ? 42 : 26) * chart.bars.length,
      marginLeft: left,
      marginRight: 14 + longest(chart.bars.map((bar) => write(bar.value))),
      marginTop: 34,
      marginBottom: 40,
      x: { label: chart.x_label, labelAnchor: "center", labelArrow: "none", grid: true, zero: true, tickFormat: onAxis(chart.x_format), ticks: width < 480 ? 3 : 6 },
      y: { label: null, domain: labels, tickSize: 0, ...(above ? { axis: null } : {}) },
      marks: [
        Plot.barX(chart.bars, { x: "value", y: "label", fill: (bar) => (bar.best ? "var(--line-1)" : "var(--bar)"), ...inset }),
        above ? Plot.text(chart.bars, { x: () => 0, y: "label", text: (bar) => shortened(bar.label, width - 20), textAnchor: "start", dy: -11, fill: "var(--text)" }) : null,
        Plot.link(chart.bars.filter((bar) => bar.low != null), { x1: "low", x2: "high", y1: "label", y2: "label", stroke: "var(--text)", strokeWidth: 1.3, dy: middle }),
        Plot.ruleX(chart.rules, { x: "value", stroke: "var(--good)", strokeDasharray: "4,3" }),
        Plot.text(chart.rules, { x: "value", text: (rule) => `${rule.label} ${write(rule.value)}`, frameAnchor: "top", textAnchor: "start", dx: 4, dy: -12, fill: "var(--good)" }),
        Plot.dot(ticked, { x: "tick", y: "label", symbol: "diamond", stroke: "var(--soft)", r: 4, dy: middle }),
        Plot.text(chart.bars, { x: (bar) => bar.high ?? bar.value, y: "label", text: (bar) => write(bar.value), textAnchor: "start", dx: 6, dy: middle, fill: "var(--text)" }),
      ],
    });
    const [across, up] = [svg.scale("x"), svg.scale("y")];
    const targets = chart.bars.map((bar) => ({
      x: across.apply(bar.value), y: up.apply(bar.label) + up.bandwidth / 2 + middle, group: 0, anywhere: true,
      text: [bar.label, write(bar.value) + within(write, bar), ...(bar.tick == null ? [] : [`${chart.tick_label}: ${write(bar.tick)}`])],
    }));
    return { svg, targets };
  }

  function heat(chart, width) {
    const write = formats[chart.format];
    const left = Math.min(0.4 * width, 20 + longest(chart.rows));
    width = Math.min(width, left + WIDEST_CELL * chart.columns.length);
    const room = (width - left - 10) / chart.columns.length;
    const turned = longest(chart.columns) > room - 6;
    const bottom = turned ? Math.min(110, 34 + 0.6 * longest(chart.columns)) : 44;
    const shown = chart.cells.filter((cell) => cell.value != null);
    const fits = longest(shown.map((cell) => `${write(cell.value)} ★`)) < room - 4;
    const svg = Plot.plot({
      width,
      height: 30 + bottom + Math.max(34, Math.min(64, room * 0.6)) * chart.rows.length,
      marginLeft: left,
      marginRight: 8,
      marginTop: 26,
      marginBottom: bottom,
      padding: 0.04,
      x: { label: chart.x_label, labelAnchor: "center", labelArrow: "none", domain: chart.columns, tickSize: 0, ...(turned ? { tickRotate: -35 } : {}) },
      y: { label: chart.y_label, labelAnchor: "top", labelArrow: "none", domain: chart.rows, tickSize: 0, tickFormat: (row) => shortened(row, left - 10) },
      color: { type: "identity" },
      marks: [
        Plot.cell(shown, { x: "x", y: "y", fill: (cell) => shade(cell.shade), rx: 3 }),
        Plot.cell(chart.cells.filter((cell) => cell.value == null), { x: "x", y: "y", fill: "none", stroke: "var(--soft)", strokeDasharray: "3,3", inset: 1, rx: 3 }),
        Plot.cell(shown.filter((cell) => cell.best), { x: "x", y: "y", fill: "none", stroke: "var(--text)", strokeWidth: 2, inset: 1, rx: 3 }),
        Plot.text(chart.cells, {
          x: "x", y: "y", fill: "var(--text)", fontSize: fits ? 12 : 10,
          text: (cell) => (cell.value == null ? cell.word : `${write(cell.value)}${cell.best ? " ★" : ""}`),
        }),
      ],
    });
    const [across, up] = [svg.scale("x"), svg.scale("y")];
    const targets = chart.cells.map((cell) => ({
      x: across.apply(cell.x) + across.bandwidth / 2, y: up.apply(cell.y) + up.bandwidth / 2, group: 0, anywhere: true,
      text: [
        `${chart.x_label}: ${cell.x}`, `${chart.y_label}: ${cell.y}`,
        cell.value == null ? cell.missing : `${chart.value_label}: ${write(cell.value)}${within(write, cell)}`,
      ],
    }));
    return { svg, targets };
  }
  const shade = (part) => `color-mix(in oklab, var(--heat-high) ${Math.round(100 * part)}%, var(--heat-low))`;

  // Axes stand side by side, or lie below each other where there is no room.
  function parallel(chart, width) {
    const across = width >= 130 * chart.axes.length;
    const names = chart.axes.map((axis) => axis.label);
    const length = across ? 260 : width - 60;
    const points = chart.tracks.flatMap((track, line) =>
      track.places.map((place, index) => ({ place, axis: names[index], line, best: track.best })),
    );
    const ticks = chart.axes.flatMap((axis, index) => axis.ticks.map(([place, text]) => ({ place, text, axis: names[index] })));
    const swap = (options) => (across ? { x: "axis", y: "place", ...options } : { x: "place", y: "axis", ...options });
    const stroke = (track) => (track.best ? "var(--line-1)" : "var(--bar)");
    const sides = Math.max(46, 12 + longest(chart.axes[chart.axes.length - 1].ticks.map(([, text]) => text)), longest(names) / 2);
    const svg = Plot.plot({
      width,
      height: across ? length + 60 : 20 + 64 * names.length,
      marginLeft: across ? sides : 30,
      marginRight: across ? sides : 30,
      marginTop: across ? 40 : 26,
      marginBottom: across ? 16 : 26,
      x: across ? { type: "point", domain: names, axis: null } : { domain: [0, 1], axis: null },
      y: across ? { domain: [0, 1], axis: null } : { type: "point", domain: names, axis: null },
      marks: [
        (across ? Plot.ruleX : Plot.ruleY)(names, { stroke: "var(--soft)" }),
        ...chart.tracks.map((track, line) => ({ track, line })).sort((a, b) => a.track.best - b.track.best).map(({ track, line }) =>
          Plot.line(points.filter((point) => point.line === line), swap({
            stroke: stroke(track), strokeWidth: track.best ? 2.6 : 1.3, strokeDasharray: track.best ? undefined : "6,2", className: `track-${line}`,
          })),
        ),
        Plot.dot(points, swap({ fill: (point) => stroke(point), r: 3 })),
        Plot.text(ticks, swap({
          text: "text", fill: "var(--text)", stroke: "var(--page)", strokeWidth: 4, ...(across ? { textAnchor: "start", dx: 7 } : { dy: 13 }),
        })),
        Plot.text(names, across
          ? { x: (name) => name, text: (name) => shortened(name, width / names.length - 8), frameAnchor: "top", dy: -22, fill: "var(--soft)", fontWeight: 600 }
          : { y: (name) => name, text: (name) => name, frameAnchor: "left", textAnchor: "start", dx: -26, dy: -16, fill: "var(--soft)", fontWeight: 600 }),
      ],
    });
    const [xs, ys] = [svg.scale("x"), svg.scale("y")];
    const targets = points.map((point) => {
      const track = chart.tracks[point.line];
      const [x, y] = across ? [point.axis, point.place] : [point.place, point.axis];
      const values = track.texts.map((text, index) => `${names[index]}: ${text}`);
      return { x: xs.apply(x), y: ys.apply(y), group: point.line, whole: true, mark: `track-${point.line}`, text: [track.label, ...values] };
    });
    return { svg, targets };
  }

  function said(text, colour) {
    const entry = document.createElement("li");
    if (colour) entry.appendChild(document.createElement("i")).style.background = colour;
    entry.append(text);
    return entry;
  }
  const NOT_BEATEN = "none is shown to be better";
  const KINDS = { lines, bars, heat, parallel };

  function lineLegend(chart) {
    const look = styles(chart.series);
    const called = (line) => line.part_of || line.label;
    const entries = chart.series.map((line, index) => [line, look[index]])
      .filter(([line], index) => chart.series.findIndex((other) => called(other) === called(line)) === index);
    return entries.length < 2 ? [] : entries.map(([line, style]) => {
      const entry = document.createElement("li");
      const sample = Plot.plot({
        width: 34, height: 12, margin: 2, axis: null, x: { domain: [0, 1] }, y: { domain: [0, 1] }, symbol: { type: "identity" },
        marks: [
          Plot.link(line.connected ? [0] : [], { x1: 0, x2: 1, y1: 0.5, y2: 0.5, stroke: style.colour, strokeWidth: 2, strokeDasharray: style.dash || undefined }),
          line.dots ? Plot.dot([0], { x: 0.5, y: 0.5, fill: style.colour, symbol: () => style.symbol, r: 3.5 }) : null,
        ],
      });
      sample.setAttribute("aria-hidden", "true");
      entry.append(sample, called(line));
      return entry;
    });
  }

  function heatLegend(chart) {
    const values = chart.cells.map((cell) => cell.value).filter((value) => value != null);
    if (!values.length) return [];
    const write = formats[chart.format];
    const entry = document.createElement("li");
    const scale = document.createElement("i");
    scale.className = "shades";
    entry.append(`${chart.value_label} ${write(Math.min(...values))}`, scale, write(Math.max(...values)));
    if (chart.better) entry.append(` (${chart.better} is better)`);
    return [entry, ...(chart.cells.some((cell) => cell.best) ? [said(`★ ${NOT_BEATEN}`)] : [])];
  }

  function barLegend(chart) {
    return [
      ...(chart.bars.some((bar) => bar.best) ? [said(NOT_BEATEN, "var(--line-1)")] : []),
      ...(chart.bars.some((bar) => bar.low != null) ? [said("├┤ 95% interval")] : []),
      ...(chart.bars.some((bar) => bar.tick != null) ? [said(`◇ ${chart.tick_label}`)] : []),
    ];
  }
  const trackLegend = (chart) => (chart.tracks.some((track) => track.best) ? [said(`— ${NOT_BEATEN}`), said("- - another")] : []);
  const LEGENDS = { lines: lineLegend, bars: barLegend, heat: heatLegend, parallel: trackLegend };

  function legend(chart) {
    const entries = LEGENDS[chart.kind](chart);
    if (!entries.length) return null;
    const list = document.createElement("ul");
    list.className = "legend";
    list.append(...entries);
    return list;
  }

  // What is told: the point that is next to the mouse or the finger, or where the arrow keys have led.
  class Teller {
    constructor(place) {
      this.place = place;
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.setAttribute("role", "status");
      this.index = -1;
      place.addEventListener("pointermove", (event) => this.point(event));
      place.addEventListener("pointerdown", (event) => this.point(event));
      place.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hide());
      place.addEventListener("keydown", (event) => this.press(event));
      place.addEventListener("blur", () => this.hide());
    }
    show({ svg, targets }) {
      this.svg = svg;
      this.targets = targets;
      this.hide();
      this.place.replaceChildren(svg, this.tip);
    }
    point(event) {
      const box = this.svg.getBoundingClientRect();
      const scale = this.svg.viewBox.baseVal.width / box.width || 1;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let [nearest, least] = [-1, NEAR];
      this.targets.forEach((target, index) => {
        const distance = Math.hypot(target.anywhere ? (target.x - x) / 20 : target.x - x, target.y - y);
        if (distance < least) [nearest, least] = [index, distance];
      });
      if (nearest < 0) this.hide();
      else if (nearest !== this.index) this.tell(nearest);
    }
    press(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      const turn = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") return this.hide();
      if (!this.targets.length || (step === undefined && turn === undefined)) return;
      event.preventDefault();
      const from = this.index;
      if (from < 0) this.tell(0);
      else if (step !== undefined) this.tell(Math.max(0, Math.min(this.targets.length - 1, from + step)));
      else this.tell(this.beside(from, turn));
    }
    // Of the next line, the point that is nearest in x; of one that has no lines, the next.
    beside(from, turn) {
      const groups = [...new Set(this.targets.map((target) => target.group))];
      if (groups.length < 2) return Math.max(0, Math.min(this.targets.length - 1, from + turn));
      const { x, group } = this.targets[from];
      const wanted = groups[(groups.indexOf(group) + turn + groups.length) % groups.length];
      const found = this.targets.map((target, index) => [Math.abs(target.x - x), index]).filter(([, index]) => this.targets[index].group === wanted);
      return found.reduce((best, next) => (next[0] < best[0] ? next : best))[1];
    }
    tell(index) {
      this.hide();
      const target = this.targets[index];
      this.index = index;
      this.tip.replaceChildren(...target.text.filter(Boolean).map((line) => {
        const shown = document.createElement("span");
        shown.append(line);
        return shown;
      }));
      this.svg.append(this.ring(target));
      this.emphasise(target, true);
      this.tip.hidden = false;
      const scale = this.svg.getBoundingClientRect().width / this.svg.viewBox.baseVal.width || 1;
      const [x, y] = [target.x * scale, target.y * scale];
      const room = this.place.clientWidth - this.tip.offsetWidth;
      this.tip.style.left = `${Math.max(0, Math.min(room, x + 12 + this.tip.offsetWidth > this.place.clientWidth ? x - 12 - this.tip.offsetWidth : x + 12))}px`;
      this.tip.style.top = `${Math.max(0, y - this.tip.offsetHeight - 10)}px`;
    }
    ring({ x, y }) {
      const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      for (const [name, value] of Object.entries({ cx: x, cy: y, r: 6, fill: "none", stroke: "var(--text)", "stroke-width": 1.5, class: "ring" })) ring.setAttribute(name, value);
      return ring;
    }
    emphasise({ mark }, on) {
      if (mark) this.svg.querySelectorAll(`.${mark}`).forEach((line) => line.classList.toggle("told", on));
    }
    hide() {
      this.svg?.querySelectorAll(".ring").forEach((ring) => ring.remove());
      if (this.index >= 0) this.emphasise(this.targets[this.index] ?? {}, false);
      this.index = -1;
      this.tip.hidden = true;
    }
  }

  function draw(place, width) {
    const { chart, teller } = drawn.get(place);
    const made = KINDS[chart.kind](chart, Math.max(240, Math.floor(width)));
    made.svg.setAttribute("aria-hidden", "true"); // the place itself says what it shows
    teller.show(made);
  }

  // Draws a chart in a place, now and whenever the place gets another width; another one takes its place.
  const drawn = new Map();
  const widths = new ResizeObserver((entries) => entries.forEach(({ target }) => refresh(target)));
  function refresh(place) {
    if (!place.clientWidth || place.dataset.width === String(place.clientWidth)) return;
    place.dataset.width = place.clientWidth;
    requestAnimationFrame(() => draw(place, place.clientWidth));
  }
  function show(place, chart) {
    place.previousElementSibling?.matches(".legend") && place.previousElementSibling.remove();
    const explained = legend(chart);
    if (explained) place.before(explained);
    drawn.set(place, { chart, teller: drawn.get(place)?.teller ?? new Teller(place) });
    delete place.dataset.width;
    widths.observe(place); // which tells the width at once, or when the place comes near
  }

  // Paper has another width: `--print-width` in pixels, of places that are narrower than a sheet.
  window.addEventListener("beforeprint", () => {
    for (const place of drawn.keys()) {
      if (place.clientWidth) draw(place, parseFloat(getComputedStyle(place).getPropertyValue("--print-width")) || PRINTED);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const place of drawn.keys()) if (place.clientWidth) draw(place, place.clientWidth);
  });
  document.querySelectorAll(".drawing").forEach((place) => {
    const data = place.querySelector("script");
    if (data) show(place, JSON.parse(data.textContent));
  });
  return { show };
})();
