// Draws what `gan_core/report/charts.py` describes, with Observable Plot: each `.drawing` holds its data as JSON.
const LINES = 6;
const colour = (index) => `var(--line-${(index % LINES) + 1})`;
const formats = {
  count: (value) => (Math.abs(value) >= 1000 ? Number(value).toLocaleString("en") : String(value)),
  short: (value) => new Intl.NumberFormat("en", { notation: "compact" }).format(value),
  share: (value) => `${(100 * value).toFixed(1).replace(/\.0$/, "")}%`,
  figure: (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value),
  seconds: (value) => `${new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format(value)} s`,
  text: (value) => String(value),
};
const onAxis = (name) => formats[name === "count" ? "short" : name];
const tip = { fill: "var(--raised)", stroke: "var(--line)", fontSize: 12, textPadding: 6 };

function pointsOf(series) {
  return series.flatMap((line, index) =>
    line.x.map((x, i) => ({
      x, y: line.y[i], low: line.low?.[i], high: line.high?.[i], label: line.label, colour: colour(index),
    })),
  );
}

function told(chart) {
  return (point) =>
    [
      point.label,
      `${chart.x_label}: ${formats[chart.x_format](point.x)}`,
      `${chart.y_label}: ${formats[chart.y_format](point.y)}` +
        (point.low == null ? "" : ` [${formats[chart.y_format](point.low)}, ${formats[chart.y_format](point.high)}]`),
    ].join("\n");
}

function lines(chart, width) {
  const points = pointsOf(chart.series);
  const drawn = points.filter((point) => point.y != null && (chart.y_scale !== "log" || point.y > 0));
  const bounded = drawn.filter((point) => point.low != null);
  return Plot.plot({
    width,
    height: Math.max(200, Math.min(300, width * 0.5)),
    marginLeft: 52,
    marginBottom: 38,
    x: { label: chart.x_label, labelAnchor: "center", labelArrow: "none", tickFormat: onAxis(chart.x_format), ticks: 5 },
    y: {
      label: chart.y_label, labelArrow: "none", type: chart.y_scale, tickFormat: onAxis(chart.y_format), ticks: 5,
      grid: true, zero: chart.from_zero, nice: true, ...(chart.y_format === "share" ? { domain: [0, 1] } : {}),
    },
    marks: [
      Plot.areaY(bounded, { x: "x", y1: "low", y2: "high", z: "label", fill: "colour", fillOpacity: 0.15 }),
      Plot.ruleY(chart.rules, { y: "value", stroke: "var(--good)", strokeDasharray: "4,3" }),
      Plot.lineY(drawn, { x: "x", y: "y", z: "label", stroke: "colour", strokeWidth: 1.6 }),
      Plot.dot(chart.series.some((line) => line.dots) ? drawn : [], { x: "x", y: "y", fill: "colour", r: 2.5 }),
      Plot.dot(chart.marks, { x: "x", y: "y", fill: "var(--good)", r: 4 }),
      Plot.text(chart.marks, {
        x: "x", y: "y", text: "label", fill: "var(--good)", dy: -10,
        textAnchor: (mark) => (mark.x > (points[0]?.x + points[points.length - 1]?.x) / 2 ? "end" : "start"),
      }),
      Plot.text(chart.rules, { y: "value", text: "label", frameAnchor: "right", textAnchor: "end", dy: -6, fill: "var(--good)" }),
      Plot.tip(drawn, Plot.pointer({ x: "x", y: "y", title: told(chart), ...tip })),
    ],
  });
}

function bars(chart, width) {
  const longest = Math.max(...chart.bars.map((bar) => bar.label.length));
  const limit = Math.max(...chart.bars.map((bar) => bar.high ?? bar.value), ...chart.rules.map((rule) => rule.value));
  const value = formats[chart.x_format];
  const near = chart.bars.filter((bar) => bar.tick != null && bar.tick <= 2 * limit);
  return Plot.plot({
    width,
    height: 60 + 26 * chart.bars.length,
    marginLeft: Math.min(width * 0.45, 12 + 6.6 * longest),
    marginRight: 90,
    x: { label: chart.x_label, labelAnchor: "center", labelArrow: "none", grid: true, zero: true, tickFormat: onAxis(chart.x_format), ticks: 5 },
    y: { label: null, domain: chart.bars.map((bar) => bar.label), tickSize: 0 },
    marks: [
      Plot.barX(chart.bars, { x: "value", y: "label", fill: (bar) => (bar.best ? "var(--line-1)" : "var(--bar)"), insetTop: 4, insetBottom: 4 }),
      Plot.link(chart.bars.filter((bar) => bar.low != null), { x1: "low", x2: "high", y1: "label", y2: "label", stroke: "var(--text)", strokeWidth: 1.3 }),
      Plot.ruleX(chart.rules, { x: "value", stroke: "var(--good)", strokeDasharray: "4,3" }),
      Plot.text(chart.rules, { x: "value", text: (rule) => `${rule.label} ${value(rule.value)}`, frameAnchor: "top", textAnchor: "start", dx: 4, dy: -12, fill: "var(--good)" }),
      Plot.dot(near, { x: "tick", y: "label", symbol: "diamond", stroke: "var(--soft)", r: 4 }),
      Plot.text(chart.bars, { x: (bar) => bar.high ?? bar.value, y: "label", text: (bar) => value(bar.value), textAnchor: "start", dx: 6, fill: "var(--text)" }),
      Plot.tip(chart.bars, Plot.pointerY({
        x: "value", y: "label", ...tip,
        title: (bar) => [bar.label, `${value(bar.value)}${bar.low == null ? "" : ` [${value(bar.low)}, ${value(bar.high)}]`}`,
          ...(bar.tick == null ? [] : [`${chart.tick_label}: ${value(bar.tick)}`])].join("\n"),
      })),
    ],
  });
}

function legend(chart) {
  const list = document.createElement("ul");
  list.className = "legend";
  chart.series.forEach((line, index) => {
    const entry = list.appendChild(document.createElement("li"));
    entry.appendChild(document.createElement("i")).style.background = colour(index);
    entry.append(line.label);
  });
  return list;
}

function draw(place, chart) {
  const width = Math.max(240, Math.floor(place.clientWidth));
  place.replaceChildren(chart.bars.length ? bars(chart, width) : lines(chart, width));
}

document.querySelectorAll(".drawing").forEach((place) => {
  const chart = JSON.parse(place.firstElementChild.textContent);
  if (chart.series.length > 1) place.before(legend(chart));
  new ResizeObserver(() => {
    if (place.clientWidth && place.dataset.width !== String(place.clientWidth)) {
      place.dataset.width = place.clientWidth;
      requestAnimationFrame(() => draw(place, chart));
    }
  }).observe(place);
});
