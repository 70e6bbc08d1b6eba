// The first page: rows are sorted, filtered and ticked, columns chosen; the address keeps the view.
const boards = [...document.querySelectorAll("table.sortable")].map((table) => ({
  table,
  section: table.closest("section"),
  headings: [...table.tHead.rows[0].cells],
  rows: [...table.tBodies[0].rows],
}));
const form = document.querySelector("form.filters");
const basket = document.querySelector(".basket");
const CHOICES = ["architecture", "objective", "conditioning", "tags", "verdict"];
const UNTAGGED = "(none)"; // which no tag can be called
const MOST = 6;

const indexOf = (board, key) => board.headings.findIndex((heading) => heading.dataset.key === key);
const textOf = (row, index) => (index < 0 ? "" : (row.cells[index].dataset.words ?? row.cells[index].textContent.trim()));
const wordsOf = {
  tags: (text) => (text ? text.split(" ") : [UNTAGGED]),
  // `healthy (2 of 3); mode collapse (1 of 3)` are two verdicts.
  verdict: (text) => [...new Set(text.split(/[;,]/).map((part) => part.replace(/\(\d+ of \d+\)/, "").trim()))],
};
const valuesOf = (board, row, key) => (wordsOf[key] ?? ((text) => (text ? [text] : [])))(textOf(row, indexOf(board, key)));

// --- sorting

function orderOf(cell, words) {
  if (cell.dataset.order) return Number(cell.dataset.order);
  const text = cell.firstChild?.textContent ?? "";
  if (words) return cell.dataset.words ?? cell.querySelector("a, .named")?.textContent ?? cell.textContent;
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? null : number;
}

function sort(board, key, direction) {
  const index = indexOf(board, key);
  if (index < 0) return;
  board.headings.forEach((heading) => heading.removeAttribute("aria-sort"));
  board.headings[index].setAttribute("aria-sort", direction);
  const words = board.headings[index].classList.contains("t");
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = board.rows.map((row, place) => ({ row, place, order: orderOf(row.cells[index], words) }));
  keyed.sort((a, b) => {
    if (a.order === null || b.order === null) return (a.order === null) - (b.order === null) || a.place - b.place;
    const difference = words ? a.order.localeCompare(b.order, "en", { numeric: true }) : a.order - b.order;
    return sign * difference || a.place - b.place;
  });
  board.table.tBodies[0].append(...keyed.map((item) => item.row));
}

// --- filtering

function matches(board, row, wanted, words) {
  if (words.length) {
    const text = row.dataset.text ?? (row.dataset.text = row.textContent.toLowerCase());
    if (!words.every((word) => text.includes(word))) return false;
  }
  return wanted.every(([key, value]) => valuesOf(board, row, key).includes(value));
}

function filter() {
  const wanted = CHOICES.map((key) => [key, form.elements[key].value]).filter(([, value]) => value);
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  boards.forEach((board) => {
    const kept = board.rows.filter((row) => !(row.hidden = !matches(board, row, wanted, words)));
    shown += kept.length;
    all += board.rows.length;
    const some = kept.length < board.rows.length;
    board.section.querySelector(".counted").textContent = some ? `${kept.length} of ${board.rows.length} rows shown` : "";
    board.section.hidden = some && !kept.length;
  });
  form.querySelector("output").textContent = `${shown} of ${all} shown`;
}

function fillChoices() {
  CHOICES.forEach((key) => {
    const counts = new Map();
    boards.forEach((board) => board.rows.forEach((row) => valuesOf(board, row, key).forEach((value) =>
      counts.set(value, (counts.get(value) ?? 0) + 1))));
    const select = form.elements[key];
    [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).forEach(([value, count]) =>
      select.add(new Option(`${value === UNTAGGED ? "untagged" : value} (${count})`, value)));
    select.closest("label").hidden = counts.size < 2;
  });
}

// --- columns

const boxes = () => [...form.querySelectorAll("input[name=column]")];
const usual = new Set(boards.flatMap((board) =>
  board.headings.filter((heading) => !("off" in heading.dataset)).map((heading) => heading.dataset.key)));

function showColumns() {
  const chosen = new Map(boxes().map((box) => [box.value, box.checked]));
  const hidden = new Map();
  boards.forEach((board) => board.headings.forEach((heading, index) => {
    if (chosen.get(heading.dataset.key) !== false) return;
    hidden.set(index + 1, [...(hidden.get(index + 1) ?? []), `#${board.section.id}`]);
  }));
  const selectors = [...hidden].sort(([a], [b]) => a - b).map(([place, ids]) => `:is(${ids.join(", ")}) tr > :nth-child(${place})`);
  // One rule instead of thousands of cells; written only where it changes, since every cell is looked at then.
  const rule = selectors.length ? `${selectors.join(", ")} { display: none; }` : "";
  const style = document.getElementById("columns");
  if (style.textContent !== rule) style.textContent = rule;
}

// --- comparing

const ticks = form ? boards.flatMap((board) => board.rows.map(tickOf)) : [];
function tickOf(row) {
  const tick = document.createElement("input");
  const named = row.querySelector(".named");
  Object.assign(tick, { type: "checkbox", className: "tick", value: named.textContent.trim() });
  tick.setAttribute("aria-label", `Compare ${tick.value}`);
  named.prepend(tick);
  return tick;
}

const ticked = () => [...new Set(ticks.filter((tick) => tick.checked).map((tick) => tick.value))];

function fillBasket() {
  const names = ticked();
  basket.hidden = !names.length;
  ticks.forEach((tick) => {
    tick.disabled = !tick.checked && names.length >= MOST;
    tick.closest("tr").classList.toggle("ticked", tick.checked);
  });
  basket.querySelector("span").textContent = names.length < 2 ? `${names[0] ?? ""}: tick another one` : names.length < MOST ? `${names.length} ticked` : `${MOST} ticked, which is the most`;
  const link = basket.querySelector("a");
  link.textContent = `Compare ${names.length}`;
  if (names.length < 2) link.removeAttribute("href");
  else link.href = `compare.html#${names.map(encodeURIComponent).join(",")}`;
}

// --- the view in the address

function remember() {
  const view = new URLSearchParams();
  ["text", ...CHOICES].forEach((key) => form.elements[key].value && view.set(key, form.elements[key].value));
  const columns = boxes().filter((box) => box.checked).map((box) => box.value);
  if (boxes().some((box) => box.checked !== usual.has(box.value))) view.set("columns", columns.join(","));
  const sorted = boards.flatMap((board) => board.headings).find((heading) => heading.ariaSort && !(heading.dataset.key === "rank" && heading.ariaSort === "ascending"));
  if (sorted) view.set("sort", `${sorted.dataset.key}:${sorted.ariaSort}`);
  if (ticked().length) view.set("ticked", ticked().join(","));
  history.replaceState(null, "", view.size ? `#${view}` : location.pathname + location.search);
}

function recall() {
  const view = location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : new URLSearchParams();
  ["text", ...CHOICES].forEach((key) => (form.elements[key].value = view.get(key) ?? ""));
  const columns = view.has("columns") ? new Set(view.get("columns").split(",")) : usual;
  boxes().forEach((box) => (box.checked = columns.has(box.value)));
  const names = new Set((view.get("ticked") ?? "").split(","));
  ticks.forEach((tick) => (tick.checked = names.has(tick.value)));
  showColumns();
  filter();
  fillBasket();
  const [key, direction] = (view.get("sort") ?? "").split(":");
  if (key) boards.forEach((board) => sort(board, key, direction === "descending" ? "descending" : "ascending"));
}

if (form) {
  form.hidden = false;
  fillChoices();
  recall();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name === "column") showColumns();
    else filter();
    remember();
  });
  form.querySelector("[data-do=usual]").addEventListener("click", () => {
    boxes().forEach((box) => (box.checked = usual.has(box.value)));
    showColumns();
    remember();
  });
  form.querySelector("[data-do=clear]").addEventListener("click", () => {
    ["text", ...CHOICES].forEach((key) => (form.elements[key].value = ""));
    filter();
    remember();
  });
  boards.forEach((board) => board.table.tHead.addEventListener("click", ({ target }) => {
    const heading = target.closest("button")?.parentElement;
    if (!heading) return;
    const other = { ascending: "descending", descending: "ascending" };
    sort(board, heading.dataset.key, other[heading.ariaSort] ?? heading.dataset.first);
    remember();
  }));
  ticks.forEach((tick) => tick.addEventListener("change", () => {
    // One configuration may have rows under several protocols: it is ticked once.
    ticks.filter((other) => other.value === tick.value).forEach((other) => (other.checked = tick.checked));
    fillBasket();
    remember();
  }));
  basket.querySelector("button").addEventListener("click", () => {
    ticks.forEach((tick) => (tick.checked = false));
    fillBasket();
    remember();
  });
  const menu = form.querySelector(".menu");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  window.addEventListener("hashchange", recall);
}

// Far tables are laid out only now that the page can be used, one at a time: then a link ends where it should.
function layOut([first, ...others]) {
  if (first) {
    first.section.style.contentVisibility = "visible";
    setTimeout(() => layOut(others), 20);
  } else if (location.hash) {
    document.getElementById(location.hash.slice(1))?.scrollIntoView({ behavior: "instant" });
  }
}
window.addEventListener("load", () => setTimeout(() => layOut(boards), 20));
